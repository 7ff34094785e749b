"""Tests of the view tests: each planted fault is seen by the party that it would inform."""

import itertools

import numpy as np
import pytest

from graph_mpc.binary import and_all
from graph_mpc.context import Context
from graph_mpc.errors import LabelReused, MaskRuleViolation
from graph_mpc.permutation import set_up_permutation
from graph_mpc.ring import Ring
from graph_mpc.scaling import scale, set_up_weights
from graph_mpc.sums import open_sum
from tests.graph_mpc import test_views as honest
from tests.graph_mpc.local import contexts, roster_of, run_all
from tests.graph_mpc.views import Setting, Tape, confusing, tellers, without

PERMUTED = [
    (pi, x, y) for pi in [(0, 1), (1, 0)] for x in [(0, 0), (1, 0)] for y in [(0, 1), (1, 1)]
]
SCALED = [((w,), z, y) for w in range(2) for z in range(2) for y in range(2)]
PAIRS = list(itertools.product(range(2), repeat=2))
TRIPLES = list(itertools.product(range(2), repeat=3))


def first_use(name: str):
    """Give the mask ``name`` of a second use the words of the first."""
    return confusing(lambda label: ("use", 0, *label[2:]) if name in label else label)


def own_and_sum(secret, party):
    """A party knows its part and the opened sum."""
    return secret[party], sum(secret) % 2


def dealer_knows(secret, party):
    """The dealer knows its word."""
    return secret if party == 2 else 0


