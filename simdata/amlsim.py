"""Import of AMLSim data sets.

Two layouts, told apart by their files:

- the old samples: ``nodes.csv`` (nodeid, isFraud, init_balance, fraudStep) and ``transactions.csv``
  (sourceNodeId, targetNodeId, value, time in days).  They have no banks: an account is given to
  bank1..bankN by SHA-256 of its id modulo N.
- outputs of AMLSim: ``accounts.csv`` (acct_id, initial_deposit, bank_id, …), ``transactions.csv``
  (tran_id, orig_acct, bene_acct, tx_type, base_amt, tran_timestamp, …), ``alert_accounts.csv`` and
  ``alert_transactions.csv``.  The banks are those of the file; an account that stands in payments
  only is at the bank ``outside``, which is no bank of the data set.  Where the files of alerts have
  ``is_sar``, only the alerts with it are laundering.

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
from pathlib import Path, PurePosixPath
from typing import IO

from bank_node.errors import DataError, MissingFileError, ParameterError, UnreadableFileError
from bank_node.ingest import canonical_bank
from bank_node.raw_tables import TableSpec, column_positions
from simdata.dataset import Dataset, fresh_folder
from simdata.importing import Layout, blocks_of, check_banks, settle
from simdata.staging import Stage, open_stage, quoted, read_header, scan_csv
from simdata.writer import write_blocks

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
_ALERT_ACCOUNTS = TableSpec("alert_accounts", ("alert_id", "acct_id"), ("alert_type", "is_sar"))
_ALERT_TRANSFERS = TableSpec(
    "alert_transactions", ("alert_id", "tran_id"), ("alert_type", "is_sar")
)

_TABLES = ("nodes.csv", "accounts.csv", "transactions.csv", "alert_accounts.csv",
           "alert_transactions.csv")  # fmt: skip
_WANTED = (*_TABLES, "metadata.txt")
_DEFAULT_BANKS = 3


_YES = "('1', 'true')"
_MICROS = """CASE WHEN TRY_CAST({0} AS DOUBLE) BETWEEN -700000 AND 2900000
    THEN epoch_us(TIMESTAMP '2020-01-01') + CAST(CAST({0} AS DOUBLE) * 86400000000 AS BIGINT) END"""


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
    check_banks(banks)
    name = re.sub(r"\.(tgz|tar\.gz|tar|zip)$", "", src.resolve().name)
    with _files(src) as given, fresh_folder(out, force=force) as work:
        folder = given.resolve()
        sources = [path for table in _TABLES if (path := folder / table).is_file()]
        try:
            with open_stage(work, sources) as stage:
                return _settle(stage, work, folder, name, banks, csv=csv)
        except DataError as error:  # the user knows the archive, not where it was unpacked
            message = error.message.replace(str(folder), str(src))
            raise type(error)(message, error.remedy) from error


def _settle(
    stage: Stage, work: Path, folder: Path, name: str, banks: int | None, *, csv: bool
) -> Dataset:
    """Write the data set, whichever layout the folder has."""
    if (folder / "nodes.csv").is_file():
        return _settle_sample(stage, work, folder, name, banks or _DEFAULT_BANKS, csv=csv)
    if (folder / "accounts.csv").is_file():
        return _settle_outputs(stage, work, folder, name, banks, csv=csv)
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


def _scan(stage: Stage, folder: Path, spec: TableSpec) -> frozenset[str]:
    """Read a table into the view ``<name>_text``: rank, the columns of ``spec``, the line as text.

    Returns:
        the columns of ``spec`` that the file has.
    """
    path = folder / f"{spec.name}.csv"
    header = read_header(path)
    where = column_positions(path, header, spec)
    scan_csv(stage, path, f"{spec.name}_file", len(header))
    columns = ", ".join(
        f"c{where[name]} AS {name}" if name in where else f"CAST(NULL AS VARCHAR) AS {name}"
        for name in spec.columns
    )
    line = ", ".join(f"coalesce(c{i}, '')" for i in range(len(header)))
    stage.con.execute(
        f"""CREATE TEMP VIEW {spec.name}_text AS
        SELECT rank, {columns}, concat_ws(',', {line}) AS text FROM {spec.name}_file"""  # noqa: S608
    )
    return frozenset(where)


def _scans(*specs: TableSpec) -> dict[str, str]:
    return {f"{spec.name}_file": f"{spec.name}.csv" for spec in specs}


def _settle_sample(
    stage: Stage, work: Path, folder: Path, name: str, banks: int, *, csv: bool
) -> Dataset:
    _scan(stage, folder, _NODES)
    _scan(stage, folder, _EDGES)
    _assign_banks(stage, banks)
    stage.con.execute(f"""
        CREATE TEMP VIEW raw_payments AS
        SELECT 'transactions.csv' AS file, rank, printf('t%09d', rank) AS tx_id,
            {_MICROS.format("time")} AS micros, time AS time_text,
            coalesce(f.bank, 'outside') AS from_bank, sourcenodeid AS from_account,
            coalesce(g.bank, 'outside') AS to_bank, targetnodeid AS to_account, value AS amount,
            'USD' AS currency, CAST(NULL AS VARCHAR) AS channel, text
        FROM transactions_text
        LEFT JOIN bank_of f ON f.account = sourcenodeid
        LEFT JOIN bank_of g ON g.account = targetnodeid;
        CREATE TEMP VIEW raw_accounts AS
        SELECT 'nodes.csv' AS file, rank, coalesce(bank, 'outside') AS bank, nodeid AS account,
            CAST(NULL AS VARCHAR) AS customer, CAST(NULL AS VARCHAR) AS opened,
            CAST(NULL AS VARCHAR) AS kind, CAST(NULL AS VARCHAR) AS risk_score,
            init_balance AS balance, text
        FROM nodes_text LEFT JOIN bank_of ON account = nodeid
    """)  # noqa: S608 - fixed names
    layout = Layout(
        name,
        "USD",
        account_columns=("balance",),
        labelled=False,
        numbered=False,
        banks=tuple(f"bank{i + 1}" for i in range(banks)),
    )
    dataset = settle(stage, work, layout, _scans(_NODES, _EDGES), csv=csv)
    marked = f"""SELECT DISTINCT nodeid AS account, CAST(NULL AS VARCHAR) AS pattern,
            CAST({_text(_sample_typology(folder))} AS VARCHAR) AS typology
        FROM nodes_text WHERE lower(isfraud) IN {_YES}"""  # noqa: S608 - quoted texts
    _write_labels(stage, work / "labels", marked, _NO_PATTERNS, csv=csv)
    return dataset


def _text(value: str | None) -> str:
    return "NULL" if value is None else quoted(value)


def _sample_typology(folder: Path) -> str | None:
    """The kind of pattern that a sample's ``metadata.txt`` names, if it has only one."""
    path = folder / "metadata.txt"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    kinds = re.findall(r"patterns:\s*[\d,]+\s+([A-Za-z][\w-]*?)s?\s*$", text, re.MULTILINE)
    return str(kinds[0]).lower() if len(kinds) == 1 else None


