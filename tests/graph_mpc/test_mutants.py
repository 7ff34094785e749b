"""Source-level mutants of the engine: one line changed, and the test by which it is caught.

A mutant is the real source of a function with one text replaced, compiled in its module and put
everywhere the function is imported.  Those that only leak still compute the right result, so
nothing but a test of privacy can see them.  ``docs/security-model.md`` lists the mutants.
"""

import asyncio
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from graph_mpc import (
    binary,
    imports,
    linear_map,
    permutation,
    placement,
    product,
    reconcile,
    release,
    scaling,
    steps,
    sums,
    threshold,
    truncation,
)
from graph_mpc.errors import LabelReused, MaskRuleViolation
from graph_mpc.ring import Ring
from tests.graph_mpc import (
    test_simulator,
    test_views,
    test_views_faults,
    test_views_release,
    test_views_steps,
)
from tests.graph_mpc.simulated_runs import real_run
from tests.graph_mpc.telling import least_p_value
from tests.graph_mpc.views import Setting, tellers


def plant(patch: pytest.MonkeyPatch, module: ModuleType, name: str, old: str, new: str) -> None:
    """Replace a text in the source of a function, everywhere that the function is used."""
    original = getattr(module, name)
    source = textwrap.dedent(inspect.getsource(original))
    assert source.count(old) == 1, f"{old!r} is not once in {name}"
    space = vars(module).copy()
    exec(compile(source.replace(old, new), f"mutant of {name}", "exec"), space)
    for found in list(sys.modules.values()):
        if getattr(found, "__name__", "").startswith(("graph_mpc", "pagerank", "tests.graph_mpc")):
            for attribute, value in list(vars(found).items()):
                if value is original:
                    patch.setattr(found, attribute, space[name])


Catch = Callable[[], Any]


async def seen_in_two_permutations() -> bool:
    """``test_views.test_permutation_views``."""
    secrets = test_views_faults.PERMUTED
    own = test_views.owner_knows_first
    return bool(await tellers(test_views.permute_twice, secrets, own, Setting(Ring(1))))


async def seen_in_two_scalings() -> bool:
    """``test_views.test_scaling_views_of_one_limb``."""
    secrets = test_views_faults.SCALED
    own = test_views.owner_knows_first
    return bool(await tellers(test_views.scale_twice, secrets, own, Setting(Ring(1))))


async def seen_in_a_truncation() -> bool:
    """``test_views.test_truncation_views``."""
    setting = Setting(Ring(4))
    return bool(await tellers(test_views.truncate_once, (0, 1), test_views.nothing, setting))


async def seen_in_a_product() -> bool:
    """``test_views.test_product_views``."""
    secrets = list(itertools.product(range(2), repeat=2))
    setting = Setting(Ring(1))
    return bool(await tellers(test_views.multiply_once, secrets, test_views.nothing, setting))


async def seen_in_an_and() -> bool:
    """``test_views.test_and_views``."""
    secrets = test_views_faults.TRIPLES
    return bool(await tellers(test_views.and_once, secrets, test_views.nothing, Setting(Ring(1))))


async def seen_in_a_bit_to_ring() -> bool:
    """``test_views.test_bit_to_ring_views``."""
    return bool(await tellers(test_views.bit_once, range(2), test_views.nothing, Setting(Ring(2))))


async def seen_in_a_threshold_test() -> bool:
    """``test_views_release.test_threshold_views``."""
    views = test_views_release
    return bool(await tellers(views.test_once, views.WORDS, views.nothing, Setting(Ring(2))))


async def seen_in_a_release_of_bands() -> bool:
    """``test_views_release.test_band_views``."""
    views = test_views_release
    own = views.owner_knows_output
    return bool(await tellers(views.band_once, views.WORDS, own, Setting(Ring(2))))


async def seen_in_an_opened_sum() -> bool:
    """``test_views.test_open_sum_views``."""
    own = test_views_faults.own_and_sum
    secrets = test_views_faults.TRIPLES
    return bool(await tellers(test_views.open_sum_once, secrets, own, Setting(Ring(1))))


