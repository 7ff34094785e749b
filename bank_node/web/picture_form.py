"""The form of a picture: coordinates, widths and radii, all from numbers of its graph.

Widths of payments and areas of accounts grow with the logarithm of the amount, between the smallest
and the largest that are drawn: in a trace they lie many powers of ten apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_node.web.picture_graph import Graph
from bank_node.web.picture_layout import Layered, few_crossings, heights

__all__ = ["BAR", "MARGIN", "PITCH", "Form", "Scale", "form_of"]

Floats = NDArray[np.float64]

MARGIN, PITCH, ROW, HEAD = 78.0, 236.0, 38.0, 54.0
BAR = 24.0
_LEGEND = 96.0
_NARROWEST = 960.0
_THIN, _WIDE = 0.9, 7.0
_SMALL, _LARGE = 5.0, 13.0


@dataclass(frozen=True)
class Scale:
    """Maps amounts from ``least`` to ``most`` to sizes from ``low`` to ``high``."""

    least: float
    most: float
    low: float
    high: float

    def size(self, amounts: Floats) -> Floats:
        """Return the size of each amount."""
        span = np.log(self.most / self.least)
        if span < 1e-9:
            return np.full(len(amounts), (self.low + self.high) / 2)
        part = np.log(np.maximum(amounts, self.least) / self.least) / span
        sizes: Floats = self.low + (self.high - self.low) * np.clip(part, 0.0, 1.0)
        return sizes

    def samples(self) -> list[tuple[float, float]]:
        """Return amounts for a legend with their sizes: the smallest, the middle, the largest."""
        amounts = [self.least, float(np.sqrt(self.least * self.most)), self.most]
        if self.most / self.least < 1 + 1e-9:
            amounts = [self.most]
        sizes = self.size(np.array(amounts)).tolist()
        return list(zip(amounts, sizes, strict=True))


@dataclass(frozen=True)
class Form:
    """Where all of a picture is.

    Attributes:
        width, height: of the picture. bars: where the lanes of the other banks begin.
        legend: where the legend begins.
        x, y, radius: float64 (n,) of each node; of a bank, y of its lane.
        stroke: float64 (e,) of each edge. amounts: how stroke follows from an amount.
    """

    width: float
    height: float
    bars: float
    legend: float
    x: Floats
    y: Floats
    radius: Floats
    stroke: Floats
    amounts: Scale


def form_of(graph: Graph) -> Form:
    """Return the form of a graph, with few crossings."""
    column = np.array([node.column for node in graph.nodes], np.int64)
    is_own = column >= 0
    height = _own_heights(graph, column[is_own])
    tallest = float(height.max(initial=0.0)) * 2 + 1
    bars = HEAD + tallest * ROW + 26
    y = np.zeros(len(column))
    y[is_own] = HEAD + (height + tallest / 2) * ROW
    y[~is_own] = bars + BAR * np.arange(np.count_nonzero(~is_own)) + BAR / 2
    legend = bars + BAR * np.count_nonzero(~is_own) + 20
    width = max(MARGIN + PITCH * len(graph.columns), _NARROWEST)
    amounts = _scale(np.array([e.amount for e in graph.edges]), _THIN, _WIDE)
    received = np.array([node.amount for node in graph.nodes])
    sizes = _scale(received[is_own], _SMALL, _LARGE)
    return Form(
        width=width,
        height=legend + _LEGEND,
        bars=bars,
        legend=legend,
        x=MARGIN + PITCH * column.astype(np.float64),
        y=y,
        radius=sizes.size(received),
        stroke=amounts.size(np.array([e.amount for e in graph.edges])),
        amounts=amounts,
    )


def _scale(amounts: Floats, low: float, high: float) -> Scale:
    some = amounts[amounts > 0]
    if not len(some):
        return Scale(1.0, 1.0, low, high)
    return Scale(float(some.min()), float(some.max()), low, high)


def _own_heights(graph: Graph, column: NDArray[np.int64]) -> Floats:
    """Return the height of each own node in rows from the middle; gathered ones come last."""
    if not len(column):
        return np.zeros(0)
    own = len(column)
    ends = np.array([(e.source, e.target) for e in graph.edges], np.int64).reshape(-1, 2)
    between = ends[(ends < own).all(axis=1)]
    layered = Layered(column, between[:, 0], between[:, 1])
    is_gathered = np.array([node.kind == "gathered" for node in graph.nodes[:own]])
    first = _ranked(column, np.arange(own), is_gathered)
    return heights(layered, _ranked(column, few_crossings(layered, first), is_gathered))


def _ranked(
    column: NDArray[np.int64], wish: NDArray[np.int64], is_last: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return ranks from 0 in each column, in the order wished, the last ones behind."""
    order = np.lexsort((wish, is_last, column))
    rank = np.empty(len(column), np.int64)
    rank[order] = np.arange(len(column)) - np.searchsorted(column[order], column[order])
    return rank
