"""Writing a bank's results: in the order of its accounts, 17 significant digits, all or nothing."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graph_mpc.graph import LocalGraph
from graph_mpc.release import Released

__all__ = ["write_result", "write_unmatched"]


def write_result(path: Path, accounts: pa.Array, result: Released) -> None:
    """Write what was released, one row per account, sorted already, isolated ones included.

    ``account,score``; under ``bands`` ``account,band``; under ``threshold`` only the accounts at or
    above it.
    """
    rows = np.arange(len(accounts))
    above = np.ones(len(rows), np.bool_) if result.above is None else result.above
    table = pa.table({"account": accounts, "value": result.values, "above": above, "row": rows})
    if result.policy.name == "bands":
        query = "SELECT account, value AS band FROM rows ORDER BY row"
    else:
        query = """
            SELECT account, printf('%.17g', value) AS score FROM rows WHERE above ORDER BY row
        """
    _copy(path, table, query)


def write_trace(
    path: Path, accounts: pa.Array, table: Mapping[str, NDArray[Any]], decimals: int
) -> None:
    """Write ``account,slice,kind,amount`` of a trace, amounts in base currency.

    With a depth there is a column ``depth``, with several traces a column ``trace`` (from 1, in the
    order in which they were asked), and under ``bands`` there is ``band`` instead of ``amount``.
    Amounts that are less than half a minor unit are zero and left out.
    """
    banded = "band" in table
    kept = table["band"] > 0 if banded else table["amount"] > 0.5
    columns: dict[str, Any] = {
        "account": accounts.take(pa.array(table["vertex"][kept])),
        "slice": table["slice"][kept],
        "kind": np.where(table["kind"][kept] == 1, "returned", "received"),
    }
    if banded:
        columns["band"] = table["band"][kept]
    else:
        columns["amount"] = table["amount"][kept] / 10.0**decimals
    if "depth" in table:
        columns["depth"] = table["depth"][kept]
    if np.any(table["trace"] > 0):
        columns["trace"] = table["trace"][kept] + 1
    query = "SELECT * FROM rows ORDER BY ALL"
    if not banded:
        query = "SELECT * REPLACE (printf('%.17g', amount) AS amount) FROM rows ORDER BY ALL"
    _copy(path, pa.table(columns), query)


def write_unmatched(
    path: Path, accounts: pa.Array, graph: LocalGraph, unmatched: NDArray[np.bool_]
) -> None:
    """Write the own side of each payment relation that the other bank does not know."""
    source, target = graph.source[unmatched], graph.target[unmatched]
    own = np.maximum(source, target)
    foreign = ~np.minimum(source, target)
    table = pa.table(
        {
            "account": accounts.take(pa.array(own)),
            "direction": np.where(source >= 0, "out", "in"),
            "other_bank": np.array([*graph.owners, ""])[graph.neighbour_owner[foreign]],
            "slice": graph.slice[unmatched],
            "payments": graph.count[unmatched],
            "minor_units": graph.weight[unmatched],
        }
    )
    _copy(path, table, "SELECT * FROM rows ORDER BY account, direction, other_bank, slice")


def _copy(path: Path, table: pa.Table, query: str) -> None:
    with _replacing(path) as temporary, duckdb.connect() as connection:
        connection.register("rows", table)
        name = str(temporary).replace("'", "''")
        connection.execute(f"COPY ({query}) TO '{name}' (FORMAT csv, HEADER)")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside the file and rename it at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