FAULTS = {
    "permutation: r of the first use again": (
        honest.permute_twice, PERMUTED, honest.owner_knows_first, first_use("r"), 1, {0},
    ),
    "permutation: no r": (
        honest.permute_twice, PERMUTED, honest.owner_knows_first, without("r"), 1, {0},
    ),
    "scaling: s of the first use again": (
        honest.scale_twice, SCALED, honest.owner_knows_first, first_use("s"), 1, {0},
    ),
    "scaling: no s": (
        honest.scale_twice, SCALED, honest.owner_knows_first, without("s"), 1, {0},
    ),
    "scaling: no r', so that u s shows u": (
        honest.scale_twice, SCALED, honest.owner_knows_first, without("r"), 1, {2},
    ),
    "scaling: r' of the first use again": (
        honest.scale_twice, SCALED, honest.owner_knows_first, first_use("r"), 1, {2},
    ),
    "scaling: no u": (
        honest.scale_twice, SCALED, honest.owner_knows_first, without("u"), 1, {2},
    ),
    "truncation: no mask of the owner's share": (
        honest.truncate_once, (0, 1), honest.nothing, without("rb"), 4, {1},
    ),
    "truncation: no mask of the helper's share": (
        honest.truncate_once, (0, 1), honest.nothing, without("rh"), 4, {0},
    ),
    "truncation: the dealer's shares are not masked": (
        honest.truncate_once, (0, 1), honest.nothing, without("t"), 4, {1},
    ),
    "product: the dealer's product is not masked": (
        honest.multiply_once, PAIRS, honest.nothing, without("c"), 1, {1},
    ),
    "product: one mask for both factors": (
        honest.multiply_once,
        PAIRS,
        honest.nothing,
        confusing(lambda label: tuple("a" if part == "k" else part for part in label)),
        1,
        {0, 1},
    ),
    "AND: the dealer's products are not masked": (
        honest.and_once, TRIPLES, honest.nothing, without("c"), 1, {1},
    ),
    "AND: openings are not masked": (
        honest.and_once, TRIPLES, honest.nothing, without("ak"), 1, {0, 1},
    ),
    "bit to ring: no mask": (honest.bit_once, (0, 1), honest.nothing, without("bit"), 1, {0, 1}),
    "bit to ring: the dealer's bit is not masked": (
        honest.bit_once, (0, 1), honest.nothing, without("rho"), 1, {1},
    ),
    "bits of a word: no mask": (
        honest.share_bits_once, (0, 1), dealer_knows, without("bits"), 1, {1},
    ),
    "imports: no mask": (
        honest.hand_over(0, 2), PAIRS, honest.nothing, without("import"), 1, {2},
    ),
    "opened sum: zero sharing left out": (
        honest.open_sum_once, TRIPLES, own_and_sum, without("zero"), 1, {0, 1, 2},
    ),
    "sum to owner: no mask": (
        honest.sum_to_owner_once, TRIPLES, lambda s, p: s[p], without("rho"), 1, {0},
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_beneath_the_rule_is_seen(fault):
    """The parties named are those that a fault informs, and no others."""
    program, secrets, own, streams, bits, informed = FAULTS[fault]
    setting = Setting(Ring(bits), streams=streams)
    assert await tellers(program, secrets, own, setting) == informed


async def test_u_of_two_weight_vectors_reused_is_seen():
    """One u for two weight vectors shows their difference to the helper that takes over."""

    async def program(ctx: Context, tape: Tape, secret):
        z = tape.share(ctx, "z", (0, 1), [0])
        for number, weight in enumerate(secret):
            words = np.array([[weight]], np.uint64) if ctx.me == 0 else None
            w = await set_up_weights(ctx, ("w", number), honest.ROLES, (1, 1), words)
            await scale(ctx, ("use", number), w, z)

    def owner_knows_all(secret, party):
        return secret if party == 0 else 0

    one_u = confusing(lambda label: ("w", 0, "u") if label[-1] == "u" else label)
    for streams, informed in ((Setting(Ring(1)).streams, set()), (one_u, {2})):
        setting = Setting(Ring(1), streams=streams)
        assert await tellers(program, PAIRS, owner_knows_all, setting) == informed


async def test_both_factors_at_one_helper_are_seen():
    """A helper with both factors of a permutation knows it."""

    async def program(ctx: Context, tape: Tape, secret):
        tape.share(ctx, "x", (0, 1), [0, 0])
        index = np.array(secret[0], np.uint32) if ctx.me == 0 else None
        p = await set_up_permutation(ctx, ("p",), honest.ROLES, (2, 2), index)
        if ctx.me == 0:
            ctx.network.send_permutation(1, ("fault",), p.second)
        if ctx.me == 1:
            await ctx.network.receive_as(0, ("fault",), (2,), np.uint32)

    secrets = [((0, 1),), ((1, 0),)]
    assert await tellers(program, secrets, honest.owner_knows_first, Setting(Ring(1))) == {1}


async def test_way_back_with_the_same_factors_is_seen():
    """The way back with the first factor of the way there gives one helper both."""

    async def program(ctx: Context, tape: Tape, secret):
        tape.share(ctx, "x", (0, 1), [0, 0])
        index = np.array(secret[0], np.uint32) if ctx.me == 0 else None
        await set_up_permutation(ctx, ("p",), honest.ROLES, (2, 2), index)
        await set_up_permutation(ctx, ("q",), (0, 2, 1), (2, 2), index)
        if ctx.me == 0:
            first = ctx.streams.tape.outer[(0, 1), ("p", "pi1")]
            ctx.network.send_permutation(2, ("fault",), np.array(first, np.uint32))
        if ctx.me == 2:
            await ctx.network.receive_as(0, ("fault",), (2,), np.uint32)

    secrets = [((0, 1),), ((1, 0),)]
    assert await tellers(program, secrets, honest.owner_knows_first, Setting(Ring(1))) == {2}


async def test_own_set_up_for_the_way_back_is_private():
    """With a set-up of its own, the way back shows neither helper the permutation."""

    async def program(ctx: Context, tape: Tape, secret):
        tape.share(ctx, "x", (0, 1), [0, 0])
        index = np.array(secret[0], np.uint32) if ctx.me == 0 else None
        await set_up_permutation(ctx, ("p",), honest.ROLES, (3, 3), index)
        await set_up_permutation(ctx, ("q",), (0, 2, 1), (3, 3), index)

    secrets = [(pi,) for pi in itertools.permutations(range(3))]
    assert await tellers(program, secrets, honest.owner_knows_first, Setting(Ring(1))) == set()


async def test_and_mask_of_two_uses_reused_is_seen():
    """One triple for two ANDs shows the differences of the words."""

    async def program(ctx: Context, tape: Tape, secret):
        for use, (x, y) in enumerate(secret):
            first, second = (
                tape.xor_share(ctx, f"{name}{use}", (0, 1), value, 1)
                for name, value in (("x", x), ("y", y))
            )
            await and_all(ctx, ("use", use), honest.HOLDERS, first, [second])

    secrets = list(itertools.product(PAIRS[:2], PAIRS[1:3]))
    assert await tellers(program, secrets, honest.nothing, Setting(Ring(1))) == set()
    setting = Setting(Ring(1), streams=first_use("ak"))
    assert await tellers(program, secrets, honest.nothing, setting) == {0, 1}


async def test_step_repeated_under_its_label_raises():
    """A step executed twice under one label would reuse its masks: it raises."""

    async def repeated(ctx: Context):
        part = np.zeros(1, np.uint64)
        await open_sum(ctx, ("s",), part)
        await open_sum(ctx, ("s",), part)

    with pytest.raises(LabelReused):
        await run_all(contexts(roster_of(3)), repeated)


async def test_one_mask_in_two_messages_raises():
    """The network refuses a second message to a party under the same mask."""
    sender = contexts(roster_of(3))[0]
    mask = sender.streams.draw(2, ("r",), (4,))
    sender.network.send(1, ("first",), np.arange(4, dtype=np.uint64), mask)
    with pytest.raises(MaskRuleViolation, match="another message"):
        sender.network.send(1, ("second",), np.arange(4, dtype=np.uint64), mask)
