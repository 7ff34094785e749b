"""Rows of a stored result, on the terminal and as CSV."""

import csv
import io
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bank_node.files import new_file

__all__ = ["show_rows", "write_rows"]

_SHOWN = 30
_MOST_BANDS = 64


def write_rows(path: Path, result: dict[str, Any]) -> None:
    """Write the rows as CSV, readable by this user only; the file is whole or not there."""
    with new_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(result["columns"])
        writer.writerows(result["rows"])
        text.detach()


def show_rows(result: dict[str, Any], out: Path | None) -> None:
    """Print the first rows, and where all of them are."""
    console = Console(highlight=False)
    columns, rows = result["columns"], result["rows"]
    if columns == ["account", "value"]:
        rows = sorted(rows, key=lambda row: (-row[1], row[0]))
    shown = [i for i, name in enumerate(columns) if name != "trace" or _differs(rows, i)]
    count = "; slices count from 0" if "slice" in columns else ", the highest first"
    table = Table(title=f"{len(rows):,} rows of own accounts{count}")
    for i in shown:
        is_number = columns[i] in ("amount", "slice", "depth", "trace", "value")
        table.add_column(columns[i], justify="right" if is_number else "left")
    for row in rows[:_SHOWN]:
        cells = (row[i] for i in shown)
        table.add_row(*(Text(_cell(v)) for v in cells))
    console.print(table)
    if len(rows) > _SHOWN:
        console.print(f"... and {len(rows) - _SHOWN:,} more: use --out or --json")
    if out is not None:
        console.print(f"all rows: {out}", soft_wrap=True)


def _differs(rows: list[list[Any]], column: int) -> bool:
    return len({row[column] for row in rows}) > 1


def _cell(value: Any) -> str:
    """Return bands as they are, amounts with two decimals, and small scores with six digits."""
    if not isinstance(value, float):
        return str(value)
    if value.is_integer() and abs(value) < _MOST_BANDS:
        return str(int(value))
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.6g}"
