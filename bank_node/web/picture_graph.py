"""What a picture of a trace holds: own accounts, one node for each other bank, payments between.

Computed from the rows of the trace and the bank's own payments.  An account stands in the column of
the slice in which money of the trace first came to it (backward: last left it for the start), or of
its depth.  Beyond a number per column, or below an amount, the smallest are gathered into one node,
so that a picture of 5,000 accounts has a few hundred.  Of another bank there is its id and nothing
else: which of its accounts was paid is dropped here, before anything is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bank_node.desk import TracePage
from bank_node.web.picture_reached import Reached, reached_by

__all__ = ["ASKED_FIRST", "Edge", "Graph", "Node", "Wish", "graph_of"]

ASKED_FIRST = -1
"""Slice at which the start of a trace is shown when it is played: before all others."""
_MOST_COLUMNS = 40
_MOST_BANKS = 8
_MOST_ABOVE_CUT = 400

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Wish:
    """How a person wants the picture.

    Attributes:
        by: what the columns are.
        cut: accounts that received less are gathered; None: beyond ``most`` in a column.
        most: accounts of a column that are drawn one by one.
    """

    by: Literal["slice", "depth"] = "slice"
    cut: float | None = None
    most: int = 30


@dataclass(frozen=True)
class Node:
    """A node: ``kind`` is start, account, gathered or bank.

    Attributes:
        label: account or id of a bank; empty for gathered ones. column: -1 for a bank.
        amount, returned: received and returned. slice: when it is first seen, for playing.
        count: accounts, or banks, that it stands for. next: largest amount gathered in it.
    """

    kind: Literal["start", "account", "gathered", "bank"]
    label: str
    column: int
    amount: float
    returned: float
    slice: int
    count: int = 1
    next: float = 0.0


@dataclass(frozen=True)
class Edge:
    """Payments from one node to another; ``is_back``: from where money came round to the start."""

    source: int
    target: int
    amount: float
    payments: int
    slice: int
    is_back: bool


@dataclass(frozen=True)
class Graph:
    """A picture before it has a form.

    Attributes:
        columns: for each column the first and last slice or depth in it; None: the start.
        place: node of each own account, in the order of ``Reached.accounts``.
    """

    by: Literal["slice", "depth"]
    columns: tuple[tuple[int, int] | None, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    place: Ints
    is_band: bool

    @property
    def gathered(self) -> int:
        """Number of accounts that have no node of their own."""
        return sum(node.count for node in self.nodes if node.kind == "gathered")


def graph_of(page: TracePage, bank: str, decimals: int, wish: Wish) -> Graph:
    """Return what is to be drawn.

    Args:
        page: the trace. bank: id of the own bank. decimals: of the base currency.
        wish: what the columns are, and what is gathered.
    """
    reached = reached_by(page)
    by = wish.by if reached.has_depth else "slice"
    backward = page.parameters.get("direction") == "backward"
    column, columns = _columns(reached, by, backward)
    own, place = _own_nodes(reached, column, wish)
    banks, bank_of = _banks(page.links, bank, len(own))
    edges = _edges(page.links, bank, reached, place, bank_of, 10.0**decimals)
    return Graph(by, columns, (*own, *banks), edges, place, reached.is_band)


def _columns(
    reached: Reached, by: str, backward: bool
) -> tuple[Ints, tuple[tuple[int, int] | None, ...]]:
    """Return the column of each account, and what stands in each column."""
    at = reached.depth if by == "depth" else reached.last if backward else reached.first
    steps = np.unique(at[~reached.asked])
    if by == "depth" and backward:
        steps = steps[::-1]
    parts = [p for p in np.array_split(steps, min(len(steps), _MOST_COLUMNS) or 1) if len(p)]
    bounds: list[tuple[int, int] | None] = [(int(p.min()), int(p.max())) for p in parts]
    sizes = np.array([len(p) for p in parts], np.int64)
    part_of_step = np.repeat(np.arange(len(parts)), sizes)
    ascending = np.argsort(steps)
    where = np.searchsorted(steps[ascending], at).clip(max=max(len(steps) - 1, 0))
    column = part_of_step[ascending][where] if len(steps) else np.zeros(len(at), np.int64)
    # Time runs from left to right: the start of a trace backward stands at the right.
    if backward:
        return np.where(reached.asked, len(parts), column), (*bounds, None)
    return np.where(reached.asked, 0, column + 1), (None, *bounds)


def _own_nodes(reached: Reached, column: Ints, wish: Wish) -> tuple[list[Node], Ints]:
    """Return nodes of accounts and of gathered ones, and the node of each account."""
    weight = np.where(reached.asked, reached.returned, reached.received)
    order = np.lexsort((np.arange(len(weight)), -weight, column))
    in_order = column[order]
    begins = np.searchsorted(in_order, in_order)
    rank = np.arange(len(order)) - begins
    size = np.searchsorted(in_order, in_order, side="right") - begins
    if wish.cut is None:
        shown = (rank < wish.most) | (size <= wish.most + 1)
    else:
        above = (weight[order] >= wish.cut) | reached.asked[order]
        shown = above & (rank < _MOST_ABOVE_CUT)
    nodes = [_account_node(reached, int(i), int(column[i])) for i in order[shown]]
    place = np.full(len(weight), -1, np.int64)
    place[order[shown]] = np.arange(len(nodes))
    rest = order[~shown]
    for c in np.unique(column[rest]).tolist():
        members = rest[column[rest] == c]
        place[members] = len(nodes)
        nodes.append(_gathered_node(reached, members, c))
    return nodes, place


def _account_node(reached: Reached, i: int, column: int) -> Node:
    asked = bool(reached.asked[i])
    return Node(
        kind="start" if asked else "account",
        label=reached.accounts[i],
        column=column,
        amount=float(reached.received[i]),
        returned=float(reached.returned[i]),
        slice=ASKED_FIRST if asked else int(reached.first[i]),
    )


def _gathered_node(reached: Reached, members: Ints, column: int) -> Node:
    received = reached.received[members]
    return Node(
        kind="gathered",
        label="",
        column=column,
        amount=float(received.max() if reached.is_band else received.sum()),
        returned=float(reached.returned[members].sum()),
        slice=int(reached.first[members].min()),
        count=len(members),
        next=float(received.max()),
    )


def _banks(links: pa.Table, bank: str, first: int) -> tuple[list[Node], Mapping[str, int]]:
    """Return a node for each of the other banks, and which node a bank has."""
    totals: dict[str, list[int]] = {}
    for side in ("from_bank", "to_bank"):
        summed = links.group_by(side).aggregate([("amount", "sum"), ("slice", "min")])
        for line in summed.to_pylist():
            seen = totals.setdefault(line[side], [0, line["slice_min"]])
            seen[:] = [seen[0] + line["amount_sum"], min(seen[1], line["slice_min"])]
    totals.pop(bank, None)
    ranked = sorted(totals, key=lambda name: (-totals[name][0], name))
    named = sorted(ranked[:_MOST_BANKS])
    nodes = [Node("bank", name, -1, 0.0, 0.0, totals[name][1]) for name in named]
    node_of = {name: first + i for i, name in enumerate(named)}
    others = ranked[_MOST_BANKS:]
    if others:
        earliest = min(totals[name][1] for name in others)
        node_of |= dict.fromkeys(others, first + len(named))
        nodes.append(Node("bank", "", -1, 0.0, 0.0, earliest, len(others)))
    return nodes, node_of


def _edges(
    links: pa.Table,
    bank: str,
    reached: Reached,
    place: Ints,
    bank_of: Mapping[str, int],
    unit: float,
) -> tuple[Edge, ...]:
    """Return the payments between the nodes, those of the same two added up."""
    source = _ends(links, "from", bank, reached, place, bank_of)
    target = _ends(links, "to", bank, reached, place, bank_of)
    kept = (source >= 0) & (target >= 0) & (source != target)
    if not kept.any():
        return ()
    size = int(max(source.max(), target.max())) + 1
    pair, which = np.unique(source[kept] * size + target[kept], return_inverse=True)
    amount = np.zeros(len(pair))
    np.add.at(amount, which, links["amount"].to_numpy()[kept] / unit)
    payments = np.zeros(len(pair), np.int64)
    np.add.at(payments, which, links["payments"].to_numpy()[kept])
    at = np.full(len(pair), np.iinfo(np.int64).max)
    np.minimum.at(at, which, links["slice"].to_numpy()[kept])
    source, target = pair // size, pair % size
    back = np.isin(target, np.unique(place[reached.asked & (reached.returned > 0)]))
    columns: tuple[list[Any], ...] = tuple(
        values.tolist() for values in (source, target, amount, payments, at, back)
    )
    return tuple(Edge(*values) for values in zip(*columns, strict=True))


def _ends(
    links: pa.Table,
    side: str,
    bank: str,
    reached: Reached,
    place: Ints,
    bank_of: Mapping[str, int],
) -> Ints:
    """Return the node at one side of each payment; -1 for an own account that was not reached."""
    names, nodes = pa.array(list(bank_of), pa.string()), np.array([*bank_of.values(), -1], np.int64)
    at_bank = nodes[pc.fill_null(pc.index_in(links[f"{side}_bank"], names), -1).to_numpy()]
    accounts = pa.array(reached.accounts, pa.string())
    found = pc.index_in(links[f"{side}_account"], accounts)
    at_own = np.append(place, -1)[pc.fill_null(found, -1).to_numpy()]
    is_own = pc.equal(links[f"{side}_bank"], bank).to_numpy()
    ends: Ints = np.where(is_own, at_own, at_bank)
    return ends