_NO_PATTERNS = """SELECT CAST(NULL AS VARCHAR) AS pattern, CAST(NULL AS VARCHAR) AS typology,
    CAST(NULL AS VARCHAR) AS tx_id, CAST(NULL AS BIGINT) AS hop WHERE false"""


def _write_labels(stage: Stage, folder: Path, marked: str, patterns: str, *, csv: bool) -> None:
    """Write the labels.

    Args:
        stage: has the data set, settled.
        folder: where to.
        marked: query of the illicit accounts, each once: account, pattern, typology.
        patterns: query of the laundering payments: pattern, typology, tx_id, hop.
        csv: write CSV instead of Parquet.
    """
    folder.mkdir()
    labels = f"""WITH known AS (
            SELECT bank, account FROM accounts UNION SELECT from_bank, from_account FROM payments
            UNION SELECT to_bank, to_account FROM payments)
        SELECT k.bank, k.account, m.account IS NOT NULL AS is_illicit, pattern, typology
        FROM known k LEFT JOIN ({marked}) m ON k.account = m.account
        WHERE k.bank IN (FROM roster) ORDER BY k.bank, k.account"""  # noqa: S608 - our queries
    write_blocks(blocks_of(stage, labels), folder / "accounts", csv=csv)
    write_blocks(blocks_of(stage, patterns), folder / "patterns", csv=csv)


def _assign_banks(stage: Stage, banks: int) -> None:
    """View ``bank_of`` (account, bank): the bank is SHA-256(account), a number, mod ``banks``."""
    remainder = "0"
    for place in range(1, 64, 8):
        word = f"CAST(concat('0x', substr(hash, {place}, 8)) AS BIGINT)"
        remainder = f"(({remainder} * 4294967296 + {word}) % {int(banks)})"
    stage.store(
        "bank_of",
        f"""SELECT account, concat('bank', 1 + {remainder}) AS bank FROM (
            SELECT account, sha256(account) AS hash FROM (
                SELECT nodeid AS account FROM nodes_text
                UNION SELECT sourcenodeid FROM transactions_text
                UNION SELECT targetnodeid FROM transactions_text)
            WHERE account IS NOT NULL)""",  # noqa: S608 - numbers only
    )


