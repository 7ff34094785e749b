"""Compiled loops over the rows of big arrays.

All arrays of words are (N, K) uint64 and contiguous: the K columns of a row lie side by side, so
that a gather moves whole cache lines.  Arithmetic wraps modulo 2^64.  The kernels release the
interpreter lock, so that the threads of the transport go on meanwhile, and are cached on disk.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from graph_mpc.ring import Words

__all__ = [
    "apply_limbs",
    "apply_limbs_block",
    "gather_add",
    "gather_rows",
    "gather_subtract",
    "prefix_sum",
    "rank_by_group",
    "scale_helped",
    "scale_helper",
    "scale_owned",
    "scatter_add",
    "scatter_add_rows",
    "suffix_sum",
    "swap_bit_numbers",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _compile(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Compile at the first call, without the interpreter lock, and cache on disk."""
    compiled: Callable[_P, _T] = numba.njit(cache=True, nogil=True)(function)
    return compiled


@_compile
def gather_rows(x: Words, index: NDArray[np.uint32]) -> Words:
    """Return x[index]."""
    out = np.empty((index.shape[0], x.shape[1]), np.uint64)
    for i in range(index.shape[0]):
        j = index[i]
        for k in range(x.shape[1]):
            out[i, k] = x[j, k]
    return out


@_compile
def gather_subtract(x: Words, index: NDArray[np.uint32], mask: Words) -> Words:
    """Return x[index] - mask."""
    out = np.empty((index.shape[0], x.shape[1]), np.uint64)
    for i in range(index.shape[0]):
        j = index[i]
        for k in range(x.shape[1]):
            out[i, k] = x[j, k] - mask[i, k]
    return out


@_compile
def gather_add(
    x: Words, x_index: NDArray[np.uint32], y: Words, y_index: NDArray[np.uint32]
) -> Words:
    """Return x[x_index] + y[y_index]."""
    out = np.empty((x_index.shape[0], x.shape[1]), np.uint64)
    for i in range(x_index.shape[0]):
        j = x_index[i]
        h = y_index[i]
        for k in range(x.shape[1]):
            out[i, k] = x[j, k] + y[h, k]
    return out


@_compile
def prefix_sum(x: Words) -> None:
    """Replace each row by the sum of the rows up to it."""
    for i in range(1, x.shape[0]):
        for k in range(x.shape[1]):
            x[i, k] += x[i - 1, k]


@_compile
def suffix_sum(x: Words) -> None:
    """Replace each row by the sum of the rows from it on."""
    for i in range(x.shape[0] - 2, -1, -1):
        for k in range(x.shape[1]):
            x[i, k] += x[i + 1, k]


@_compile
def scale_owned(w: Words, z: Words, message: Words, mask: Words) -> Words:
    """Return w (z + message) + mask, row by row: the owner's part of a scaling."""
    out = np.empty_like(z)
    for i in range(z.shape[0]):
        for k in range(z.shape[1]):
            out[i, k] = w[i] * (z[i, k] + message[i, k]) + mask[i, k]
    return out


@_compile
def scale_helper(u: Words, s: Words, mask: Words) -> Words:
    """Return u s - mask, row by row: the message of the helper that holds z."""
    out = np.empty_like(s)
    for i in range(s.shape[0]):
        for k in range(s.shape[1]):
            out[i, k] = u[i] * s[i, k] - mask[i, k]
    return out


@_compile
def scale_helped(message: Words, masked_w: Words, s: Words) -> Words:
    """Return message - masked_w s, row by row: the share of the helper that takes over."""
    out = np.empty_like(s)
    for i in range(s.shape[0]):
        for k in range(s.shape[1]):
            out[i, k] = message[i, k] - masked_w[i] * s[i, k]
    return out


@_compile
def apply_limbs(
    row_start: NDArray[np.int64], column: NDArray[np.uint32], limbs: Words, d: Words
) -> Words:
    """Return A_l d for each limb l of a sparse matrix in compressed rows.

    Args:
        row_start: int64 (n_out + 1,).
        column: uint32 (non-zeros,).
        limbs: (L, non-zeros).
        d: (n_in,).

    Returns:
        (L, n_out).
    """
    outputs = row_start.shape[0] - 1
    out = np.zeros((limbs.shape[0], outputs), np.uint64)
    for i in range(outputs):
        for e in range(row_start[i], row_start[i + 1]):
            x = d[column[e]]
            for limb in range(limbs.shape[0]):
                out[limb, i] += limbs[limb, e] * x
    return out


@_compile
def apply_limbs_block(
    row_start: NDArray[np.int64], column: NDArray[np.uint32], limbs: Words, d: Words
) -> Words:
    """Return A_l d for each limb l, (L, n_out, W), of d of shape (n_in, W)."""
    outputs = row_start.shape[0] - 1
    width = d.shape[1]
    out = np.zeros((limbs.shape[0], outputs, width), np.uint64)
    for i in range(outputs):
        for e in range(row_start[i], row_start[i + 1]):
            j = column[e]
            for limb in range(limbs.shape[0]):
                for k in range(width):
                    out[limb, i, k] += limbs[limb, e] * d[j, k]
    return out


@_compile
def rank_by_group(group: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Return the stable permutation that sorts by group (a counting sort).

    Args:
        group: int64 (N,), each in [0, groups).
        groups: number of groups.

    Returns:
        int64 (N,): position k of the sorted order holds element result[k].
    """
    start = np.zeros(groups + 1, np.int64)
    for i in range(group.shape[0]):
        start[group[i] + 1] += 1
    for g in range(groups):
        start[g + 1] += start[g]
    order = np.empty(group.shape[0], np.int64)
    for i in range(group.shape[0]):
        order[start[group[i]]] = i
        start[group[i]] += 1
    return order


@_compile
def scatter_add(x: Words, index: NDArray[np.int64], values: Words) -> None:
    """Add values[i] to x[index[i]] for every i."""
    for i in range(index.shape[0]):
        x[index[i]] += values[i]


@_compile
def scatter_add_rows(x: Words, index: NDArray[np.int64], values: Words) -> None:
    """Add row i of ``values`` to row index[i] of x, for every i."""
    for i in range(index.shape[0]):
        j = index[i]
        for k in range(x.shape[1]):
            x[j, k] += values[i, k]


@_compile
def swap_bit_numbers(words: Words, width: int) -> Words:
    """Move bit i of each word to the place whose binary number is that of i backwards.

    Args:
        words: (N,), each below 2^width.
        width: a power of two up to 64.
    """
    out = words.copy()
    low = 0
    high = 0
    while (1 << (high + 1)) < width:
        high += 1
    while low < high:
        # Exchange the digits ``low`` and ``high`` of the bits' numbers, all bits at once.
        shift = np.uint64((1 << high) - (1 << low))
        mask = np.uint64(0)
        for bit in range(width):
            if bit >> low & 1 and not bit >> high & 1:
                mask |= np.uint64(1) << np.uint64(bit)
        for i in range(out.shape[0]):
            moved = (out[i] ^ (out[i] >> shift)) & mask
            out[i] ^= moved ^ (moved << shift)
        low += 1
        high -= 1
    return out
