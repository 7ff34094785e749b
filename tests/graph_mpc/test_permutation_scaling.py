"""Private permutation and scaling against numpy, for all owners and numbers of parties."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.errors import ShapeMismatch
from graph_mpc.permutation import permute, set_up_permutation
from graph_mpc.scaling import scale, set_up_weights
from tests.graph_mpc.local import contexts, roster_of, run_all
from tests.graph_mpc.seeded import EXTREMES, run_opened, shared, words

SIZES = {
    "parties": st.integers(3, 5),
    "owner": st.integers(0, 4),
    "rows": st.integers(0, 12),
    "columns": st.integers(1, 9),
    "seed": st.integers(0, 2**32 - 1),
}


def roles_of(parties: int, owner: int, swap: bool) -> tuple[int, int, int]:
    """Owner, start and end."""
    owner %= parties
    h1, h2 = (owner + 1) % parties, (owner + 2) % parties
    return (owner, h2, h1) if swap else (owner, h1, h2)


@settings(max_examples=40, deadline=None)
@given(**SIZES, kept=st.integers(0, 12), swap=st.booleans())
def test_permutation_and_injection(parties, owner, rows, columns, seed, kept, swap):
    """y[k] = x[pi[k]] for every permutation or injection, both directions, twice."""
    rng = np.random.default_rng(seed)
    outputs = min(kept, rows)
    pi = rng.permutation(rows)[:outputs].astype(np.uint32)
    values = rng.integers(0, 2**64, (2, rows, columns), dtype=np.uint64)
    roles = roles_of(parties, owner, swap)

    async def program(ctx):
        own = pi if ctx.me == roles[0] else None
        p = await set_up_permutation(ctx, ("p",), roles, (rows, outputs), own)
        first = await permute(ctx, ("a",), p, shared(ctx, roles[:2], values[0]))
        second = await permute(ctx, ("b",), p, shared(ctx, roles[:2], values[1]))
        return first + second

    assert np.array_equal(asyncio.run(run_opened(parties, program)), values[0][pi] + values[1][pi])


@settings(max_examples=40, deadline=None)
@given(**SIZES, limbs=st.integers(1, 2), swap=st.booleans())
def test_scaling(parties, owner, rows, columns, seed, limbs, swap):
    """[[z]] becomes [[w z]] for each limb, twice with one set-up."""
    rng = np.random.default_rng(seed)
    pool = np.concatenate([words(EXTREMES), rng.integers(0, 2**64, 8, dtype=np.uint64)])
    weights, z = rng.choice(pool, (limbs, rows)), rng.choice(pool, (2, rows, columns))
    roles = roles_of(parties, owner, swap)

    async def program(ctx):
        own = weights if ctx.me == roles[0] else None
        w = await set_up_weights(ctx, ("w",), roles, (limbs, rows), own)
        first = await scale(ctx, ("a",), w, shared(ctx, roles[:2], z[0]))
        second = await scale(ctx, ("b",), w, shared(ctx, roles[:2], z[1]))
        return (first[-1] + second[-1]).map(lambda a: a, (rows, columns))

    expected = weights[-1][:, None] * (z[0] + z[1])
    assert np.array_equal(asyncio.run(run_opened(parties, program)), expected)


async def test_index_out_of_range_from_a_peer_is_refused():
    """A helper refuses a permutation that would reach outside its array."""

    async def program(ctx):
        if ctx.me == 0:
            ctx.network.send_permutation(2, ("p", "pi2"), np.array([0, 3], np.uint32))
        if ctx.me == 2:
            await set_up_permutation(ctx, ("p",), (0, 1, 2), (3, 2), None)

    with pytest.raises(ShapeMismatch, match="out of range"):
        await run_all(contexts(roster_of(3)), program)


async def test_wrong_size_of_the_owners_arrays_is_refused():
    """The owner must give arrays of the public size."""
    owner = contexts(roster_of(3))[0]
    with pytest.raises(ValueError, match="as many indices"):
        await set_up_permutation(owner, ("p",), (0, 1, 2), (3, 2), np.zeros(3, np.uint32))
    with pytest.raises(ValueError, match="public shape"):
        await set_up_weights(owner, ("w",), (0, 1, 2), (1, 2), np.zeros((1, 3), np.uint64))


async def test_value_shared_by_others_is_refused():
    """A value shared with the wrong helper cannot be permuted or scaled."""
    owner = contexts(roster_of(3))[0]
    p = await set_up_permutation(owner, ("p",), (0, 1, 2), (1, 1), np.zeros(1, np.uint32))
    w = await set_up_weights(owner, ("w",), (0, 1, 2), (1, 1), np.zeros((1, 1), np.uint64))
    x = shared(owner, (0, 2), np.zeros((1, 1), np.uint64))
    with pytest.raises(ValueError, match="not shared as"):
        await permute(owner, ("a",), p, x)
    with pytest.raises(ValueError, match="not shared as"):
        await scale(owner, ("a",), w, x)