def _settle_outputs(
    stage: Stage, work: Path, folder: Path, name: str, banks: int | None, *, csv: bool
) -> Dataset:
    _scan(stage, folder, _ACCOUNTS)
    _scan(stage, folder, _TRANSFERS)
    alerts = [s for s in (_ALERT_ACCOUNTS, _ALERT_TRANSFERS) if _scan_alerts(stage, folder, s)]
    stage.store(
        "bank_of",
        """SELECT DISTINCT ON (acct_id) acct_id AS account, coalesce(bank_id, 'bank') AS bank
        FROM accounts_text WHERE acct_id IS NOT NULL ORDER BY acct_id, rank""",
    )
    layout = Layout(
        name,
        "USD",
        account_columns=("customer", "opened", "kind", "balance"),
        labelled=False,
        numbered=False,
        banks=_own_banks(stage, folder, banks),
    )
    _lay_outputs(stage)
    dataset = settle(stage, work, layout, _scans(_ACCOUNTS, _TRANSFERS, *alerts), csv=csv)
    _write_labels(stage, work / "labels", _ALERTED, _ALERT_PATTERNS, csv=csv)
    return dataset


def _own_banks(stage: Stage, folder: Path, banks: int | None) -> tuple[str, ...]:
    """The banks of an output, which must be as many as asked for."""
    found = stage.con.execute("SELECT DISTINCT bank FROM bank_of ORDER BY bank").fetchall()
    names = tuple(str(name) for (name,) in found)
    if banks is not None and banks != len(names):
        raise ParameterError(
            f"{folder}: the data set has {len(names)} banks of its own, not {banks}",
            "Leave out --banks",
        )
    if len({canonical_bank(name) for name in names}) < len(names):
        raise ParameterError(f"{folder}: a bank id is written in two ways", "Write it in one way")
    return names


def _scan_alerts(stage: Stage, folder: Path, spec: TableSpec) -> bool:
    """View ``<name>_sar`` of the alerts that are laundering; returns whether there is a file."""
    there = (folder / f"{spec.name}.csv").is_file()
    if there:
        judged = "is_sar" in _scan(stage, folder, spec)
        kept = f"lower(is_sar) IN {_YES}" if judged else "true"
        query = f"SELECT * FROM {spec.name}_text WHERE {kept}"  # noqa: S608 - fixed names
    else:
        columns = ", ".join(f"CAST(NULL AS VARCHAR) AS {column}" for column in spec.columns)
        query = f"SELECT CAST(NULL AS BIGINT) AS rank, {columns} WHERE false"
    stage.con.execute(f"CREATE TEMP VIEW {spec.name}_sar AS {query}")
    return there


def _lay_outputs(stage: Stage) -> None:
    """The views of the rows; a ``tran_id`` that is repeated or missing gets the row's number."""
    stage.store(
        "transfers",
        """SELECT *, CASE WHEN tran_id IS NULL OR count(*) OVER (PARTITION BY tran_id) > 1
            THEN concat(coalesce(tran_id, 'row'), '-', rank) ELSE tran_id END AS tx_id
        FROM transactions_text ORDER BY rank""",
    )
    stage.con.execute(f"""
        CREATE TEMP VIEW raw_payments AS
        SELECT 'transactions.csv' AS file, rank, tx_id, tran_id, coalesce(
                {_MICROS.format("tran_timestamp")},
                epoch_us(TRY_CAST(tran_timestamp AS TIMESTAMPTZ))) AS micros,
            tran_timestamp AS time_text,
            coalesce(f.bank, 'outside') AS from_bank, orig_acct AS from_account,
            coalesce(g.bank, 'outside') AS to_bank, bene_acct AS to_account,
            base_amt AS amount, 'USD' AS currency, tx_type AS channel, text
        FROM transfers
        LEFT JOIN bank_of f ON f.account = orig_acct LEFT JOIN bank_of g ON g.account = bene_acct;
        CREATE TEMP VIEW raw_accounts AS
        SELECT 'accounts.csv' AS file, rank, coalesce(bank, bank_id, 'bank') AS bank,
            acct_id AS account, dsply_nm AS customer, open_dt AS opened, type AS kind,
            CAST(NULL AS VARCHAR) AS risk_score, initial_deposit AS balance, text
        FROM accounts_text LEFT JOIN bank_of ON account = acct_id
    """)  # noqa: S608 - fixed names


_ALERTED = """SELECT DISTINCT ON (acct_id) acct_id AS account, alert_id AS pattern,
    alert_type AS typology FROM alert_accounts_sar ORDER BY acct_id, rank"""
_ALERT_PATTERNS = """SELECT alert_id AS pattern, alert_type AS typology, tx_id,
        CAST(NULL AS BIGINT) AS hop
    FROM alert_transactions_sar a JOIN payments p USING (tran_id) ORDER BY a.rank, tx_id"""
