"""Privacy of threshold tests and releases: the owner's view follows from its output alone.

The threshold test and the release of bands are enumerated exactly over Z_4.  The policy
``threshold`` composes them with the exact floor and a product, all enumerated on their own; their
composition has too many words and is compared by samples, as in test_views_floor.
"""

from dataclasses import replace

import numpy as np
import pytest

from graph_mpc.context import Context
from graph_mpc.floor import exact_floor
from graph_mpc.policy import Policy
from graph_mpc.product import multiply
from graph_mpc.release import ResultForm, _one_to_ring, _to_owner, release
from graph_mpc.ring import Ring
from graph_mpc.threshold import _open, at_least
from tests.graph_mpc.test_views import HOLDERS
from tests.graph_mpc.test_views_faults import first_use
from tests.graph_mpc.test_views_floor import LANES, PAIR_LANES, informed_parties
from tests.graph_mpc.views import Setting, Tape, sample_run, tellers, without

BORDER = 1
TWO_BORDERS = (-1, 1)
WORDS = range(4)


async def test_once(ctx: Context, tape: Tape, secret):
    """One threshold test without its output."""
    await at_least(ctx, ("t",), tape.share(ctx, "x", (0, 1), secret), [BORDER])


test_once.__test__ = False


async def band_once(ctx: Context, tape: Tape, secret):
    """One threshold test whose bit goes to the owner."""
    return await _release_bands(ctx, tape, secret, (BORDER,))


async def bands_once(ctx: Context, tape: Tape, secret):
    """A test of two borders by one opening, both bits of which go to the owner."""
    return await _release_bands(ctx, tape, secret, TWO_BORDERS)


async def _release_bands(ctx: Context, tape: Tape, secret, borders: tuple[int, ...]):
    """Release bands of integers, borders negative ones included."""
    x = tape.share(ctx, "x", (0, 1), secret)
    policy = Policy("bands", "bands", tuple(map(float, borders)))
    return await release(ctx, ("r",), policy, ResultForm(0, 1.0, 1.0), x)


def output(secret: int) -> int:
    """Whether secret - BORDER is not negative in Z_4."""
    return int((secret - BORDER) % 4 < 2)


def nothing(_secret, _party):
    """Nobody may know anything."""
    return 0


def owner_knows_output(secret, party):
    """The owner may know the bit, the others nothing."""
    return output(secret) if party == 0 else 0


def owner_knows_both_bits(secret, party):
    """The owner may know the bits of both borders, the others nothing."""
    return tuple((secret - b) % 4 < 2 for b in TWO_BORDERS) if party == 0 else 0


@pytest.mark.parametrize("parties", [3, 4])
async def test_threshold_views(parties):
    """No view of a threshold test depends on the value."""
    assert await tellers(test_once, WORDS, nothing, Setting(Ring(2), parties)) == set()


async def test_band_views():
    """The owner's view depends on its band only, the others' on nothing."""
    setting = Setting(Ring(2))
    assert await tellers(band_once, WORDS, owner_knows_output, setting) == set()
    assert await tellers(band_once, WORDS, nothing, setting) == {0}


async def test_band_views_of_two_borders():
    """One opening for two borders shows the owner its band, and nobody anything else."""
    setting = Setting(Ring(2))
    assert await tellers(bands_once, WORDS, owner_knows_both_bits, setting) == set()
    assert await tellers(bands_once, WORDS, nothing, setting) == {0}


@pytest.mark.parametrize(
    ("mask", "informed"), [("rb", {1}), ("rh", {0}), ("bits", {1}), ("ak", {0, 1}), ("c", {1})]
)
async def test_threshold_without_a_mask_is_seen(mask, informed):
    """Each missing mask informs the parties that it hides something from."""
    setting = Setting(Ring(2), streams=without(mask))
    found = await tellers(test_once, WORDS, nothing, setting)
    assert informed <= found


async def test_one_r_for_two_values_is_seen():
    """The mask of one threshold test in another one shows the difference of the values."""

    async def twice(ctx: Context, tape: Tape, secret):
        for use, value in enumerate(secret):
            x = tape.share(ctx, f"x{use}", (0, 1), value)
            await _open(ctx, ("use", use), HOLDERS, x)

    setting = Setting(Ring(2))
    secrets = [(a, b) for a in range(2) for b in range(2)]
    assert await tellers(twice, secrets, nothing, setting) == set()
    for mask, party in (("rb", 1), ("rh", 0)):
        same = first_use(mask)
        assert await tellers(twice, secrets, nothing, replace(setting, streams=same)) == {party}


async def test_release_of_the_value_instead_of_the_bit_is_seen():
    """A helper that sends its share of the value tells the owner more than the band."""

    async def too_much(ctx: Context, tape: Tape, secret):
        x = tape.share(ctx, "x", (0, 1), secret)
        await at_least(ctx, ("t",), x, [BORDER])
        return await _to_owner(ctx, ("r",), x)

    setting = Setting(Ring(2))
    assert await tellers(too_much, WORDS, owner_knows_output, setting) == {0}


async def above_once(ctx: Context, tape: Tape, secret):
    """The policy ``threshold`` over Z_16: bit * floor(x / 2) goes to the owner."""
    x = tape.share(ctx, "x", (0, 1), secret)
    bits = await at_least(ctx, ("t",), x, [BORDER])
    rounded = await exact_floor(ctx, ("floor",), x, 1)
    bit = await _one_to_ring(ctx, ("bit",), x, bits)
    return await _to_owner(ctx, ("r",), await multiply(ctx, ("product",), bit, rounded))


async def test_above_is_right():
    """The owner gets bit * floor(x / 2), whatever the masks."""
    for x in (-2, -1, 0, 1, 2):
        run = await sample_run(above_once, x, Setting(Ring(4)), 256, 1)
        assert np.all(run.results[0] == (x // 2 if x >= BORDER else 0))


@pytest.mark.parametrize("secrets", [(-2, 0), (0, 1)])
async def test_values_with_one_output_look_alike(secrets):
    """Values below the threshold, or with one product, give all, the owner included, one view.

    In this tiny ring 1 is at the threshold and is rounded to 0: the owner sees the product only,
    not the bit.
    """
    assert await informed_parties(above_once, secrets, Setting(Ring(4)), LANES // 4) == set()


async def test_values_with_one_rounded_value_look_alike_to_the_others():
    """Below or above: the other parties' views are the same."""
    assert await informed_parties(above_once, (0, 2), Setting(Ring(4)), LANES // 4) == {0}


@pytest.mark.parametrize("mask", ["a", "k"])
async def test_above_without_a_mask_is_seen(mask):
    """The helper learns of the bit or the value from a missing mask; the sample shows it.

    The conversion's masks hide a share that the helper computes from all of its view; they are
    taken away one by one in test_views_faults.
    """
    setting = Setting(Ring(4), streams=without(mask))
    assert 1 in await informed_parties(above_once, (0, 2), setting, PAIR_LANES)
