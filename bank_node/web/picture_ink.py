"""What a picture is drawn with: elements, colours, words, and the shapes of nodes.

Shape and words tell what a node is, colour only says it again: the start is a square on its corner,
an account a disc, gathered accounts a stack, another bank a lane with a broken line, and money that
came back has an arrow that turns round.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

__all__ = ["Ink", "Words", "shortened"]

_PAINT: Mapping[str, Mapping[str, str]] = {
    "pic-paper": {"fill": "#ffffff"},
    "pic-band": {"fill": "#f4f5f7"},
    "pic-edge": {"fill": "none", "stroke": "#4b5c74", "stroke-opacity": "0.55"},
    "pic-edge pic-other": {"fill": "none", "stroke": "#8a94a3", "stroke-opacity": "0.5"},
    "pic-edge pic-back": {"fill": "none", "stroke": "#b3261e", "stroke-opacity": "0.75"},
    "pic-tip": {"fill": "#4b5c74"},
    "pic-tip pic-other": {"fill": "#8a94a3"},
    "pic-tip pic-back": {"fill": "#b3261e"},
    "pic-account": {"fill": "#2f6db5", "stroke": "#ffffff"},
    "pic-start": {"fill": "#14324f", "stroke": "#ffffff"},
    "pic-gathered": {"fill": "#e3ebf5", "stroke": "#2f6db5"},
    "pic-bank": {"fill": "#e7e9ed", "stroke": "#8a94a3"},
    "pic-return": {"fill": "none", "stroke": "#b3261e"},
    "pic-text": {"fill": "#1b2430", "stroke": "#ffffff"},
    "pic-small": {"fill": "#4a5563", "stroke": "#ffffff"},
    "pic-returned": {"fill": "#b3261e", "stroke": "#ffffff"},
    "pic-plain": {"fill": "#3d4754"},
}
"""Colours of a picture that is a file; a page's stylesheet has the same classes."""

_TIPS = (("tip", "pic-tip"), ("tip-other", "pic-tip pic-other"), ("tip-back", "pic-tip pic-back"))


@dataclass(frozen=True)
class Words:
    """The words of a picture, in the reader's language.

    Attributes:
        title, description: of the whole. start: of an account that was asked about.
        gathered: n accounts without a node of their own. others: n banks in one lane.
        returned: an amount that came back. bank: the lane of a bank.
        edge: payer, payee, amount and number of payments. column: the first and last slice or depth
        of a column. amount: what a node received. money: what was paid.
        legend: start, account, gathered, bank, returned and width.
    """

    title: str
    description: str
    start: str
    gathered: Callable[[int], str]
    others: Callable[[int], str]
    returned: Callable[[str], str]
    bank: Callable[[str], str]
    edge: Callable[[str, str, str, int], str]
    column: Callable[[tuple[int, int] | None], str]
    amount: Callable[[float], str]
    money: Callable[[float], str]
    legend: Mapping[str, str]


class Ink:
    """Writes elements; the one place where something comes into a picture as text.

    Args:
        as_file: whether colours stand in the picture; else classes for a stylesheet.
    """

    def __init__(self, *, as_file: bool) -> None:
        self.as_file = as_file

    def element(self, tag: str, kind: str, inside: str = "", /, **attributes: Any) -> str:
        """Return an element of a kind of colour; ``inside`` is markup, values are escaped."""
        paint = _PAINT[kind] if self.as_file else {"class": kind}
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        written = "".join(
            f' {name}="{_value(value)}"' for name, value in {**paint, **named}.items()
        )
        return f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>"

    def text(self, kind: str, x: float, y: float, words: str, **more: Any) -> str:
        """Return words; but for plain ones with a rim, to be read above lines."""
        rim = (
            {}
            if kind == "pic-plain"
            else {"paint_order": "stroke", "stroke_width": 4, "stroke_linejoin": "round"}
        )
        return self.element("text", kind, escape(words), x=x, y=y, **rim, **more)

    def tips(self) -> str:
        """Return the definitions of arrow heads."""
        made = [
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
            ' markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
            f"{self.element('path', kind, d='M0 0L8 4L0 8z')}</marker>"
            for name, kind in _TIPS
        ]
        return f"<defs>{''.join(made)}</defs>"

    def account(self, x: float, y: float, r: float) -> str:
        """Return a disc."""
        return self.element("circle", "pic-account", cx=x, cy=y, r=r, stroke_width=1.5)

    def start(self, x: float, y: float) -> str:
        """Return a square on its corner."""
        return self.element(
            "rect", "pic-start", x=x - 9, y=y - 9, width=18, height=18, rx=3, stroke_width=1.5,
            transform=f"rotate(45 {x:.1f} {y:.1f})",
        )  # fmt: skip

    def stack(self, x: float, y: float) -> str:
        """Return two cards, one on the other."""
        cards = [
            self.element(
                "rect", "pic-gathered", x=x - 9 + d, y=y - 8 + d, width=16, height=12, rx=3,
                stroke_width=1.2,
            )
            for d in (4, 0)
        ]  # fmt: skip
        return "".join(cards)

    def lane(self, x: float, y: float, width: float, height: float) -> str:
        """Return a lane with a broken line."""
        return self.element(
            "rect", "pic-bank", x=x, y=y - height / 2, width=width, height=height, rx=height / 2,
            stroke_dasharray="5 3",
        )  # fmt: skip

    def turned(self, x: float, y: float) -> str:
        """Return an arrow that turns round."""
        way = f"M{x + 12:.1f} {y - 4:.1f}a5 5 0 1 0 1 6m-1 -10v4h-4"
        return self.element("path", "pic-return", d=way, stroke_width=1.8, stroke_linecap="round")


def _value(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else escape(str(value))


def shortened(name: str, most: int) -> str:
    """Return a name without its middle: accounts tell themselves apart at the end.

    >>> shortened("NL91ABNA0417164300", 12)
    'NL91…7164300'
    """
    if len(name) <= most:
        return name
    head = most // 3
    return f"{name[:head]}…{name[head + 1 - most :]}"
