"""A trace as a picture, drawn at the server as SVG.

Inside a page colours come from the stylesheet, by class, so that they follow light and dark; in a
file they stand in the picture itself.  Both hold presentation attributes only, which a
Content-Security-Policy without inline style allows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from bank_node.web.picture_form import MARGIN, PITCH, Form, form_of
from bank_node.web.picture_graph import Edge, Graph, Node
from bank_node.web.picture_ink import Ink, Words, shortened
from bank_node.web.rendering import visible

__all__ = ["Drawn", "draw"]

_LONGEST, _LONGEST_LANE = 18, 60
_HALF = {"start": 14.0, "gathered": 12.0}


@dataclass(frozen=True)
class Drawn:
    """A picture: its SVG, and how many nodes and edges it shows."""

    svg: str
    nodes: int
    edges: int


def draw(graph: Graph, words: Words, *, as_file: bool = False) -> Drawn:
    """Return the picture of a graph.

    Args:
        graph: what is drawn. words: in the reader's language.
        as_file: whether colours stand in the picture; else a stylesheet gives them.
    """
    pen = _Pen(graph, form_of(graph), words, Ink(as_file=as_file))
    return Drawn(visible("".join(pen.picture())), len(graph.nodes), len(graph.edges))


class _Pen:
    """Writes one picture."""

    def __init__(self, graph: Graph, form: Form, words: Words, ink: Ink) -> None:
        self._graph, self._form, self._words, self._ink = graph, form, words, ink
        self._own = sum(node.kind != "bank" for node in graph.nodes)
        self._x, self._y = form.x.tolist(), form.y.tolist()
        self._half = [
            _HALF.get(node.kind, radius)
            for node, radius in zip(graph.nodes, form.radius.tolist(), strict=True)
        ]
        self._names = [self._name(node) for node in graph.nodes]

    def picture(self) -> Iterator[str]:
        """Give the picture in pieces, from the back to the front."""
        width, height = self._form.width, self._form.height
        yield (
            '<svg xmlns="http://www.w3.org/2000/svg" id="picture" role="img"'
            ' aria-labelledby="picture-title picture-text"'
            f' viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
            ' font-family="system-ui, sans-serif" font-size="12">'
            f'<title id="picture-title">{escape(self._words.title)}</title>'
            f'<desc id="picture-text">{escape(self._words.description)}</desc>'
        )
        yield self._ink.tips()
        if self._ink.as_file:
            yield self._ink.element("rect", "pic-paper", width="100%", height="100%")
        yield '<g id="picture-moved">'
        yield from self._columns()
        yield from map(self._lane, range(self._own, len(self._graph.nodes)))
        yield from map(self._edge, range(len(self._graph.edges)))
        yield from map(self._node, range(self._own))
        yield from _legend(self._ink, self._words, self._form, bool(self._graph.edges))
        yield "</g></svg>"

    def _columns(self) -> Iterator[str]:
        for c, bounds in enumerate(self._graph.columns):
            left = MARGIN + PITCH * c
            if c % 2 == 0:
                yield self._ink.element(
                    "rect", "pic-band", x=left - 46, y=0, width=PITCH, height=self._form.bars - 8
                )
            name = self._words.column(bounds)
            yield self._ink.text("pic-plain", left - 14, 24, name, font_weight=600)

    def _name(self, node: Node) -> str:
        words = self._words
        if node.kind == "bank":
            return words.bank(node.label) if node.label else words.others(node.count)
        return words.gathered(node.count) if node.kind == "gathered" else node.label

    def _group(self, i: int, said: str, inside: str) -> str:
        node = self._graph.nodes[i]
        return (
            f'<g class="pic-node" data-node="{i}" data-kind="{node.kind}"'
            f' data-slice="{node.slice}"><title>{escape(said)}</title>{inside}</g>'
        )

    def _lane(self, i: int) -> str:
        y, name = self._y[i], self._names[i]
        lane = self._ink.lane(8.0, y, self._form.width - 16, 18.0)
        shown = shortened(name, _LONGEST_LANE)
        words = self._ink.text("pic-plain", 22, y + 4, shown, font_weight=600)
        return self._group(i, name, lane + words)

    def _node(self, i: int) -> str:
        node, x, y = self._graph.nodes[i], self._x[i], self._y[i]
        left, ink = x + self._half[i] + 5, self._ink
        shapes = {"start": ink.start, "gathered": ink.stack}
        shape = shapes[node.kind](x, y) if node.kind in shapes else ink.account(x, y, self._half[i])
        name = ink.text("pic-text", left, y - 3, shortened(self._names[i], _LONGEST))
        if node.kind == "start" and node.returned > 0:
            told = self._words.returned(self._words.amount(node.returned))
            line = ink.turned(left, y + 9)
            line += ink.text("pic-returned", left + 18, y + 12, told, font_size=11)
        else:
            is_start = node.kind == "start"
            told = self._words.start if is_start else self._words.amount(node.amount)
            line = ink.text("pic-small", left, y + 12, told, font_size=11)
        return self._group(i, f"{self._names[i]}: {told}", shape + name + line)

    def _edge(self, k: int) -> str:
        edge = self._graph.edges[k]
        kind, tip, dash = "pic-edge", "tip", {}
        if edge.is_back:
            kind, tip, dash = "pic-edge pic-back", "tip-back", {"stroke_dasharray": "7 3"}
        elif max(edge.source, edge.target) >= self._own:
            kind, tip = "pic-edge pic-other", "tip-other"
        source, target = self._names[edge.source], self._names[edge.target]
        said = self._words.edge(source, target, self._words.money(edge.amount), edge.payments)
        return self._ink.element(
            "path", kind, f"<title>{escape(said)}</title>", d=self._way(edge),
            stroke_width=float(self._form.stroke[k]), marker_end=f"url(#{tip})",
            data_from=edge.source, data_to=edge.target, data_slice=edge.slice, **dash,
        )  # fmt: skip

    # The ways of payments.

    def _way(self, edge: Edge) -> str:
        if edge.target >= self._own:
            return self._down(edge.source, edge.target)
        if edge.source >= self._own:
            return self._up(edge.source, edge.target)
        if self._x[edge.target] > self._x[edge.source]:
            return self._onward(edge.source, edge.target)
        return self._backward(edge.source, edge.target)

    def _down(self, i: int, bank: int) -> str:
        """From an account to the lane of a bank, in the gutter at its right."""
        y, lane = self._y[i], self._y[bank]
        start, gutter = self._x[i] + self._half[i], self._x[i] + PITCH - 90 + 4 * (bank - self._own)
        return f"M{start:.1f} {y:.1f}H{gutter - 9:.1f}q9 0 9 9V{lane - 9:.1f}"

    def _up(self, bank: int, i: int) -> str:
        """From the lane of a bank to an account, in the gutter at its left."""
        y, lane = self._y[i], self._y[bank]
        end, gutter = self._x[i] - self._half[i] - 1, self._x[i] - 30 - 4 * (bank - self._own)
        return f"M{gutter:.1f} {lane - 9:.1f}V{y + 9:.1f}q0 -9 9 -9H{end:.1f}"

    def _onward(self, i: int, j: int) -> str:
        """From an account to one in a later column."""
        start, end = self._x[i] + self._half[i], self._x[j] - self._half[j] - 1
        middle = (start + end) / 2
        return (
            f"M{start:.1f} {self._y[i]:.1f}C{middle:.1f} {self._y[i]:.1f}"
            f" {middle:.1f} {self._y[j]:.1f} {end:.1f} {self._y[j]:.1f}"
        )

    def _backward(self, i: int, j: int) -> str:
        """From an account to one in the same column, or in an earlier one."""
        start, yi, yj = self._x[i] - self._half[i], self._y[i], self._y[j]
        if self._x[i] == self._x[j]:
            bend, end = self._x[i] - 46, self._x[j] - self._half[j] - 1
            return (
                f"M{start:.1f} {yi:.1f}C{bend:.1f} {yi:.1f} {bend:.1f} {yj:.1f} {end:.1f} {yj:.1f}"
            )
        below = yj + self._half[j] + 1
        return (
            f"M{start:.1f} {yi:.1f}C{start - 70:.1f} {yi:.1f} {self._x[j]:.1f} {yj + 70:.1f}"
            f" {self._x[j]:.1f} {below:.1f}"
        )


def _legend(ink: Ink, words: Words, form: Form, has_edges: bool) -> Iterator[str]:
    """Give what the shapes and the widths mean."""
    one, two, three = (form.legend + 14 + 28 * k for k in range(3))
    shapes = (
        ("start", 30, one, ink.start(30, one)),
        ("account", 330, one, ink.account(320, one, 4.0) + ink.account(334, one, 8.0)),
        ("gathered", 690, one, ink.stack(688, one)),
        ("bank", 30, two, ink.lane(16, two, 28, 12)),
        ("returned", 330, two, ink.turned(322, two)),
    )
    for name, x, y, shape in shapes:
        yield shape + ink.text("pic-plain", x + 24, y + 4, words.legend[name])
    if not has_edges:
        return
    yield ink.text("pic-plain", 16, three + 4, words.legend["width"])
    for k, (amount, width) in enumerate(form.amounts.samples()):
        x = 330 + 180 * k
        yield ink.element("path", "pic-edge", d=f"M{x} {three:.0f}h36", stroke_width=width)
        yield ink.text("pic-plain", x + 44, three + 4, words.money(amount))
