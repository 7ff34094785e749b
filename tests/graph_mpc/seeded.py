"""Contexts with fixed seeds, and helpers for arrays shared over Z_2^64."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from graph_mpc.context import Context
from graph_mpc.ring import RING64, Ring, Words
from graph_mpc.roster import Roster
from graph_mpc.shares import Shared
from graph_mpc.streams import SeededStreams
from tests.graph_mpc.local import contexts, opened, roster_of, run_all

EXTREMES = (0, 1, -1, 2**61, -(2**61), 2**61 - 1, 1 - 2**61, 2**60, 3 << 20, -(5 << 20))
"""Values at the bounds of truncation."""


def seeded_contexts(roster: Roster, seed: int, ring: Ring = RING64) -> list[Context]:
    """Contexts whose whole randomness follows from the seed."""

    def streams(me: int) -> SeededStreams:
        pairs = {p: (min(me, p), max(me, p)) for p in range(roster.parties)}
        seeds = {
            p: hashlib.sha256(repr((seed, pair)).encode()).digest() for p, pair in pairs.items()
        }
        fixed = SeededStreams(me, seeds, "test", ring)
        # A party's own seed is fresh in real life; a deterministic test fixes it as well.
        fixed._seeds[me] = seeds[me]
        return fixed

    return contexts(roster, ring, streams)


def shared(ctx: Context, holders: tuple[int, int], values: Words, seed: int = 1) -> Shared:
    """Values shared at random by two holders."""
    owner, helper = holders
    rest = np.random.default_rng(seed).integers(0, 2**64, values.shape, dtype=np.uint64)
    local = {owner: values - rest, helper: rest}.get(ctx.me)
    return Shared(owner, helper, values.shape, local)


def words(values: Any) -> Words:
    """Signed Python integers as ring elements."""
    return np.array(
        [int(v) % 2**64 for v in np.asarray(values, object).ravel()], np.uint64
    ).reshape(np.shape(values))


def signed(values: Words) -> np.ndarray:
    """Ring elements as signed integers."""
    return values.view(np.int64)


async def run_opened(
    parties: int, program: Callable[[Context], Awaitable[Any]], seed: int = 0
) -> np.ndarray:
    """Run a program at all parties and open the array that it returns."""
    return opened(RING64, await run_all(seeded_contexts(roster_of(parties), seed), program))
