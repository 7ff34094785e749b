"""Import of AMLSim data sets.

Two layouts, told apart by their files:

- the old samples: ``nodes.csv`` (nodeid, isFraud, init_balance, fraudStep) and ``transactions.csv``
  (sourceNodeId, targetNodeId, value, time in days).  They have no banks: an account is given to
  bank1..bankN by SHA-256 of its id modulo N.
- outputs of AMLSim: ``accounts.csv`` (acct_id, initial_deposit, bank_id, …), ``transactions.csv``
  (tran_id, orig_acct, bene_acct, tx_type, base_amt, tran_timestamp, …), ``alert_accounts.csv`` and
  ``alert_transactions.csv``.  The banks are those of the file; an account that stands in payments
  only is at the bank ``outside``, which is no bank of the data set.

Day d is 2020-01-01 plus d days, UTC; the currency is USD.  What AMLSim knows of laundering goes to
the labels and nowhere else.  Archives are read member by member: only the files named above, never
to a path that the archive chooses.
"""

import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bank_node.errors import DataError, MissingFileError, ParameterError, UnreadableFileError
from bank_node.ingest import canonical_bank
from bank_node.raw_tables import TableSpec, connect, load
from simdata.dataset import Dataset, write_dataset

__all__ = ["import_amlsim"]

_NODES = TableSpec("nodes", ("nodeid", "isfraud"), ("init_balance", "fraudstep"))
_EDGES = TableSpec("transactions", ("sourcenodeid", "targetnodeid", "value", "time"), ())
_ACCOUNTS = TableSpec(
    "accounts", ("acct_id", "bank_id"), ("type", "initial_deposit", "open_dt", "dsply_nm")
)
_TRANSFERS = TableSpec(
    "transactions",
    ("tran_id", "orig_acct", "bene_acct", "base_amt", "tran_timestamp"),
    ("tx_type",),
)
_ALERT_ACCOUNTS = TableSpec("alert_accounts", ("alert_id", "acct_id"), ("alert_type",))
_ALERT_TRANSFERS = TableSpec("alert_transactions", ("alert_id", "tran_id"), ("alert_type",))

_TABLES = ("nodes.csv", "accounts.csv", "transactions.csv", "alert_accounts.csv",
           "alert_transactions.csv")  # fmt: skip
_WANTED = (*_TABLES, "metadata.txt")
_DEFAULT_BANKS = 3


@dataclass(frozen=True)
class _Tables:
    """What a layout gives: the tables of :func:`simdata.dataset.write_dataset`."""

    banks: tuple[str, ...]
    accounts: pa.Table
    payments: pa.Table
    labels: pa.Table
    patterns: pa.Table


def import_amlsim(
    src: Path, out: Path, *, banks: int | None = None, csv: bool = False, force: bool = False
) -> Dataset:
    """Turn an AMLSim data set into a data set folder.

    Args:
        src: a .tgz, .tar.gz, .tar or .zip archive, or a folder.
        out: the folder to write.
        banks: number of banks to split over, 3 if None; a data set that has banks keeps its own.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Returns:
        the description of the data set.

    Raises:
        DataError: the source is no AMLSim data set, or ``out`` is in use.
    """
    if banks is not None and not 1 <= banks <= 1000:
        raise ParameterError(f"{banks} banks cannot be made", "Ask for 1 to 1000 banks")
    with _files(src) as folder, connect(folder) as con:
        try:
            tables = _read(con, folder, banks)
        except DataError as error:  # the user knows the archive, not where it was unpacked
            place = str(folder.resolve())
            raise type(error)(error.message.replace(place, str(src)), error.remedy) from error
    span = pc.min_max(tables.payments["timestamp"]).as_py()
    dataset = Dataset(
        name=re.sub(r"\.(tgz|tar\.gz|tar|zip)$", "", src.resolve().name),
        banks=tables.banks,
        base_currency="USD",
        first=span["min"],
        last=span["max"],
    )
    write_dataset(
        out,
        dataset,
        accounts=tables.accounts,
        payments=tables.payments,
        labels=tables.labels,
        patterns=tables.patterns,
        csv=csv,
        force=force,
    )
    return dataset


def _read(con: duckdb.DuckDBPyConnection, folder: Path, banks: int | None) -> _Tables:
    folder = folder.resolve()
    if (folder / "nodes.csv").is_file():
        return _read_sample(con, folder, banks or _DEFAULT_BANKS)
    if (folder / "accounts.csv").is_file():
        return _read_outputs(con, folder, banks)
    raise MissingFileError(
        f"{folder}: neither nodes.csv nor accounts.csv is in it",
        "Name an AMLSim sample or output folder, or an archive of one",
    )


@contextmanager
def _files(src: Path) -> Iterator[Path]:
    """A folder with the wanted files of ``src``."""
    if src.is_dir():
        yield _only_folder(src)
        return
    if not src.is_file():
        raise MissingFileError(f"{src}: there is no such file or folder", "Check the path")
    with tempfile.TemporaryDirectory(prefix="undercurrent-") as name:
        folder = Path(name)
        try:
            if zipfile.is_zipfile(src):
                _unpack_zip(src, folder)
            else:
                _unpack_tar(src, folder)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
            raise UnreadableFileError(
                f"{src}: cannot be read as an archive ({error})", "Give a whole .tgz or .zip file"
            ) from error
        yield folder


