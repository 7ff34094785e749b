r"""The three permutations that carry a private sparse matrix.

An owner's matrix A has E entries (source input j, target output i, weight).  The preparation of A r
walks through three orders, and the owner describes the way from each to the next by a permutation:

1. *input rows* [differences of the n inputs | +imports | -imports | E zeros] --P1--> *source
   order*: for each input v its difference, its imports, one slot for each entry that starts at v,
   its imports negated.  A prefix sum now leaves r_v + (imports of v) in every slot of v.
2. source order (padded with zeros where there are more outputs than spare slots) --P2-->
   *destination order*: for each output u a slot, then the entries that end at u.  The owner scales
   by the weights, 0 in the slots; a suffix sum leaves the sum of the groups u, u+1, ... in the slot
   of u.
3. destination order --P3--> *output order*: the slots only.  A difference leaves the groups' sums.

Where the weights depend on the payer only, the inputs are scaled instead of the entries
(``InputScaled``): the slots of the destination order must then be rows of zeros, of which P2 gets
its own, and padding entries stand before the first slot, where no sum reaches them.

``placed`` imports are added to an input each (push analyses); a pull analysis has its imports among
the inputs.

Source: protocol design, section 4; the walk between source and destination order goes back to
Graphiti and its predecessors.  The imports' +/- pairs are ours: see
docs/decisions/imports-in-the-map.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.kernels import rank_by_group
from graph_mpc.ring import Words

__all__ = ["Entries", "MapShape", "MapWalk", "compressed_rows", "lay_out"]

Indices = NDArray[np.uint32]


@dataclass(frozen=True)
class MapShape:
    """What everybody knows of a private matrix: padded sizes.

    Attributes:
        inputs: n, number of input rows.
        outputs: number of output rows.
        entries: E, padded number of non-zeros.
        placed: number of imports that are added to inputs.
        limbs: limbs per weight.
        input_scaled: whether the weights stand at the inputs, so that these are scaled instead of
            the entries.
    """

    inputs: int
    outputs: int
    entries: int
    placed: int
    limbs: int
    input_scaled: bool = False

    @property
    def source_rows(self) -> int:
        """Rows of the source order."""
        return self.inputs + 2 * self.placed + self.entries

    @property
    def walk_rows(self) -> int:
        """Rows of the source order with its padding."""
        if self.input_scaled:
            return self.source_rows + self.outputs
        return max(self.inputs + 2 * self.placed, self.outputs) + self.entries

    @property
    def target_rows(self) -> int:
        """Rows of the destination order."""
        return self.outputs + self.entries

    @property
    def scaled_rows(self) -> int:
        """Rows that are scaled: inputs and imports, or the destination order."""
        return self.inputs + self.placed if self.input_scaled else self.target_rows


@dataclass(frozen=True)
class Entries:
    """A private matrix as its owner has it; already padded to the public sizes.

    Attributes:
        source: int64 (E,), input of each entry.
        target: int64 (E,), output of each entry.
        limbs: uint64 (L, E), the weights; all the same for one input if these are scaled.
        place: int64 (placed,), the input to which each import is added.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    limbs: Words
    place: NDArray[np.int64]


@dataclass(frozen=True)
class MapWalk:
    """The permutations, and the weights (L, scaled rows)."""

    to_source: Indices
    to_target: Indices
    to_output: Indices
    weights: Words


def lay_out(shape: MapShape, entries: Entries) -> MapWalk:
    """Return the walk of a matrix; counting sorts only, no loop in Python."""
    to_source = _source_order(shape, entries)
    slot_of_entry, spare = _slots(shape, to_source)
    order = _target_order(shape, entries)
    is_slot = order < shape.outputs
    to_target = np.empty(shape.target_rows, np.uint32)
    to_target[is_slot] = spare[: shape.outputs]
    to_target[~is_slot] = slot_of_entry[order[~is_slot] - shape.outputs]
    if shape.input_scaled:
        weights = _input_weights(shape, entries)
    else:
        weights = np.zeros((shape.limbs, shape.target_rows), np.uint64)
        weights[:, ~is_slot] = entries.limbs[:, order[~is_slot] - shape.outputs]
    # The slots stand in the order of the outputs, so P3 just lists where they are.
    to_output = np.flatnonzero(is_slot).astype(np.uint32)
    return MapWalk(to_source, to_target, to_output, weights)


def _input_weights(shape: MapShape, entries: Entries) -> Words:
    """Return the weight of each input, and of each import that of the input it is added to."""
    weights = np.zeros((shape.limbs, shape.inputs), np.uint64)
    used = entries.limbs.any(axis=0)
    weights[:, entries.source[used]] = entries.limbs[:, used]
    return np.concatenate([weights, weights[:, entries.place]], axis=1)


def _source_order(shape: MapShape, entries: Entries) -> Indices:
    """Return P1: groups by input; difference, imports, entries, negated imports within."""
    n, placed = shape.inputs, shape.placed
    kinds = (np.arange(n), entries.place, entries.place, entries.source)
    ranks = (0, 1, 3, 2)
    keys = np.concatenate(
        [4 * np.asarray(of, np.int64) + rank for of, rank in zip(kinds, ranks, strict=True)]
    )
    if len(keys) != n + 2 * placed + shape.entries:
        raise ValueError("the entries are not padded to the public sizes")
    return rank_by_group(keys, 4 * n).astype(np.uint32)


def _slots(shape: MapShape, to_source: Indices) -> tuple[Indices, Indices]:
    """Return where each entry's copy stands in source order, and the other rows."""
    first_entry = shape.inputs + 2 * shape.placed
    is_entry = to_source >= first_entry
    slot_of_entry = np.empty(shape.entries, np.uint32)
    slot_of_entry[to_source[is_entry] - first_entry] = np.flatnonzero(is_entry)
    padding = np.arange(shape.source_rows, shape.walk_rows, dtype=np.uint32)
    if shape.input_scaled:
        return slot_of_entry, padding
    spare = np.concatenate([np.flatnonzero(~is_entry).astype(np.uint32), padding])
    return slot_of_entry, spare


def _target_order(shape: MapShape, entries: Entries) -> NDArray[np.int64]:
    """Return the destination order of [slots | entries]: each slot before its entries."""
    ends = 2 * entries.target + 2
    if shape.input_scaled:
        ends = np.where(entries.limbs.any(axis=0), ends, 0)
    keys = np.concatenate([2 * np.arange(shape.outputs) + 1, ends])
    return rank_by_group(keys.astype(np.int64), 2 * shape.outputs + 1)


def compressed_rows(shape: MapShape, entries: Entries) -> tuple[NDArray[np.int64], Indices, Words]:
    """Return (row_start, column, limbs) of the matrix in compressed rows."""
    order = rank_by_group(entries.target.astype(np.int64), shape.outputs)
    counts = np.bincount(entries.target, minlength=shape.outputs)
    row_start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    limbs = np.ascontiguousarray(entries.limbs[:, order])
    return row_start, entries.source[order].astype(np.uint32), limbs
