"""Traces attached to a case, in the words in which the page of a trace shows them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bank_node.desk import TraceNote
from bank_node.web.trace_view import Slices, depth_told, value_writer
from bank_node.web.words import Words

__all__ = ["AttachedRow", "AttachedTable", "attached_table"]

_MOST_ROWS = 200


@dataclass(frozen=True)
class AttachedRow:
    """What came to an account in a slice, in the reader's language."""

    account: str
    kind: str
    value: str
    when: str
    depth: str


@dataclass(frozen=True)
class AttachedTable:
    """The rows of an attached trace that a page shows; ``left_out`` is how many it does not."""

    rows: tuple[AttachedRow, ...]
    left_out: int
    is_band: bool
    has_depth: bool


def attached_table(trace: TraceNote, words: Words) -> AttachedTable:
    """Return the first rows of an attached trace, as many as a page of a case has room for."""
    shown, names = trace.rows.slice(0, _MOST_ROWS), trace.rows.column_names
    return AttachedTable(
        rows=tuple(_rows(trace, shown.to_pylist(), words)),
        left_out=len(trace.rows) - len(shown),
        is_band="amount" not in names,
        has_depth="depth" in names,
    )


def _rows(trace: TraceNote, rows: list[dict[str, Any]], words: Words) -> Iterator[AttachedRow]:
    is_band, slices = "amount" not in trace.rows.column_names, Slices(trace, words)
    write = value_writer(words, is_band=is_band)
    for row in rows:
        number, depth = row["slice"], row.get("depth")
        told = slices.name(number) if trace.parameters else words.t("case.trace_slice", n=number)
        yield AttachedRow(
            account=row["account"],
            kind=words.label("trace_kind", row["kind"]),
            value=write(row["band" if is_band else "amount"]),
            when=told,
            depth="–" if depth is None else depth_told(trace, depth, words),
        )