def seen_in_a_step(step: Any) -> Catch:
    """``test_views_steps.test_views_of_whole_steps_are_uniform``."""

    async def seen() -> bool:
        return bool(await test_views_steps.uneven(step, test_views_steps.TWO_BANKS))

    return seen


def told_from_the_simulator(party: int) -> Catch:
    """``test_simulator.test_simulated_views_cannot_be_told_from_real_ones``."""

    async def seen() -> bool:
        return await asyncio.to_thread(told, party)

    return seen


def told(party: int) -> bool:
    """Tell a mutant's views from simulated ones."""
    runs = test_simulator.LEAKING
    world = test_simulator.SETTINGS["three banks"]
    views = [real_run(world, 5000 + seed).view(party) for seed in range(runs)]
    simulated = test_simulator.simulated_views("three banks", party, test_simulator.RUNS)
    return least_p_value(views, simulated[:runs]) < test_simulator.FALSE_ALARM


async def refused_at_run_time() -> bool:
    """``Network.send`` and ``SeededStreams``: asserted in every run."""
    try:
        real_run_in_thread = told_from_the_simulator(0)
        await real_run_in_thread()
    except (MaskRuleViolation, LabelReused):
        return True
    return False


@dataclass(frozen=True)
class Mutant:
    """A text of a function replaced, and what catches it."""

    module: ModuleType
    function: str
    old: str
    new: str
    catch: Catch


