"""A case as one HTML page that prints well: no script, no link, nothing loaded from anywhere.

Everything is escaped by Jinja; the page's own policy (a ``meta`` element) forbids scripts and loads
anyway.  The chart of payments per day is drawn here as SVG.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from alerts.export.case_file import CaseFile
from alerts.figures import subject_text
from alerts.words import amount_text, iso_time, number_text

__all__ = ["case_page"]

_DAY = 86_400_000_000
_MOST_BARS = 120
_MOST_ROWS = 500


@dataclass(frozen=True)
class Bar:
    """One bar of the chart, in its own units: 0 to 100 wide, -1 to 1 high."""

    x: float
    width: float
    inflow: float
    outflow: float


def case_page(file: CaseFile) -> str:
    """Return the page of a case; long tables say how many rows are not shown."""
    return (
        _environment()
        .get_template("case.html")
        .render(
            file=file,
            case=file.case,
            about=subject_text(file.case.subject),
            transactions=file.transactions.slice(0, _MOST_ROWS).to_pylist(),
            counterparties=file.counterparties.slice(0, _MOST_ROWS).to_pylist(),
            most=_MOST_ROWS,
            bars=_bars(file),
            traces=[(trace, trace.rows.slice(0, _MOST_ROWS).to_pylist()) for trace in file.traces],
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("alerts.export", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(time=iso_time, amount=amount_text, number=_number, traced=_traced)
    return environment


def _number(value: Any) -> str:
    return number_text(value) if value is None or isinstance(value, float | int) else str(value)


def _traced(value: Any, column: str, decimals: int) -> str:
    """Return a cell of a trace; amounts, in whole units of the currency, as money."""
    if column == "amount" and value is not None:
        return f"{value:.{decimals}f}"
    return _number(value)


def _bars(file: CaseFile) -> list[Bar]:
    """Add up in- and outflow of the accounts into at most 120 bars over the payments' time."""
    table = file.transactions
    if not len(table):
        return []
    accounts = set(file.accounts)
    time = table["timestamp"].to_numpy()
    amount = table["amount"].to_numpy().astype(np.float64)
    first, last = int(time.min()), int(time.max())
    step = max(_DAY, -(-(last - first + 1) // _MOST_BARS))
    bar = (time - first) // step
    count = int(bar.max()) + 1
    sums = [
        np.bincount(bar, amount * _among(table, side, file.bank, accounts), minlength=count)
        for side in ("to", "from")
    ]
    top = max(float(max(flow.max() for flow in sums)), 1.0)
    width = 100.0 / count
    return [
        Bar(i * width, width * 0.8, inflow / top, outflow / top)
        for i, (inflow, outflow) in enumerate(zip(*(flow.tolist() for flow in sums), strict=True))
    ]


def _among(table: Any, side: str, bank: str, accounts: set[str]) -> Any:
    """Say which payments have one of the accounts on this side."""
    banks = table[f"{side}_bank"].to_numpy() == bank
    names = np.isin(table[f"{side}_account"].to_numpy(), list(accounts))
    return banks & names
