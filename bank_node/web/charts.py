"""Charts as SVG, drawn here: results over the runs, and own payments day by day.

Colours and fonts come from the stylesheet through classes, so that a chart fits light and dark;
series differ by shape and dash as well.  Each chart has a title and a description in words, and
stands above the table that it is drawn from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bank_node.web.words import Words

__all__ = ["Drawn", "flow_chart", "value_charts"]

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 76, 16, 14, 30
_MOST_SERIES = 4
_MOST_BARS = 400
_MARKS = (
    Markup('<circle cx="{x}" cy="{y}" r="4" class="mark mark-0"/>'),
    Markup('<path d="M{x} {y}m-4.5 -4.5h9v9h-9z" class="mark mark-1"/>'),
    Markup('<path d="M{x} {y}m0 -5.5 5.5 9.5h-11z" class="mark mark-2"/>'),
    Markup('<path d="M{x} {y}m0 -6 6 6 -6 6 -6 -6z" class="mark mark-3"/>'),
)
_LABEL = Markup('<text x="{x}" y="{y}" class="tick" text-anchor="{anchor}">{text}</text>')
_LINE = Markup('<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{kind}"/>')


@dataclass(frozen=True)
class Drawn:
    """A chart: its picture, its title, what it shows, and a line below it."""

    svg: Markup
    title: str
    caption: str


def _picture(name: str, title: str, description: str, height: int, parts: list[Markup]) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" class="plot"'
        ' aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{title}</title>'
        '<desc id="{name}-desc">{desc}</desc>{parts}</svg>'
    ).format(
        w=_WIDTH, h=height, name=name, title=title, desc=description, parts=Markup("").join(parts)
    )


def value_charts(
    history: Sequence[Mapping[str, Any]], words: Words, lines: Mapping[str, float], caption: str
) -> list[Drawn]:
    """Draw a chart for each analysis.

    Args:
        history: rows with account, analysis, at and value, as the desk's pages have them.
        words: of the reader. lines: analysis → value from which a rule holds.
        caption: what stands below.
    """
    names = sorted({row["analysis"] for row in history})
    return [
        _values(i, name, [r for r in history if r["analysis"] == name], words, lines, caption)
        for i, name in enumerate(names)
    ]


def _values(
    number: int, analysis: str, rows: Sequence[Mapping[str, Any]], words: Words,
    lines: Mapping[str, float], caption: str,
) -> Drawn:  # fmt: skip
    accounts = sorted({row["account"] for row in rows})
    last = {row["account"]: row["value"] for row in rows}
    shown = sorted(accounts, key=lambda a: -last[a])[:_MOST_SERIES]
    height = 190
    runs = sorted({row["at"] for row in rows})
    line = lines.get(analysis)
    top = _top([*(float(row["value"]) for row in rows), *([] if line is None else [line])])
    ticks = _ticks(top)
    x = {at: _across(i, len(runs)) for i, at in enumerate(runs)}
    parts = _axes(ticks, top, height, words)
    every = -(-len(runs) // 7)
    parts += [
        _LABEL.format(x=x[at], y=height - 9, anchor="middle", text=words.day(at))
        for at in runs[::every]
    ]
    if line is not None:
        y = _up(line, top, height)
        parts.append(_LINE.format(x1=_LEFT, y1=y, x2=_WIDTH - _RIGHT, y2=y, kind="limit"))
    for i, account in enumerate(shown):
        parts += _series(i, [r for r in rows if r["account"] == account], x, top, height, words)
    description = words.t(
        "alert.chart_desc", n=len(accounts), analysis=analysis,
        last=words.number(max(last.values())),
    )  # fmt: skip
    title = f"{analysis}: {', '.join(shown)}"
    legend = _legend(shown) if len(shown) > 1 else Markup("")
    svg = _picture(f"values-{number}", title, description, height, parts) + legend
    begins = f" {words.t('alert.chart_line')}" if line is not None else ""
    return Drawn(svg, title, f"{caption}{begins}")


def _series(
    number: int, rows: Sequence[Mapping[str, Any]], x: Mapping[int, float], top: float,
    height: int, words: Words,
) -> list[Markup]:  # fmt: skip
    points = [(x[row["at"]], _up(row["value"], top, height)) for row in rows]
    path = " ".join(f"{px},{py}" for px, py in points)
    parts = [Markup('<polyline points="{p}" class="series series-{n}"/>').format(p=path, n=number)]
    for (px, py), row in zip(points, rows, strict=True):
        told = f"{row['account']}, {words.time(row['at'])}: {words.number(row['value'])}"
        mark = _MARKS[number].format(x=px, y=py)
        parts.append(Markup("<g><title>{told}</title>{mark}</g>").format(told=told, mark=mark))
    return parts


def _legend(accounts: Sequence[str]) -> Markup:
    items = [
        Markup(
            '<li><svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">{mark}</svg>'
            ' <span class="id">{account}</span></li>'
        ).format(mark=_MARKS[i].format(x=7, y=7), account=account)
        for i, account in enumerate(accounts)
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))


def flow_chart(slices: Mapping[str, NDArray[np.int64]], words: Words, caption: str) -> Drawn | None:
    """Draw what was received and paid day by day; None: nothing was.

    Args:
        slices: start, inflow, outflow (n,) as the desk's pages have them.
        words: of the reader. caption: what stands below; ``{most}`` is the highest bar.
    """
    start, inflow, outflow = (
        np.asarray(slices[n])[-_MOST_BARS:] for n in ("start", "inflow", "outflow")
    )
    if not len(start):
        return None
    height, middle = 210, 96
    most = max(int(inflow.max()), int(outflow.max()), 1)
    first, span = int(start[0]), max(int(start[-1] - start[0]), 1)
    room = _WIDTH - _LEFT - _RIGHT
    days = span // 86_400_000_000 + 1
    wide = round(max(2.0, min(18.0, room / days * 0.7)), 1)
    parts = _flow_axes(most, middle, height, words)
    for at, came, went in zip(start.tolist(), inflow.tolist(), outflow.tolist(), strict=True):
        x = round(_LEFT + (at - first) / span * (room - wide), 1)
        told = (
            f"{words.day(at)}: {words.t('alert.received')} {words.money(came)},"
            f" {words.t('alert.paid')} {words.money(went)}"
        )
        up, down = round(came / most * 78, 1), round(went / most * 78, 1)
        parts.append(
            Markup(
                "<g><title>{told}</title>"
                '<rect x="{x}" y="{y}" width="{w}" height="{up}" class="bar-in"/>'
                '<rect x="{x}" y="{m}" width="{w}" height="{down}" class="bar-out"/></g>'
            ).format(told=told, x=x, y=middle - up, m=middle, w=wide, up=up, down=down)
        )
    parts.append(_LABEL.format(x=_LEFT, y=height - 9, anchor="start", text=words.day(first)))
    if len(start) > 1:
        end = words.day(int(start[-1]))
        parts.append(_LABEL.format(x=_WIDTH - _RIGHT, y=height - 9, anchor="end", text=end))
    description = words.t(
        "alert.timeline_desc", n=len(start), inflow=words.money(int(inflow.sum())),
        outflow=words.money(int(outflow.sum())),
    )  # fmt: skip
    title = words.t("alert.timeline")
    return Drawn(
        _picture("flow", title, description, height, parts), title,
        caption.replace("{most}", words.money(most)),
    )  # fmt: skip


def _flow_axes(most: int, middle: int, height: int, words: Words) -> list[Markup]:
    right = _WIDTH - _RIGHT
    return [
        _LINE.format(x1=_LEFT, y1=middle, x2=right, y2=middle, kind="axis"),
        _LABEL.format(x=_LEFT - 8, y=middle - 70, anchor="end", text=_short(most, words)),
        _LABEL.format(x=_LEFT - 8, y=middle + 78, anchor="end", text=_short(most, words)),
        _LABEL.format(x=_LEFT - 8, y=middle - 30, anchor="end", text=words.t("alert.received")),
        _LABEL.format(x=_LEFT - 8, y=middle + 38, anchor="end", text=words.t("alert.paid")),
    ]


def _short(minor: int, words: Words) -> str:
    """Return an amount for an axis: a large one to the unit, a small one with its decimals."""
    unit = 10**words.decimals
    return words.amount(minor) if minor < 1000 * unit else words.number(round(minor / unit))


def _axes(ticks: Sequence[float], top: float, height: int, words: Words) -> list[Markup]:
    parts = []
    for tick in ticks:
        y = _up(tick, top, height)
        parts.append(_LINE.format(x1=_LEFT, y1=y, x2=_WIDTH - _RIGHT, y2=y, kind="grid"))
        parts.append(_LABEL.format(x=_LEFT - 8, y=y + 4, anchor="end", text=words.number(tick)))
    return parts


def _top(values: Sequence[float]) -> float:
    """Return where the axis ends: of bands at the highest, of scores a little above it.

    >>> _top([0.0, 3.0]), _top([0.0]), _top([0.0089, 0.004])
    (3.0, 1.0, 0.01)
    """
    most = max(values)
    if most == 0 or all(value.is_integer() for value in values):
        return max(1.0, most)
    step = 10.0 ** math.floor(math.log10(most))
    return _plain(math.ceil(most / step * 1.05) * step)


def _ticks(top: float) -> list[float]:
    """Return whole numbers up to a small whole top, else five even steps."""
    if top <= 8 and top.is_integer():
        return [float(i) for i in range(int(top) + 1)]
    return [_plain(v) for v in np.linspace(0, top, 5)]


def _plain(value: float) -> float:
    """Return a number without what the last bits of its computation left."""
    return float(f"{value:.12g}")


def _across(position: int, count: int) -> float:
    room = _WIDTH - _LEFT - _RIGHT - 80
    return round(_LEFT + 40 + (room * position / (count - 1) if count > 1 else room / 2), 1)


def _up(value: float, top: float, height: int) -> float:
    room = height - _TOP - _BOTTOM
    return round(_TOP + room * (1 - value / top), 1)
