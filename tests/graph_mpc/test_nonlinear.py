"""Truncation, exact floor, products, ANDs and borrows against Python's integers."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.binary import Holders, XorShared, and_all, bit_to_ring, borrow_out, share_bits
from graph_mpc.floor import exact_floor
from graph_mpc.product import multiply
from graph_mpc.ring import RING64, Ring
from graph_mpc.shares import Shared
from graph_mpc.streams import word_type
from graph_mpc.truncation import truncate
from tests.graph_mpc.local import roster_of, run_all
from tests.graph_mpc.seeded import EXTREMES, run_opened, seeded_contexts, shared, signed, words

PARTIES = st.integers(3, 5)
WORD = st.integers(0, 2**64 - 1)
BOUNDED = st.integers(-(2**61), 2**61) | st.sampled_from(EXTREMES)
SHIFTS = st.integers(1, 61)


@settings(max_examples=60, deadline=None)
@given(PARTIES, st.integers(0, 4), st.booleans(), st.lists(BOUNDED, max_size=8), SHIFTS, WORD)
def test_truncation_is_floor_or_one_more(parties, owner, second, values, shift, seed):
    """The result is floor(x / 2^f) or one more, and x / 2^f itself for exact multiples."""
    holders = (owner % parties, (owner % parties + 1 + second) % parties)

    async def program(ctx):
        return await truncate(ctx, ("t",), shared(ctx, holders, words(values), seed), shift)

    result = signed(asyncio.run(run_opened(parties, program, seed)))
    for x, y in zip(values, result.tolist(), strict=True):
        assert y - (x >> shift) in ((0,) if x % (1 << shift) == 0 else (0, 1))


async def test_truncation_is_right_on_average():
    """The mean over many masks is x / 2^f, at the bounds as well."""
    uses, shift = 40_000, 4
    values = np.array([5, -5, 2**61 - 1, 1 - 2**61, 16, -16, 0, 7])
    many = np.repeat(words(values)[:, None], uses, axis=1)

    async def program(ctx):
        return await truncate(ctx, ("t",), shared(ctx, (0, 1), many), shift)

    excess = signed(await run_opened(3, program)) - (values >> shift)[:, None]
    assert np.all(np.abs(excess.mean(axis=1) - (values % 16) / 16) < 5 * 0.5 / uses**0.5)
    assert np.all(excess[values % 16 == 0] == 0)


async def test_truncation_by_different_shifts():
    """Limbs are cut by a different number of bits each."""
    shifts = np.array([[3], [6]], np.uint64)
    x = words([[64, -64, 128], [64, -64, 0]])

    async def program(ctx):
        return await truncate(ctx, ("t",), shared(ctx, (0, 1), x), shifts)

    assert signed(await run_opened(3, program)).tolist() == [[8, -8, 16], [1, -1, 0]]


@settings(max_examples=40, deadline=None)
@given(PARTIES, st.integers(0, 4), st.booleans(), st.lists(BOUNDED, max_size=8), SHIFTS, WORD)
def test_exact_floor_is_floor(parties, owner, second, values, shift, seed):
    """The result is floor(x / 2^f), rounding towards minus infinity, whatever the masks."""
    holders = (owner % parties, (owner % parties + 1 + second) % parties)

    async def program(ctx):
        return await exact_floor(ctx, ("f",), shared(ctx, holders, words(values), seed), shift)

    result = signed(asyncio.run(run_opened(parties, program, seed)))
    assert result.tolist() == [x >> shift for x in values]


async def test_exact_floor_of_many_masks():
    """The floor is the same for 20,000 masks of each value."""
    values = np.array([5, -5, 15, -1, 2**61, -(2**61), 2**61 - 1])
    many = np.repeat(words(values)[:, None], 20_000, axis=1)

    async def program(ctx):
        return await exact_floor(ctx, ("f",), shared(ctx, (1, 2), many), 4)

    assert np.array_equal(signed(await run_opened(3, program)), many.view(np.int64) >> 4)


@settings(max_examples=40, deadline=None)
@given(
    PARTIES, st.integers(0, 4), st.lists(WORD, max_size=6), st.lists(WORD, min_size=1, max_size=3)
)
def test_product(parties, owner, x, y):
    """The product is right modulo 2^64, with numpy's broadcasting."""
    holders = (owner % parties, (owner + 1) % parties)
    column, row = words(x)[None, :], words(y)[:, None]

    async def program(ctx):
        return await multiply(
            ctx, ("m",), shared(ctx, holders, column), shared(ctx, holders, row, 2)
        )

    assert np.array_equal(asyncio.run(run_opened(parties, program)), column * row)