def _only_folder(src: Path) -> Path:
    """``src`` itself, or its only sub-folder if the tables are there."""
    if any((src / name).is_file() for name in _TABLES):
        return src
    inner = [path.parent for path in src.glob("*/transactions.csv")]
    return inner[0] if len(inner) == 1 else src


def _unpack_zip(src: Path, folder: Path) -> None:
    with zipfile.ZipFile(src) as archive:
        for member in archive.infolist():
            if not member.is_dir() and _is_wanted(member.filename):
                with archive.open(member) as stream:
                    _copy(src, stream, folder, member.filename)


def _unpack_tar(src: Path, folder: Path) -> None:
    with tarfile.open(src) as archive:
        for member in archive:
            if member.isfile() and _is_wanted(member.name):
                stream = archive.extractfile(member)
                if stream is not None:
                    _copy(src, stream, folder, member.name)


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name in _WANTED and not any(part.startswith("__MACOSX") for part in path.parts)


def _copy(src: Path, stream: IO[bytes], folder: Path, name: str) -> None:
    target = folder / PurePosixPath(name).name
    if target.exists():
        raise UnreadableFileError(
            f"{src}: {target.name} is in it more than once", "Give one data set at a time"
        )
    with target.open("wb") as file:
        shutil.copyfileobj(stream, file)


def _refuse_broken(con: duckdb.DuckDBPyConnection, folder: Path, *specs: TableSpec) -> None:
    for spec in specs:
        ((broken,),) = con.execute(
            f"SELECT count(*) FROM {spec.name}_broken"  # noqa: S608 - names of this module only
        ).fetchall()
        if broken:
            raise UnreadableFileError(
                f"{folder}: {spec.name}.csv has {broken} lines with the wrong number of fields",
                "Get the file again: it may be cut off",
            )


def _read_sample(con: duckdb.DuckDBPyConnection, folder: Path, banks: int) -> _Tables:
    load(con, folder, _NODES)
    load(con, folder, _EDGES)
    _refuse_broken(con, folder, _NODES, _EDGES)
    _assign_banks(con, banks)
    payments = con.sql("""
        SELECT printf('t%09d', t."row") AS tx_id,
            epoch_us(TIMESTAMP '2020-01-01')
                + TRY_CAST(TRY_CAST(time AS DOUBLE) * 86400000000 AS BIGINT) AS timestamp,
            f.bank AS from_bank, sourcenodeid AS from_account,
            g.bank AS to_bank, targetnodeid AS to_account,
            value AS amount, 'USD' AS currency
        FROM transactions_text t
        LEFT JOIN bank_of f ON f.account = sourcenodeid
        LEFT JOIN bank_of g ON g.account = targetnodeid
        ORDER BY timestamp, t."row"
    """)
    accounts = con.sql("""
        SELECT bank, account, init_balance AS balance
        FROM bank_of LEFT JOIN nodes_text ON nodeid = account ORDER BY bank, account
    """)
    labels = con.sql(
        """
        SELECT bank, account, lower(coalesce(isfraud, '0')) IN ('1', 'true') AS is_illicit,
            CAST(NULL AS VARCHAR) AS pattern, CASE WHEN is_illicit THEN $typology END AS typology
        FROM bank_of LEFT JOIN nodes_text ON nodeid = account ORDER BY bank, account
        """,
        params={"typology": _sample_typology(folder)},
    ).to_arrow_table()
    return _Tables(
        banks=tuple(f"bank{i + 1}" for i in range(banks)),
        accounts=accounts.to_arrow_table(),
        payments=payments.to_arrow_table(),
        labels=labels,
        patterns=_no_patterns(),
    )


def _sample_typology(folder: Path) -> str | None:
    """The kind of pattern that a sample's ``metadata.txt`` names, if it has only one."""
    path = folder / "metadata.txt"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    kinds = re.findall(r"patterns:\s*[\d,]+\s+([A-Za-z][\w-]*?)s?\s*$", text, re.MULTILINE)
    return str(kinds[0]).lower() if len(kinds) == 1 else None


def _no_patterns() -> pa.Table:
    text = pa.string()
    schema = pa.schema(
        [("pattern", text), ("typology", text), ("tx_id", text), ("hop", pa.int64())]
    )
    return schema.empty_table()


