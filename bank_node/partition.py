"""A bank's partition: its accounts and the edges that touch them, as arrays for the engine.

Parallel payments are added up per (from, to, slice) by DuckDB; there is no loop over payments or
accounts here.  An account's key is SHA-256 of its canonical id, the same at every bank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bank_node.errors import AmountOverflowError, RosterError, WindowError
from bank_node.ingest import BankData, canonical_bank
from bank_node.raw_tables import connect
from graph_mpc.graph import OUTSIDE, LocalGraph

__all__ = ["Partition", "build_partition", "consortium_edges"]

_MAX_SLICES = 1_000_000


@dataclass(frozen=True)
class Partition:
    """The part of the payment graph that one bank knows.

    Row v of every array belongs to vertex v of ``graph``.

    Attributes:
        bank: id of the bank, as in the list of banks.
        accounts: canonical ids of the own accounts (string), sorted by their bytes.
        risk: float64 (n,), risk score in [0, 1]; 0 where the bank gave none.
        balance: int64 (n,), minor units at the start of the window, never below 0; 0 if unknown.
        balance_known: bool (n,), whether the bank gave a balance.
        in_scope: bool (n,), whether results for the account may be released.
        graph: the edges of the window.
        only_in_payments: number of own accounts that are not in the bank's accounts table.
    """

    bank: str
    accounts: pa.StringArray
    risk: NDArray[np.float64]
    balance: NDArray[np.int64]
    balance_known: NDArray[np.bool_]
    in_scope: NDArray[np.bool_]
    graph: LocalGraph
    only_in_payments: int


def build_partition(
    data: BankData,
    bank: str,
    banks: Sequence[str],
    *,
    since: int | None = None,
    until: int | None = None,
    slice_us: int | None = None,
) -> Partition:
    """Build the partition of ``bank`` for one run.

    Own accounts are those of the accounts table and the own sides of all payments, in the window
    or not, so that a bank's accounts do not depend on the window.  Payments before ``since`` move
    the balances, by as much as is known: max(0, balance + inflow - outflow).

    Args:
        data: the bank's usable data.
        bank: id of the bank; one of ``banks``.
        banks: ids of all banks of the run, in the order of the roster.
        since: first microsecond (since 1970 UTC) of the window; None: from the first payment.
        until: first microsecond after the window; None: to the last payment.
        slice_us: length of a slice in microseconds, counted from ``since``, which it needs; None:
            one slice.  With ``until`` the number of slices covers the window, else the payments.

    Raises:
        DataError: the bank is not in the list, the window is empty, or a sum does not fit 64 bits.
    """
    _check_roster(data, bank, banks)
    _check_window(since, until, slice_us)
    with connect() as con:
        con.register("own_table", data.accounts)
        con.register("payments", data.transactions)
        _number_vertices(con, data, banks)
        _add_up(con, since, until, slice_us)
        slices = _slice_count(con, since, until, slice_us)
        own = _columns(con, _OWN, since=since)
        return Partition(
            bank=bank,
            accounts=own["account"],
            risk=_array(own["risk"], np.float64),
            balance=_array(own["balance"], np.int64),
            balance_known=_array(own["known"], np.bool_),
            in_scope=_array(own["in_scope"], np.bool_),
            graph=_graph(con, bank, banks, _keys(own["key"]), slices),
            only_in_payments=int(np.count_nonzero(_array(own["extra"], np.bool_))),
        )


def consortium_edges(partition: Partition) -> int:
    """Number of edges, per slice, from an own account to an account of a bank of the run.

    Summed over the banks this counts every edge of the joint graph once, at the payer's bank.
    """
    graph = partition.graph
    target = graph.target[graph.source >= 0]
    foreign = target[target < 0]
    return len(target) - int(np.count_nonzero(graph.neighbour_owner[~foreign] == OUTSIDE))


def _check_roster(data: BankData, bank: str, banks: Sequence[str]) -> None:
    known = [canonical_bank(name) for name in banks]
    if len(set(known)) < len(known):
        raise RosterError(
            f"A bank stands twice in the list {', '.join(banks)}", "Name each bank once"
        )
    if bank not in banks:
        raise RosterError(
            f"Bank {bank} is not in the list {', '.join(banks)}", "Name it as the list does"
        )
    if canonical_bank(bank) != data.bank:
        raise RosterError(
            f"The data of bank {data.bank} are no data of bank {bank}",
            "Read the folder of the bank",
        )


def _check_window(since: int | None, until: int | None, slice_us: int | None) -> None:
    if since is not None and until is not None and until <= since:
        raise WindowError("The time window ends before it begins", "Give a later end")
    if slice_us is None:
        return
    if slice_us < 1:
        raise WindowError("A slice must last at least a microsecond", "Give a longer slice")
    if since is None:
        raise WindowError(
            "Slices are counted from the start of the window, and there is none",
            "Give the start of the window, the same for all banks",
        )
    if until is not None and (until - since) // slice_us >= _MAX_SLICES:
        raise WindowError(f"The window has {_MAX_SLICES} slices or more", "Give a longer slice")


def _number_vertices(con: duckdb.DuckDBPyConnection, data: BankData, banks: Sequence[str]) -> None:
    """Tables ``own`` (account, v) and ``sides`` (each side of the payments as bank and account)."""
    con.execute("CREATE TEMP TABLE roster (bank VARCHAR, owner SMALLINT)")
    con.executemany(
        "INSERT INTO roster VALUES (?, ?)", [[canonical_bank(b), i] for i, b in enumerate(banks)]
    )
    con.execute("CREATE TEMP TABLE me AS SELECT CAST(? AS VARCHAR) AS bank", [data.bank])
    con.execute(
        "CREATE TEMP TABLE scope AS SELECT NOT CAST(? AS BOOLEAN) AS unlisted",
        [data.scope_declared],
    )
    con.execute("""
        CREATE TEMP TABLE own AS
        SELECT account, CAST(row_number() OVER (ORDER BY account) - 1 AS INTEGER) AS v FROM (
            SELECT account FROM own_table
            UNION SELECT from_account FROM payments JOIN me ON from_bank = bank
            UNION SELECT to_account FROM payments JOIN me ON to_bank = bank)
    """)


def _add_up(
    con: duckdb.DuckDBPyConnection, since: int | None, until: int | None, slice_us: int | None
) -> None:
    """Tables ``neighbours`` (bank, account, v = ~index) and ``edges`` of the window."""
    con.execute(
        """
        CREATE TEMP TABLE summed AS
        SELECT from_bank, from_account, to_bank, to_account,
            CASE WHEN $step IS NULL THEN 0 ELSE (timestamp - $since) // $step END AS slice,
            sum(amount) AS weight, count(*) AS count
        FROM payments
        WHERE ($since IS NULL OR timestamp >= $since) AND ($until IS NULL OR timestamp < $until)
        GROUP BY ALL
        """,
        {"since": since, "until": until, "step": slice_us},
    )
    con.execute("""
        CREATE TEMP TABLE neighbours AS
        SELECT bank, account, CAST(-row_number() OVER (ORDER BY bank, account) AS INTEGER) AS v
        FROM (
            SELECT from_bank AS bank, from_account AS account FROM summed
            UNION SELECT to_bank, to_account FROM summed)
        WHERE bank <> (SELECT bank FROM me)
    """)
    con.execute("""
        CREATE TEMP TABLE edges AS
        WITH vertex AS (
            SELECT me.bank, account, v FROM own, me UNION ALL FROM neighbours)
        SELECT f.v AS source, t.v AS target, slice, weight, count
        FROM summed s
        JOIN vertex f ON s.from_bank = f.bank AND s.from_account = f.account
        JOIN vertex t ON s.to_bank = t.bank AND s.to_account = t.account
    """)
    _check_sums(con)


def _check_sums(con: duckdb.DuckDBPyConnection) -> None:
    row = con.execute("SELECT max(weight), max(slice) FROM edges").fetchall()
    weight, last = row[0]
    if weight is not None and weight > np.iinfo(np.int64).max:
        raise AmountOverflowError(
            "The payments between two accounts add up to more than 64 bits hold",
            "Check the amounts, or give a larger base currency",
        )
    if last is not None and last >= _MAX_SLICES:
        raise WindowError(f"The payments span {_MAX_SLICES} slices or more", "Give a longer slice")


def _slice_count(
    con: duckdb.DuckDBPyConnection, since: int | None, until: int | None, slice_us: int | None
) -> int:
    if slice_us is None or since is None:
        return 1
    if until is not None:
        return -((since - until) // slice_us)
    row = con.execute("SELECT coalesce(max(slice), 0) + 1 FROM edges").fetchall()
    return int(row[0][0])


# One row per own account; the balance moves with the payments before the window.
_OWN = """
    WITH flows AS (
        SELECT account, sum(amount) AS net FROM (
            SELECT to_account AS account, amount FROM payments JOIN me ON to_bank = bank
            WHERE timestamp < $since
            UNION ALL
            SELECT from_account, -amount FROM payments JOIN me ON from_bank = bank
            WHERE timestamp < $since)
        GROUP BY account)
    SELECT account, v, coalesce(risk_score, 0) AS risk,
        CAST(least(greatest(coalesce(CAST(balance AS HUGEINT) + coalesce(net, 0), 0), 0),
            9223372036854775807) AS BIGINT) AS balance,
        balance IS NOT NULL AS known,
        coalesce(in_scope, (SELECT unlisted FROM scope)) AS in_scope,
        a.account IS NULL AS extra,
        unhex(sha256((SELECT bank FROM me) || chr(31) || account)) AS key
    FROM own LEFT JOIN own_table a USING (account) LEFT JOIN flows USING (account)
    ORDER BY v
