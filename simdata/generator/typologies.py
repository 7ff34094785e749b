"""The shapes of laundering schemes: who pays whom, step by step.

A shape is a small directed graph over the members of one scheme, numbered from 0.  Each step has a
hop number: a member passes money on at one hop only, later than all hops at which it receives, and
a step of hop h waits for the money of the hops before.  ``entries`` hold the money at the start; in
a cycle the entry is also the last to be paid.  Amounts, times and banks are laid over the shape by
``simdata.generator.schemes``; nothing here knows them.

The first eight are the patterns of AMLworld (Altman et al., 2023, arXiv:2306.16424); structuring,
mule chains and funnel accounts are those of the FATF's and FinCEN's typology reports.

A new typology is one function ``(rng, count) -> Shape`` and one line in ``TYPOLOGIES``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simdata.generator.payments import Ints

__all__ = ["TYPOLOGIES", "Shape", "Typology"]


@dataclass(frozen=True)
class Shape:
    """The steps of one scheme.

    Attributes:
        members: number of accounts.
        source: int64 (e,), payer of each step.
        target: int64 (e,), payee.
        hop: int64 (e,), from 1.
        entries: int64, members that hold the money at the start.
    """

    members: int
    source: Ints
    target: Ints
    hop: Ints
    entries: Ints


@dataclass(frozen=True)
class Typology:
    """A kind of scheme.

    Attributes:
        draw: shape for a number drawn from ``low`` to ``high``.
        low: least number that is drawn if the configuration does not say.
        high: greatest number.
        least: least number that makes sense.
        below_limit: whether every payment is kept below the reporting limit for cash.
        always_placed: whether every scheme begins with cash deposits.
        counts: what the number counts.
    """

    draw: Callable[[np.random.Generator, int], Shape]
    low: int
    high: int
    least: int
    counts: str
    below_limit: bool = False
    always_placed: bool = False


def _shape(members: int, steps: Sequence[tuple[int, int, int]], entries: Sequence[int]) -> Shape:
    source, target, hop = np.array(steps, np.int64).reshape(-1, 3).T
    return Shape(members, source, target, hop, np.array(entries, np.int64))


def _fan_in(_rng: np.random.Generator, count: int) -> Shape:
    return _shape(count + 1, [(i, 0, 1) for i in range(1, count + 1)], range(1, count + 1))


def _fan_out(_rng: np.random.Generator, count: int) -> Shape:
    return _shape(count + 1, [(0, i, 1) for i in range(1, count + 1)], [0])


def _cycle(_rng: np.random.Generator, count: int) -> Shape:
    return _shape(count, [(i, (i + 1) % count, i + 1) for i in range(count)], [0])


def _chain(_rng: np.random.Generator, count: int) -> Shape:
    return _shape(count, [(i, i + 1, i + 1) for i in range(count - 1)], [0])


def _layers(rng: np.random.Generator, widths: Sequence[int]) -> Shape:
    """Members in layers; each pays one of the next layer at least, and each is paid by one."""
    first = np.concatenate([[0], np.cumsum(widths)]).tolist()
    steps: list[tuple[int, int, int]] = []
    for layer, (width, following) in enumerate(pairwise(widths)):
        joined = rng.random((width, following)) < 0.5
        joined[np.arange(width), rng.integers(0, following, width)] = True
        joined[rng.integers(0, width, following), np.arange(following)] = True
        steps += [
            (first[layer] + i, first[layer + 1] + j, layer + 1) for i, j in np.argwhere(joined)
        ]
    return _shape(int(first[-1]), steps, range(widths[0]))


def _bipartite(rng: np.random.Generator, count: int) -> Shape:
    payers = int(rng.integers(2, count - 1))
    return _layers(rng, [payers, count - payers])


def _stack(rng: np.random.Generator, count: int) -> Shape:
    return _layers(rng, rng.integers(2, 4, count).tolist())


def _random(rng: np.random.Generator, count: int) -> Shape:
    """Each member but the first is paid by an earlier one; a third of them by a second one too."""
    pairs = {(int(rng.integers(0, i)), i) for i in range(1, count)}
    for i in range(2, count):
        if rng.random() < 1 / 3:
            pairs.add((int(rng.integers(0, i)), i))
    depth = [0] * count
    for i, j in sorted(pairs, key=lambda pair: pair[1]):
        depth[j] = max(depth[j], depth[i] + 1)
    return _shape(count, [(i, j, depth[i] + 1) for i, j in sorted(pairs)], [0])


def _scatter_gather(_rng: np.random.Generator, count: int) -> Shape:
    out = [(0, i, 1) for i in range(1, count + 1)]
    back = [(i, count + 1, 2) for i in range(1, count + 1)]
    return _shape(count + 2, out + back, [0])


def _gather_scatter(rng: np.random.Generator, count: int) -> Shape:
    payers = int(rng.integers(2, count - 1))
    gather = [(i, 0, 1) for i in range(1, payers + 1)]
    scatter = [(0, i, 2) for i in range(payers + 1, count + 1)]
    return _shape(count + 1, gather + scatter, range(1, payers + 1))


def _funnel(_rng: np.random.Generator, count: int) -> Shape:
    gather = [(i, 0, 1) for i in range(2, count + 2)]
    return _shape(count + 2, [*gather, (0, 1, 2)], range(2, count + 2))


TYPOLOGIES: Mapping[str, Typology] = {
    "fan-in": Typology(_fan_in, 4, 12, 2, "payers of the one account"),
    "fan-out": Typology(_fan_out, 4, 12, 2, "payees of the one account"),
    "cycle": Typology(_cycle, 3, 6, 2, "accounts in the ring"),
    "bipartite": Typology(_bipartite, 5, 10, 4, "accounts of both sides together"),
    "stack": Typology(_stack, 3, 4, 3, "layers of two or three accounts"),
    "random": Typology(_random, 5, 10, 3, "accounts"),
    "scatter-gather": Typology(_scatter_gather, 3, 8, 2, "accounts between the two ends"),
    "gather-scatter": Typology(_gather_scatter, 6, 12, 4, "accounts around the one in the middle"),
    "structuring": Typology(
        _fan_in, 3, 8, 2, "accounts that cash is paid into", below_limit=True, always_placed=True
    ),
    "chain": Typology(_chain, 4, 7, 3, "mules in a row, each keeping its cut"),
    "funnel": Typology(_funnel, 6, 14, 2, "payers of the funnel account", below_limit=True),
}
"""The typologies by name."""