def _assign_banks(con: duckdb.DuckDBPyConnection, banks: int) -> None:
    """Table ``bank_of`` (account, bank): the bank is SHA-256(account), a number, mod ``banks``."""
    table = con.sql("""
        SELECT account, unhex(sha256(account)) AS hash FROM (
            SELECT nodeid AS account FROM nodes_text
            UNION SELECT sourcenodeid FROM transactions_text
            UNION SELECT targetnodeid FROM transactions_text)
        WHERE account IS NOT NULL ORDER BY account
    """).to_arrow_table()
    hashes = table["hash"].combine_chunks().cast(pa.binary(32))
    words = np.frombuffer(hashes.buffers()[1], ">u4")[: 8 * len(hashes)].reshape(-1, 8)
    remainder = np.zeros(len(words), np.uint64)
    for word in words.astype(np.uint64).T:
        remainder = ((remainder << np.uint64(32)) + word) % np.uint64(banks)
    names = pa.array([f"bank{i + 1}" for i in range(banks)]).take(pa.array(remainder))
    con.register("bank_of", pa.table({"account": table["account"], "bank": names}))


def _read_outputs(con: duckdb.DuckDBPyConnection, folder: Path, banks: int | None) -> _Tables:
    load(con, folder, _ACCOUNTS)
    load(con, folder, _TRANSFERS)
    _refuse_broken(con, folder, _ACCOUNTS, _TRANSFERS)
    for spec in (_ALERT_ACCOUNTS, _ALERT_TRANSFERS):
        _load_alerts(con, folder, spec)
    con.execute("""
        CREATE TEMP TABLE bank_of AS
        SELECT DISTINCT ON (acct_id) acct_id AS account, coalesce(bank_id, 'bank') AS bank
        FROM accounts_text WHERE acct_id IS NOT NULL ORDER BY acct_id, "row"
    """)
    found = con.sql("SELECT DISTINCT bank FROM bank_of ORDER BY bank").fetchall()
    names = tuple(str(name) for (name,) in found)
    if banks is not None and banks != len(names):
        raise ParameterError(
            f"{folder}: the data set has {len(names)} banks of its own, not {banks}",
            "Leave out --banks",
        )
    if len({canonical_bank(name) for name in names}) < len(names):
        raise ParameterError(f"{folder}: a bank id is written in two ways", "Write it in one way")
    return _Tables(
        banks=names,
        accounts=_output_accounts(con),
        payments=_output_payments(con),
        labels=_output_labels(con),
        patterns=_output_patterns(con),
    )


def _load_alerts(con: duckdb.DuckDBPyConnection, folder: Path, spec: TableSpec) -> None:
    if (folder / f"{spec.name}.csv").is_file():
        load(con, folder, spec)
        return
    columns = ", ".join(f"{column} VARCHAR" for column in spec.columns)
    con.execute(f'CREATE TEMP TABLE {spec.name}_text ("row" BIGINT, {columns})')


def _output_accounts(con: duckdb.DuckDBPyConnection) -> pa.Table:
    return con.sql("""
        SELECT DISTINCT ON (account) bank, account, dsply_nm AS customer, open_dt AS opened,
            type AS kind, initial_deposit AS balance
        FROM accounts_text JOIN bank_of ON acct_id = account ORDER BY account, "row"
    """).to_arrow_table()


def _output_payments(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """The payments; a ``tran_id`` that is missing or repeated is followed by the row number."""
    con.execute("""
        CREATE TEMP TABLE transfers AS
        SELECT *, CASE WHEN tran_id IS NULL OR count(*) OVER (PARTITION BY tran_id) > 1
            THEN concat_ws('-', tran_id, "row") ELSE tran_id END AS tx_id
        FROM transactions_text
    """)
    return con.sql("""
        SELECT tx_id, coalesce(
                epoch_us(TIMESTAMP '2020-01-01')
                    + TRY_CAST(TRY_CAST(tran_timestamp AS DOUBLE) * 86400000000 AS BIGINT),
                epoch_us(TRY_CAST(tran_timestamp AS TIMESTAMPTZ))) AS timestamp,
            coalesce(f.bank, 'outside') AS from_bank, orig_acct AS from_account,
            coalesce(g.bank, 'outside') AS to_bank, bene_acct AS to_account,
            base_amt AS amount, 'USD' AS currency, tx_type AS channel
        FROM transfers
        LEFT JOIN bank_of f ON f.account = orig_acct LEFT JOIN bank_of g ON g.account = bene_acct
        ORDER BY timestamp, "row"
    """).to_arrow_table()


def _output_labels(con: duckdb.DuckDBPyConnection) -> pa.Table:
    return con.sql("""
        WITH alerted AS (
            SELECT DISTINCT ON (acct_id) acct_id, alert_id, alert_type
            FROM alert_accounts_text ORDER BY acct_id, "row")
        SELECT bank, account, acct_id IS NOT NULL AS is_illicit, alert_id AS pattern,
            alert_type AS typology
        FROM bank_of LEFT JOIN alerted ON acct_id = account ORDER BY bank, account
    """).to_arrow_table()


def _output_patterns(con: duckdb.DuckDBPyConnection) -> pa.Table:
    return con.sql("""
        SELECT alert_id AS pattern, alert_type AS typology, tx_id,
            CAST(NULL AS BIGINT) AS hop
        FROM alert_transactions_text a JOIN transfers t USING (tran_id) ORDER BY a."row", tx_id
    """).to_arrow_table()