def test_product_of_values_at_different_helpers_is_refused():
    """Only values that the same two parties share can be multiplied."""
    ctx = seeded_contexts(roster_of(3), 0)[0]
    x, y = shared(ctx, (0, 1), words([1])), shared(ctx, (0, 2), words([1]))
    with pytest.raises(ValueError, match="same parties"):
        asyncio.run(multiply(ctx, ("m",), x, y))


def xor_shared(ctx, who: Holders, values: np.ndarray, width: int, seed: int) -> XorShared:
    """Words of some bits, XOR-shared at random."""
    dtype = word_type(width)
    rest = np.random.default_rng(seed).integers(0, 2**width, values.shape, dtype=np.uint64)
    local = {who.owner: values ^ rest, who.helper: rest}.get(ctx.me)
    return XorShared(values.shape, width, None if local is None else local.astype(dtype))


def xor_opened(results) -> np.ndarray:
    """The word of two XOR shares."""
    first, second = (r.local for r in results if r.local is not None)
    return first ^ second


WIDTHS = st.sampled_from((1, 2, 4, 8, 16, 32, 64))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(WORD, WORD, WORD), max_size=6), st.permutations(range(3)), WIDTHS)
def test_and(triples, roles, width):
    """The AND is bitwise on words of every width, whoever holds and deals."""
    who = Holders(*roles)
    low = np.uint64(2**width - 1)
    x, y, z = (words([t[i] for t in triples]) & low for i in range(3))

    async def program(ctx):
        shared = [xor_shared(ctx, who, v, width, seed) for seed, v in enumerate((x, y, z))]
        return await and_all(ctx, ("a",), who, shared[0], shared[1:])

    results = asyncio.run(run_all(seeded_contexts(roster_of(3), 1), program))
    for i, other in enumerate((y, z)):
        assert np.array_equal(xor_opened([r[i] for r in results]), x & other)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORD, WORD) | WORD.map(lambda w: (w, w)), max_size=6), st.integers(1, 64))
def test_borrow(pairs, low_bits):
    """The result says whether c mod 2^f < r mod 2^f, for the bits that the dealer shared out."""
    who = Holders(0, 1, 2)
    c, r = (words([pair[i] for pair in pairs]) for i in (0, 1))

    async def program(ctx):
        public = c if ctx.me != 2 else None
        bits = await share_bits(ctx, ("s",), who, c.shape, r if ctx.me == 2 else None)
        return await borrow_out(ctx, ("b",), who, public, bits, low_bits)

    result = xor_opened(asyncio.run(run_all(seeded_contexts(roster_of(3), 2), program)))
    low = 2**low_bits
    assert result.tolist() == [int(a % low < b % low) for a, b in pairs]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
async def test_borrow_in_small_rings(bits):
    """In rings of a few bits, also where their number is no power of two, for all words."""
    who, ring = Holders(0, 1, 2), Ring(bits)
    size = 1 << bits
    c, r = (a.ravel() for a in np.meshgrid(*[np.arange(size, dtype=np.uint64)] * 2))

    async def program(ctx):
        public = c if ctx.me != 2 else None
        shared = await share_bits(ctx, ("s",), who, c.shape, r if ctx.me == 2 else None)
        return await borrow_out(ctx, ("b",), who, public, shared, bits)

    result = xor_opened(await run_all(seeded_contexts(roster_of(3), 2, ring), program))
    assert np.array_equal(result, (c < r).astype(np.uint8))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 1), max_size=6), st.integers(0, 2**32))
def test_bit_to_ring(values, seed):
    """A bit becomes an additive share of 0 or 1."""
    who = Holders(2, 0, 1)
    bits = words(values)

    async def program(ctx):
        share = await bit_to_ring(ctx, ("b",), who, xor_shared(ctx, who, bits, 1, seed))
        return Shared(2, 0, bits.shape, share)

    results = asyncio.run(run_all(seeded_contexts(roster_of(3), seed), program))
    held = [r.local for r in results if r.local is not None]
    assert np.array_equal(RING64.reduce(held[0] + held[1]), bits)
