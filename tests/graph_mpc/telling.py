"""Can views of two kinds of runs be told apart?  Low-dimensional projections, compared by counts.

Of every word that a party received: each hexadecimal digit.  Of every pair of arrays of equal
length of its view, at least one of them received, opened, or a masked input d (the other
received, drawn or a column or row of what was drawn, sent, or a share): first and last digit of
exclusive or, difference and sum, word by word.  Of permutations: each position's value, and how
one's positions lie to another's.  Of lists of tags: how many are equal, and where; of answers, how
many are positive.  The smallest p-value is multiplied by the number of projections.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from scipy.special import gammaincc

from tests.graph_mpc.simulator import View

Stack = dict[tuple, np.ndarray]
_DIGITS = [np.uint64(4 * i) for i in range(16)]
_ENDS = (_DIGITS[0], _DIGITS[-1])


def stacked(views: list[View]) -> Stack:
    """Return each entry of all views, (runs, elements), with parts and opened values besides."""
    entries = views[0].entries
    assert all(view.entries.keys() == entries.keys() for view in views)
    stack: Stack = {}
    for key, first in entries.items():
        values = np.stack([view.entries[key] for view in views])
        stack[key] = values.reshape(len(views), -1)
        if key[0] == "drew" and first.ndim > 1 and values.dtype == np.uint64:
            axis = 1 if first.ndim == 3 else 2
            for part in range(values.shape[axis]):
                some = np.take(values, part, axis).reshape(len(views), -1)
                stack["part", key[1], (*key[2], part)] = some
    for _kind, peer, label in [k for k in stack if k[0] == "received" and k[2][-1] in ("c", "a")]:
        both = [stack[kind, peer, label] for kind in ("sent", "received")]
        stack["received", -1, (*label, "opened")] = both[0] + both[1]
    for _kind, peer, label in [k for k in stack if k[0] == "received" and k[2][-2:-1] == ("own",)]:
        share = ("share", label[-1], ("push", label[3] - 1 if len(label) > 3 else None))
        if share in stack:
            stack["received", -1, (*label, "d")] = stack["received", peer, label] + stack[share]
    return stack


def least_p_value(first: list[View], second: list[View]) -> float:
    """Return the smallest p-value of all projections, times their number."""
    pair = stacked(first), stacked(second)
    assert {k: v.shape[1] for k, v in pair[0].items()} == {
        k: v.shape[1] for k, v in pair[1].items()
    }
    found = [
        p
        for projections in (_words, _pairs, _small)
        for one, two, cells in projections(*pair)
        for p in two_samples(one, two, cells)
    ]
    return min(found) * len(found)


def _received(key: tuple) -> bool:
    return key[0] in ("received", "scalars")


def _words(first: Stack, second: Stack) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    for key, words in first.items():
        if _received(key) and words.dtype == np.uint64 and words.size:
            yield _digits(words, _DIGITS), _digits(second[key], _DIGITS), 16


def _pairs(first: Stack, second: Stack) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    by_size: dict[int, list[tuple]] = {}
    for key, words in first.items():
        if words.dtype == np.uint64 and words.size:
            by_size.setdefault(words.shape[1], []).append(key)
    for keys in by_size.values():
        for a, b in itertools.combinations(keys, 2):
            if _received(a) or _received(b):
                for combine in (np.bitwise_xor, np.subtract, np.add):
                    one, two = combine(first[a], first[b]), combine(second[a], second[b])
                    yield _digits(one, _ENDS), _digits(two, _ENDS), 16


def _small(first: Stack, second: Stack) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Bytes, and permutations: values at each position, and two of them together."""
    ways = [key for key, values in first.items() if values.dtype == np.uint32]
    for key, values in first.items():
        if key[0] == "received" and values.dtype == np.uint8 and values.size:
            yield (
                values.reshape(1, -1).astype(np.int64),
                second[key].reshape(1, -1).astype(np.int64),
                256,
            )
    for key in first:
        if key[0] == "received" and key[2][-1] in ("tags", "answer"):
            yield _counted(key, first), _counted(key, second), 256
        if key[0] == "received" and key[2][-1] == "tags":
            yield _matched(key, first), _matched(key, second), 2
    for key in ways:
        cells = int(max(first[key].max(), second[key].max())) + 1
        yield first[key].T.astype(np.int64), second[key].T.astype(np.int64), cells
    for a, b in itertools.combinations(ways, 2):
        rows = min(first[a].shape[1], first[b].shape[1])
        cells = max(first[a].shape[1], first[b].shape[1], 1) * 4
        both = [(s[a][:, :rows].astype(np.int64) - s[b][:, :rows]) % cells for s in (first, second)]
        yield both[0].reshape(1, -1), both[1].reshape(1, -1), cells


def _counted(key: tuple, stack: Stack) -> np.ndarray:
    """Return how many bits of each answer are set, or tags of all lists of a label are equal."""
    if key[2][-1] == "answer":
        return stack[key].sum(axis=1, dtype=np.int64)[None]
    lists = np.concatenate([stack[k] for k in stack if k[0] == "received" and k[2] == key[2]], 1)
    distinct = [len({row.tobytes() for row in run.reshape(-1, 16)}) for run in lists]
    return np.array(distinct, np.int64)[None]


def _matched(key: tuple, stack: Stack) -> np.ndarray:
    """Return at which positions of a list a tag of the label's other list stands."""
    (other,) = [k for k in stack if k[0] == "received" and k[2] == key[2] and k != key]
    lists = (stack[k].reshape(len(stack[k]), -1, 16) for k in (key, other))
    equal = [(a[:, None] == b[None]).all(axis=2).any(axis=1) for a, b in zip(*lists, strict=True)]
    return np.array(equal, np.int64).T


def _digits(words: np.ndarray, at: tuple[np.uint64, ...] | list[np.uint64]) -> np.ndarray:
    flat = words.ravel()
    return np.stack([(flat >> digit) & np.uint64(15) for digit in at]).astype(np.int64)


def two_samples(first: np.ndarray, second: np.ndarray, cells: int) -> list[float]:
    """Return for each row the p-value of two samples being of one distribution."""
    rows = len(first)
    start = (np.arange(rows) * cells)[:, None]
    counts = [
        np.bincount((x + start).ravel(), minlength=rows * cells).reshape(rows, cells)
        for x in (first, second)
    ]
    total = counts[0] + counts[1]
    with np.errstate(invalid="ignore"):
        squares = np.where(total > 0, (counts[0] - counts[1]) ** 2 / np.maximum(total, 1), 0.0)
    freedom = np.count_nonzero(total, axis=1) - 1
    p = gammaincc(np.maximum(freedom, 1) / 2, squares.sum(axis=1) / 2)
    return [float(x) for x in np.where(freedom > 0, p, 1.0)]
