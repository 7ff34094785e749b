"""The payments of one taking-in, staged: read once, judged row by row, memory bounded.

Each file of the source is copied to Parquet as text and from there judged into Parquet again, batch
by batch, so that DuckDB holds a bounded number of rows whatever the size of the source, and so that
a source that changes later cannot make the steps disagree.  Rows are named by (file, row): the
number of the file in this batch and the place among its good lines.

Tables: ``sources`` (file, label, raw, judged), ``broken`` (part, file, row, reason) for misshapen
lines.  Views, once staged: ``judged``, and ``fresh``: the payments without fault that retention
would keep.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import duckdb

from bank_node.errors import DataError
from bank_node.intake.config import DataConfig
from bank_node.intake.folders import storage
from bank_node.raw_tables import TableSpec, stage
from bank_node.rules import (
    CHECKED_TRANSACTIONS,
    TRANSACTIONS,
    canonical_bank,
    define_rules,
    load_rates,
)
from bank_node.sandbox import Resources, connect_to, quoted

__all__ = [
    "CONTENT",
    "STORED",
    "Batch",
    "Source",
    "join_staged",
    "keep_broken",
    "named",
    "open_batch",
    "stage_payments",
    "stage_text",
]

STORED = (
    "tx_id, timestamp, from_bank, from_account, to_bank, to_account, amount, channel, "
    "amount_written, currency"
)
"""Columns of a day's file: as :class:`bank_node.ingest.BankData` has them, then the amount as
written (DECIMAL(28, 8)) and its currency."""

CONTENT = (
    "hash(timestamp, from_bank, from_account, to_bank, to_account, amount_written, currency, "
    "coalesce(channel, ''))"
)
"""What must be the same for two payments with the same id to be the same.  The amount is compared
as it was written, so that another rate of exchange does not make another payment of it."""


@dataclass(frozen=True)
class Source:
    """A file to stage.

    Attributes:
        path: the file.
        kind: its format.
        label: what errors and rejected rows call it.
    """

    path: Path
    kind: Literal["csv", "parquet"]
    label: str


@dataclass(frozen=True)
class Batch:
    """One taking-in.

    Attributes:
        con: DuckDB; everything of this batch is in its temporary tables.
        work: folder for what does not outlive the batch.
        folder: folder of the data.
        name: name of the batch; its files are called so.
        bank: canonical id of the bank.
        config: the data source.
        cut: payments before this microsecond are older than the retention.
        staged: label and judged file of each source.
    """

    con: duckdb.DuckDBPyConnection
    work: Path
    folder: Path
    name: str
    bank: str
    config: DataConfig
    cut: int
    staged: list[tuple[str, Path]] = field(default_factory=list)

    @property
    def spec(self) -> TableSpec:
        """The columns of the payments as the source names them."""
        return named(TRANSACTIONS, self.config)

    def labels(self, **more: str) -> str:
        """The words that stand in the metadata of a file, as an option of COPY."""
        words = {"bank": self.bank, "base_currency": self.config.base_currency} | more
        return f"KV_METADATA {{{', '.join(f'{k}: {quoted(v)}' for k, v in words.items())}}}"

    def number(self, query: str) -> int:
        """The one number that a query gives."""
        ((value,),) = self.con.execute(query).fetchall()
        return int(value or 0)

    def counts(self, query: str) -> MappingProxyType[str, int]:
        """The rows (name, number) that a query gives."""
        return MappingProxyType({str(k): int(n) for k, n in self.con.execute(query).fetchall()})


def named(spec: TableSpec, config: DataConfig) -> TableSpec:
    """The columns of a table with the names that the source gives them."""
    if config.source == "postgresql":  # renamed by the query already
        return spec
    names = {ours: theirs for ours, theirs in config.columns.items() if ours in spec.columns}
    return replace(spec, names=MappingProxyType(names))


@contextmanager
def open_batch(
    config: DataConfig,
    bank: str,
    places: tuple[Path, Path],
    name: str,
    cut: int,
    sources: Sequence[Path],
) -> Iterator[Batch]:
    """Start a batch.

    Args:
        config: the data source.
        bank: id of the bank.
        places: folder of the data and folder for work.
        name: name of the batch.
        cut: payments before this microsecond are not kept.
        sources: the files of the source, which may be read.

    Raises:
        IntakeStorageError: disk or memory does not suffice.
        DamagedDataError: a file held cannot be read.
    """
    folder, work = places
    resources = Resources(work / "spill", config.memory_mb, config.threads)
    with (
        storage(folder, "raise memory_mb in [data]"),
        connect_to([folder.resolve()], sources, resources) as con,
    ):
        define_rules(con)
        load_rates(con, config.base_currency, config.all_rates())
        con.execute("CREATE TEMP TABLE own_bank AS SELECT ? AS bank", [canonical_bank(bank)])
        con.execute("""
            CREATE TEMP TABLE sources (file INTEGER, label VARCHAR, raw VARCHAR);
            CREATE TEMP TABLE broken (part VARCHAR, file INTEGER, "row" BIGINT, reason VARCHAR);
            CREATE TEMP TABLE verdicts (file INTEGER, "row" BIGINT, verdict VARCHAR)
        """)
        yield Batch(con, work, folder, name, canonical_bank(bank), config, cut)


def stage_payments(batch: Batch, source: Source) -> None:
    """Read and judge one file of payments; what was staged last is replaced if it is the same file.

    Raises:
        DataError: the file cannot be used; nothing of it is staged then.
    """
    if batch.staged and batch.staged[-1][0] == source.label:
        batch.staged.pop()
    number = len(batch.staged)
    batch.con.execute("DELETE FROM sources WHERE file = ?", [number])
    batch.con.execute("DELETE FROM broken WHERE part = 'transactions' AND file = ?", [number])
    raw = batch.work / f"raw-{number}.parquet"
    judged = batch.work / f"judged-{number}.parquet"
    raw.unlink(missing_ok=True)
    stage_text(batch, source, batch.spec, raw)
    batch.con.execute(f"""
        COPY (
            SELECT {number} AS file, "row", tx_id, timestamp, from_bank, from_account, to_bank,
                to_account, TRY_CAST(minor AS BIGINT) AS amount, channel,
                TRY_CAST(amount_text AS DECIMAL(28, 8)) AS amount_written, currency,
                units % own_step <> 0 AS rounded, fault
            FROM ({CHECKED_TRANSACTIONS})
        ) TO {quoted(str(judged))} (FORMAT parquet, COMPRESSION lz4_raw)
    """)  # noqa: S608 - a query of bank_node.rules
    batch.con.execute("INSERT INTO sources VALUES (?, ?, ?)", [number, source.label, str(raw)])
    keep_broken(batch, "transactions", number)
    batch.staged.append((source.label, judged))


def stage_text(batch: Batch, source: Source, spec: TableSpec, target: Path) -> frozenset[str]:
    """Stage a file as text: view ``<name>_text``, and the columns that the file has.

    An error names the source, not a copy of it.
    """
    try:
        columns = stage(batch.con, source.path, source.kind, spec, target)
    except DataError as error:
        message = error.message.replace(str(source.path), source.label)
        raise type(error)(message, error.remedy) from None
    batch.con.execute(f"""
        CREATE OR REPLACE TEMP VIEW {spec.name}_text AS
        SELECT file_row_number + 1 AS "row", * EXCLUDE (file_row_number)
        FROM read_parquet({quoted(str(target))}, file_row_number = true)
    """)  # noqa: S608 - a file of this package
    return columns


def keep_broken(batch: Batch, part: Literal["accounts", "transactions"], number: int) -> None:
    """Remember the misshapen lines of the file that was staged last."""
    batch.con.execute(
        f'INSERT INTO broken SELECT ?, ?, "row", reason FROM {part}_broken',  # noqa: S608
        [part, number],
    )


def join_staged(batch: Batch) -> None:
    """Define ``judged`` and ``fresh`` over all staged files."""
    files = ", ".join(quoted(str(path)) for _, path in batch.staged)
    batch.con.execute(f"""
        CREATE TEMP VIEW judged AS FROM read_parquet([{files}]);
        CREATE TEMP VIEW fresh AS FROM judged WHERE fault IS NULL AND timestamp >= {batch.cut}
    """)
