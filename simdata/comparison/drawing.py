"""Pictures of a comparison as inline SVG, drawn by Matplotlib, in colours that the page chooses.

A figure is drawn in stand-in colours, which are then replaced by the page's variables, so that one
picture serves light and dark; its text stays text, in the page's font.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simdata.comparison.measures import Curve
from simdata.comparison.scheme import Scheme
from simdata.comparison.summary import Mean

__all__ = ["COLOURS", "NAMES", "draw_curves", "draw_growth", "draw_scheme", "draw_typologies"]

COLOURS = {
    "ink": "#010101",
    "quiet": "#020202",
    "signals": "#030303",
    "alone": "#040404",
    "joint": "#050505",
    "paper": "#060606",
}
"""Stand-in colours of the variables ``--ink`` and so on; no picture has these for itself."""
NAMES = {
    "signals": "own signals",
    "alone": "banks alone",
    "secure": "secure joint",
    "joint": "joint",
    "pooled": "all pooled",
}
_TINT = {"signals": "signals", "alone": "alone", "secure": "joint", "joint": "joint"}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "undercurrent",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": COLOURS["ink"],
    "axes.edgecolor": COLOURS["quiet"],
    "axes.labelcolor": COLOURS["ink"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


_WIDTH = 4.8
"""Inches: the text of a picture is near the page's size at the width of a phone."""


def draw_curves(curves: Mapping[str, Curve], budget: float) -> str:
    """Return precision over recall of each world; the dots are the alert budget."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(4.0)
        for world, line in curves.items():
            recall, precision = 100 * line.recall, 100 * line.precision
            if world == "pooled":
                axes.plot(recall, precision, ":", color=COLOURS["ink"], lw=1.4, zorder=5,
                          label=NAMES[world])  # fmt: skip
                continue
            colour = COLOURS[_TINT[world]]
            at = max(1, round(budget * len(recall))) - 1
            axes.plot(recall, precision, color=colour, lw=1.8, label=NAMES[world])
            axes.plot(recall[at], precision[at], "o", color=colour, ms=9, zorder=6,
                      markeredgecolor=COLOURS["paper"])  # fmt: skip
        axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="illicit accounts found (recall), %",
                 ylabel="alerts that are right (precision), %")  # fmt: skip
        figure.legend(loc="outside upper left", ncols=2)
        return _svg(figure, "Precision over recall")


def draw_typologies(means: Mapping[str, Mapping[str, Mean]], members: Mapping[str, int]) -> str:
    """Return bars of the recall of each typology, alone and secure joint, with intervals.

    Args:
        means: for each typology the recall in each world.
        members: for each typology its number of accounts.
    """
    names = sorted(means, key=lambda name: means[name]["secure"].mean)
    rows = np.arange(len(names))
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(1.2 + 0.46 * len(names))
        # The legend takes the bars in this order, and the rows go from the bottom up.
        for shift, world in ((0.2, "alone"), (-0.2, "secure")):
            values = [means[name][world] for name in names]
            axes.barh(rows + shift, [100 * v.mean for v in values], 0.36,
                      color=COLOURS[_TINT[world]], label=NAMES[world])  # fmt: skip
            for row, value in zip(rows + shift, values, strict=True):
                _draw_value(axes, float(row), value)
        axes.set(yticks=rows, yticklabels=[f"{name} ({members[name]:,})" for name in names],
                 xlim=(0, 112), xticks=range(0, 101, 20),
                 xlabel="accounts that get an alert (recall), %")  # fmt: skip
        figure.legend(loc="outside upper left", ncols=2)
        return _svg(figure, "Recall by typology")


def _draw_value(axes: Axes, row: float, value: Mean) -> None:
    """Draw a bar's interval, and write its value into a column at the right."""
    if value.low is not None and value.high is not None:
        ends = [100 * max(0.0, value.low), 100 * min(1.0, value.high)]
        axes.plot(ends, [row, row], color=COLOURS["ink"], lw=1)
    axes.text(111, row, f"{100 * value.mean:.0f}", va="center", ha="right", fontsize=9)


def draw_scheme(scheme: Scheme) -> str:
    """Return one scheme twice: before joining, and after; filled accounts have an alert."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 2.2 + 0.7 * len(scheme.banks)), layout="constrained")
        FigureCanvasSVG(figure)
        for axes, world in zip(figure.subplots(2, 1), ("alone", "secure"), strict=True):
            _draw_world(axes, scheme, world)
        return _svg(figure, "One scheme before and after joining")


def _draw_world(axes: Axes, scheme: Scheme, world: str) -> None:
    bank_names = list(scheme.banks)
    x, y = scheme.place[:, 0], scheme.place[:, 1]
    for source, target in scheme.steps:
        crossing = scheme.bank[source] != scheme.bank[target]
        # Within a bank's row a straight line would run through the accounts between.
        bent = not crossing and abs(x[target] - x[source]) > 1
        axes.annotate(
            "", (x[target], y[target]), (x[source], y[source]),
            arrowprops={"arrowstyle": "-|>", "shrinkA": 9, "shrinkB": 9, "lw": 1.3,
                        "connectionstyle": f"arc3,rad={0.3 if bent else 0.0}",
                        "color": COLOURS["ink" if crossing else "quiet"],
                        "linestyle": "-" if crossing else ":"},
        )  # fmt: skip
    flagged = scheme.flagged[world]
    colour = COLOURS[_TINT[world]]
    axes.scatter(x, y, s=150, zorder=3, edgecolors=COLOURS["ink"], linewidths=1.2,
                 c=[colour if one else COLOURS["paper"] for one in flagged])  # fmt: skip
    axes.set(yticks=range(len(bank_names)), yticklabels=bank_names, xticks=[],
             ylim=(-0.6, len(bank_names) - 0.4), xlim=(-0.5, float(x.max()) + 0.5))  # fmt: skip
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(
        f"{NAMES[world]}: {int(flagged.sum())} of {len(flagged)} accounts have an alert",
        loc="left", fontsize=10, x=0.0,
    )  # fmt: skip
    axes.set_xlabel("time of the first payment →", loc="right", fontsize=9, color=COLOURS["quiet"])


def draw_growth(days: NDArray[np.float64], lines: Mapping[str, Sequence[int]], what: str) -> str:
    """Return how many accounts were flagged by each day."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(3.2)
        for world, values in lines.items():
            axes.step(days, values, where="post", lw=2, color=COLOURS[_TINT[world]],
                      label=NAMES[world])  # fmt: skip
        axes.set(xlabel="days since the start of the data set", ylabel=what, ylim=(0, None),
                 xlim=(0, None))  # fmt: skip
        figure.legend(loc="outside upper left", ncols=2)
        return _svg(figure, what)


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def _svg(figure: Figure, title: str) -> str:
    """Return the figure as an SVG element that takes its colours and size from the page."""
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    # Several pictures share a page, so what a picture refers to needs a name of its own.
    prefix = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    return re.sub(r'(href="#|url\(#)', rf"\1{prefix}-", text)