"""


def _columns(
    con: duckdb.DuckDBPyConnection, query: str, **parameters: int | None
) -> dict[str, Any]:
    """The columns of a query's result, each as one contiguous Arrow array."""
    relation = con.sql(query, params=parameters) if parameters else con.sql(query)
    table = relation.to_arrow_table().combine_chunks()
    return {
        name: column.chunk(0) if column.num_chunks else pa.array([], column.type)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _array(column: Any, dtype: Any) -> NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=dtype)


def _keys(column: Any) -> NDArray[np.uint8]:
    """A column of n blobs of 32 bytes as uint8 (n, 32)."""
    if len(column) == 0:
        return np.zeros((0, 32), np.uint8)
    fixed = column.cast(pa.binary(32))
    raw = np.frombuffer(fixed.buffers()[1], np.uint8)
    return raw[fixed.offset * 32 : (fixed.offset + len(fixed)) * 32].reshape(-1, 32).copy()


def _graph(
    con: duckdb.DuckDBPyConnection,
    bank: str,
    banks: Sequence[str],
    vertex_key: NDArray[np.uint8],
    slices: int,
) -> LocalGraph:
    near = _columns(
        con,
        """
        SELECT coalesce(owner, -1) AS owner, unhex(sha256(n.bank || chr(31) || account)) AS key
        FROM neighbours n LEFT JOIN roster USING (bank) ORDER BY v DESC
    """,
    )
    edges = _columns(
        con,
        """
        SELECT source, target, CAST(slice AS INTEGER) AS slice, CAST(weight AS BIGINT) AS weight,
            CAST(count AS BIGINT) AS count
        FROM edges ORDER BY slice, source, target
    """,
    )
    return LocalGraph(
        owner=bank,
        owners=tuple(banks),
        vertex_key=vertex_key,
        neighbour_owner=_array(near["owner"], np.int16),
        neighbour_key=_keys(near["key"]),
        source=_array(edges["source"], np.int32),
        target=_array(edges["target"], np.int32),
        slice=_array(edges["slice"], np.int32),
        weight=_array(edges["weight"], np.int64),
        count=_array(edges["count"], np.int64),
        slices=slices,
    )