MUTANTS = {
    "permutation: mask missing": Mutant(
        permutation, "permute", "gather_subtract(x.local, p.first, mask.values), mask",
        "x.local[p.first], mask", seen_in_two_permutations,
    ),
    "permutation: mask of the first use reused": Mutant(
        permutation, "permute", "mask = ctx.streams.draw(p.end, (*label, \"r\"), x.shape)",
        "mask = ctx.streams.__dict__.setdefault(\"kept\", "
        "ctx.streams.draw(p.end, (*label, \"r\"), x.shape))",
        refused_at_run_time,
    ),
    "permutation: pi sent instead of pi2": Mutant(
        permutation, "set_up_permutation", "(*label, \"pi2\"), second)", "(*label, \"pi2\"), pi)",
        seen_in_two_permutations,
    ),
    "permutation: both factors at one helper": Mutant(
        permutation, "set_up_permutation",
        "first = ctx.streams.permutation(start, (*label, \"pi1\"), inputs)",
        "first = np.arange(inputs, dtype=np.uint32)", seen_in_two_permutations,
    ),
    "scaling: w sent without u": Mutant(
        scaling, "set_up_weights", "weights + u.values, u", "weights, u", seen_in_two_scalings,
    ),
    "scaling: z sent without s": Mutant(
        scaling, "_send_scaled_mask", "z.local + s.values, s", "z.local, s", seen_in_two_scalings,
    ),
    "scaling: u s without r'": Mutant(
        scaling, "_send_scaled_mask", "scale_helper(w.words[limb], s.values, r.values), r",
        "scale_helper(w.words[limb], s.values, 0 * r.values), r", seen_in_two_scalings,
    ),
    "truncation: share opened without r": Mutant(
        truncation, "open_masked", "own = x.local + dealt.mask.values", "own = x.local.copy()",
        seen_in_a_truncation,
    ),
    "truncation: dealer's shares not masked": Mutant(
        truncation, "deal_truncation", "r >> np.uint64(shifts), owner_part.values[0]",
        "r >> np.uint64(shifts), 0 * owner_part.values[0]", seen_in_a_truncation,
    ),
    "truncation: one column's mask for all": Mutant(
        steps, "truncate_limbs", "dealt.part(column)", "dealt.part(0)", refused_at_run_time,
    ),
    "product: factors opened without masks": Mutant(
        product, "_multiply_held", "own = value.local - mask.values", "own = value.local.copy()",
        seen_in_a_product,
    ),
    "opened sum: no zero sharing": Mutant(
        sums, "open_sum", "own = part + zero", "own = part + 0 * zero", seen_in_an_opened_sum,
    ),
    "AND: words opened without masks": Mutant(
        binary, "and_all", "own = np.stack(held) ^ mask.values", "own = np.stack(held)",
        seen_in_an_and,
    ),
    "AND: dealer's products not masked": Mutant(
        binary, "_deal_and", "(both[0] & both[1:]) ^ share.values", "(both[0] & both[1:])",
        seen_in_an_and,
    ),
    "bit to ring: bit opened without mask": Mutant(
        binary, "bit_to_ring", "own = bit.local ^ mask.values", "own = bit.local.copy()",
        seen_in_a_bit_to_ring,
    ),
    "threshold: share opened without r": Mutant(
        threshold, "_open", "own = x.local + mask.values", "own = x.local.copy()",
        seen_in_a_threshold_test,
    ),
    "threshold: bits of r not masked": Mutant(
        binary, "share_bits", "_circuit_order(r, width) ^ share.values",
        "_circuit_order(r, width)", seen_in_a_threshold_test,
    ),
    "bands: the value released with the bits": Mutant(
        release, "_release_bands", "opened = await",
        "await _to_owner(ctx, (*label, \"x\"), x)\n    opened = await",
        seen_in_a_release_of_bands,
    ),
    "imports: mask missing": Mutant(
        imports, "send_rows", "rows.local - mask.values, mask", "rows.local, mask",
        seen_in_a_step(test_views_steps.push_once),
    ),
    "imports: column 0 always used": Mutant(
        imports, "columns_of", "values[:, index])", "values[:, 0])",
        seen_in_a_step(test_views_steps.push_once),
    ),
    "push: own rows not masked": Mutant(
        steps, "mask_to_owner", "x.local - mask.values, mask", "x.local, mask",
        seen_in_a_step(test_views_steps.push_once),
    ),
    "push: column 0 always used, under the column's name": Mutant(
        steps, "mask_to_owner", "block.values[:, column]", "block.values[:, 0]",
        seen_in_a_step(test_views_steps.push_once),
    ),
    "push: column 0 always used": Mutant(
        steps, "mask_to_owner", "block.part(column, ", "block.part(0, ", refused_at_run_time,
    ),
    "pull: own rows not masked": Mutant(
        steps, "mask_to_owner", "x.local - mask.values, mask", "x.local, mask",
        seen_in_a_step(test_views_steps.pull_once),
    ),
    "fold: own rows not masked": Mutant(
        placement, "add_imports", "own.local + placed - total.share.values",
        "own.local + placed - 0 * total.share.values",
        seen_in_a_step(test_views_steps.fold_once),
    ),
    "whole run: own rows not masked": Mutant(
        steps, "mask_to_owner", "x.local - mask.values, mask", "x.local, mask",
        told_from_the_simulator(0),
    ),
    "whole run: column 0 always used": Mutant(
        steps, "mask_to_owner", "block.values[:, column]", "block.values[:, 0]",
        told_from_the_simulator(0),
    ),
    "whole run: tags in the order of the books": Mutant(
        reconcile, "_ask", "padded[order])", "padded)", told_from_the_simulator(2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
async def test_mutant_is_caught(name, monkeypatch):
    """The test named in the table sees the mutant and, in its own file, nothing in the original."""
    mutant = MUTANTS[name]
    plant(monkeypatch, mutant.module, mutant.function, mutant.old, mutant.new)
    assert await mutant.catch()


def test_a_mutant_is_planted_and_removed():
    """The harness itself: a mutant replaces its function where it is imported, and only then."""
    before = linear_map.permute
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, permutation, "permute", "columns = x.shape[1]", "columns = 1")
        assert linear_map.permute is permutation.permute is not before
    assert linear_map.permute is permutation.permute is before
