"""Arrow tables of the desk as rows of an answer: amounts as decimal text, times in RFC 3339."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alerts.words import iso_time
from bank_node.api.fields import Amount, Answer, Count, Time

__all__ = [
    "Counterparty",
    "Link",
    "Metrics",
    "Payment",
    "Slice",
    "Traced",
    "Value",
    "amount_column",
    "counterparties",
    "links",
    "metrics",
    "payments",
    "slices",
    "time_column",
    "time_of",
    "traced",
    "values",
]

Rows = list[dict[str, Any]]
_SECOND = 1_000_000
_DIGITS = 38


class Payment(Answer):
    """A payment of an own account."""

    tx_id: str
    timestamp: Time
    from_bank: str
    from_account: str
    to_bank: str
    to_account: str
    amount: Amount
    channel: str | None
    from_own: bool
    to_own: bool


class Counterparty(Answer):
    """Another side of own payments."""

    bank: str
    account: str
    received: Amount
    paid: Amount
    payments: Count


class Slice(Answer):
    """In- and outflow of a slice of time."""

    start: Time
    inflow: Amount
    outflow: Amount
    payments: Count


class Metrics(Answer):
    """Figures of an own account."""

    account: str
    inflow: Amount
    outflow: Amount
    payments: Count
    counterparties: Count
    pass_through: float
    cross_bank: float


class Value(Answer):
    """A stored result of an own account."""

    account: str
    analysis: str
    run_id: str
    policy: str
    at: Time
    value: float


class Traced(Answer):
    """Money that reached an own account, or came back to it; an amount or its band."""

    trace: int = 1
    account: str
    slice: int
    kind: str
    amount: Amount | None = None
    band: int | None = None
    depth: int | None = None


class Link(Answer):
    """Own payments between two accounts in a slice."""

    from_bank: str
    from_account: str
    to_bank: str
    to_account: str
    slice: int
    amount: Amount
    payments: Count


def payments(table: pa.Table, decimals: int) -> Rows:
    """Return payments as rows."""
    return _rows(table, decimals, amounts=("amount",), times=("timestamp",))


def counterparties(table: pa.Table, decimals: int) -> Rows:
    """Return counterparties as rows."""
    return _rows(table, decimals, amounts=("received", "paid"))


def slices(table: pa.Table, decimals: int) -> Rows:
    """Return slices as rows."""
    return _rows(table, decimals, amounts=("inflow", "outflow"), times=("start",))


def metrics(table: pa.Table, decimals: int) -> Rows:
    """Return metrics as rows."""
    return _rows(table, decimals, amounts=("inflow", "outflow"))


def values(table: pa.Table) -> Rows:
    """Return stored results as rows."""
    return _rows(table, 0, times=("at",))


def traced(table: pa.Table, decimals: int) -> Rows:
    """Return rows of a trace."""
    return _rows(table, decimals, amounts=("amount",))


def links(table: pa.Table, decimals: int) -> Rows:
    """Return the own payments behind a trace as rows."""
    return _rows(table, decimals, amounts=("amount",))


def _rows(
    table: pa.Table, decimals: int, *, amounts: tuple[str, ...] = (), times: tuple[str, ...] = ()
) -> Rows:
    for name in table.column_names:
        if name in amounts:
            column = amount_column(table[name], decimals)
        elif name in times:
            column = time_column(table[name])
        else:
            continue
        table = table.set_column(table.column_names.index(name), name, column)
    rows: Rows = table.to_pylist()
    return rows


def amount_column(column: pa.ChunkedArray, decimals: int) -> pa.ChunkedArray:
    """Return amounts as decimal text: of minor units (int64), or of base currency (float64)."""
    if pa.types.is_floating(column.type):
        return column.cast(pa.decimal128(_DIGITS, decimals), safe=False).cast(pa.string())
    whole = column.cast(pa.int64()).cast(pa.decimal128(19, 0))
    unit = pa.scalar(Decimal(1).scaleb(-decimals), pa.decimal128(decimals + 1, decimals))
    return pc.multiply(whole, unit).cast(pa.string())


def time_column(column: pa.ChunkedArray) -> pa.Array:
    """Return times (int64 microseconds) as text, without fractions."""
    seconds = np.floor_divide(column.to_numpy(), _SECOND)
    # No zone is named, so none is looked up: these are UTC all the same.
    return pc.strftime(pa.array(seconds, pa.timestamp("s")), format="%Y-%m-%dT%H:%M:%SZ")


def time_of(microseconds: int | None) -> str | None:
    """Return one time as text; None for none."""
    return None if microseconds is None else iso_time(microseconds)
