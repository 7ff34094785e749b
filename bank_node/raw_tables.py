"""A bank's files as tables of text, each row with its number.

Nothing is judged here except what makes a whole file useless (:class:`bank_node.errors.DataError`).
A line that has the wrong shape (too few or too many fields, broken quotes: a file that was cut off
ends in one) becomes a row of the table's rejects instead.  Everything is read as text, so that the
rules in :mod:`bank_node.rules` see what the bank wrote.

What DuckDB says of a bad file may quote it, so its words are passed on only as far as they name the
kind of fault, and never as the cause of an error, which a log would print.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa

from bank_node.errors import (
    AmbiguousFileError,
    EncodingError,
    MissingColumnError,
    MissingFileError,
    UnreadableFileError,
)
from bank_node.sandbox import BLANKS, connect, quoted

__all__ = ["BLANKS", "TableSpec", "column_positions", "connect", "load", "stage"]

_HEADER_LIMIT = 1 << 20
_SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class TableSpec:
    """The columns of one table of a bank's folder.

    Attributes:
        name: file name without ending, and name of the table in DuckDB.
        required: columns that must be there.
        optional: columns that are read if they are there and are empty if not.
        names: what the file calls a column, where it has a name of its own.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in order."""
        return self.required + self.optional


def load(con: duckdb.DuckDBPyConnection, folder: Path, spec: TableSpec) -> frozenset[str]:
    """Read a table of ``folder`` into ``<name>_text``, misshapen lines into ``<name>_broken``.

    ``<name>_text``: ``row`` (int64, 1-based data row) and every column of ``spec`` as text without
    blanks around it, NULL if empty.  ``<name>_broken``: ``row`` and ``reason``.

    Returns:
        the columns of ``spec`` that the file has.

    Raises:
        DataError: the file is missing, there twice, unreadable, not UTF-8 or without a column.
    """
    path = _find(folder.resolve(), spec.name)
    try:
        if path.suffix == ".csv":
            return _load_csv(con, path, spec)
        return _load_parquet(con, path, spec)
    except (duckdb.Error, OSError) as error:
        raise _unreadable(path, error) from None


def stage(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    kind: Literal["csv", "parquet"],
    spec: TableSpec,
    target: Path,
) -> frozenset[str]:
    """Copy a table to a Parquet file as text, batch by batch, misshapen lines to ``<name>_broken``.

    The copy has the columns of ``spec`` as :func:`load` gives them, one row for each good line in
    the order of the file, so that a line's rank among the good ones is its row number there.

    Returns:
        the columns of ``spec`` that the file has.

    Raises:
        DataError: the file is unreadable, not UTF-8 or without a column.
        duckdb.Error: memory, or the disk of ``target``, is full.
    """
    try:
        if kind == "csv":
            return _stage_csv(con, path, spec, target)
        return _stage_parquet(con, path, spec, target)
    except (duckdb.Error, OSError) as error:
        if isinstance(error, duckdb.OutOfMemoryException) or "write" in str(error).lower():
            raise  # not the source's fault
        raise _unreadable(path, error) from None


def _find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise MissingFileError(
            f"{folder}: there is no such folder", "Name the folder that holds the bank's tables"
        )
    found = [path for suffix in _SUFFIXES if (path := folder / (name + suffix)).is_file()]
    if not found:
        raise MissingFileError(
            f"{folder}: neither {name}.csv nor {name}.parquet is there",
            f"Put the bank's {name} there as CSV or as Parquet",
        )
    if len(found) > 1:
        raise AmbiguousFileError(
            f"{folder}: both {name}.csv and {name}.parquet are there",
            "Remove the one that should not be read",
        )
    return found[0]


def _unreadable(path: Path, error: Exception) -> Exception:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = error.strerror or lines[0] if isinstance(error, OSError) else lines[0]
    if "encod" in text.lower() or "unicode" in text.lower() or "utf" in text.lower():
        return _wrong_encoding(path)
    kind = "a CSV" if path.suffix == ".csv" else "a Parquet"
    return UnreadableFileError(
        f"{path}: cannot be read as {kind} file ({text.removesuffix(':')})",
        f"Check that it is {kind} file, complete and readable by this user",
    )


def _wrong_encoding(path: Path) -> EncodingError:
    return EncodingError(f"{path}: the text is not UTF-8", "Save or convert the file as UTF-8")


def column_positions(path: Path | str, names: Sequence[str], spec: TableSpec) -> dict[str, int]:
    """Where each column of ``spec`` stands among the ``names`` of a table.

    Raises:
        MissingColumnError: one that must be there is not, or stands there twice.
    """
    cleaned = [name.strip().lower() for name in names]
    called = {column: spec.names.get(column, column).strip().lower() for column in spec.columns}
    # a column that the caller gave a name for must be there, be it optional or not
    needed = [column for column in spec.columns if column in spec.required or column in spec.names]
    missing = [called[column] for column in needed if called[column] not in cleaned]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise MissingColumnError(
            f"{path}: column{plural} {', '.join(missing)} missing",
            _column_remedy(cleaned, spec) if isinstance(path, Path) else "Name what stands for it",
        )
    twice = [name for name in called.values() if cleaned.count(name) > 1]
    if twice:
        raise MissingColumnError(
            f"{path}: column {twice[0]} stands there more than once", "Remove or rename the others"
        )
    return {column: cleaned.index(name) for column, name in called.items() if name in cleaned}


def _column_remedy(names: Sequence[str], spec: TableSpec) -> str:
    header = ",".join(names)
    for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if set(spec.required) <= {name.strip(' "') for name in header.split(separator)}:
            return f"The fields are separated by {word}: separate them by commas"
    return f"The first line must name the columns {', '.join(spec.required)}"


def _header(path: Path) -> list[str]:
    with path.open("rb") as file:
        first = file.readline(_HEADER_LIMIT)
    if not first.strip():
        raise UnreadableFileError(
            f"{path}: there is no header", "The first line must name the columns"
        )
    if first[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in first:
        raise _wrong_encoding(path)
    try:
        line = first.decode("utf-8-sig").splitlines()[0]
        return next(csv.reader([line], strict=True))
    except UnicodeDecodeError:
        raise _wrong_encoding(path) from None
    except (csv.Error, IndexError, StopIteration):
        raise UnreadableFileError(
            f"{path}: the first line is not a CSV header", "The first line must name the columns"
        ) from None


def _text_columns(source: dict[str, str], spec: TableSpec) -> str:
    """The select list that makes every column of ``spec`` clean text."""
    return ", ".join(
        f"clean(CAST({source[column]} AS VARCHAR)) AS {column}"
        if column in source
        else f"CAST(NULL AS VARCHAR) AS {column}"
        for column in spec.columns
    )


def _load_csv(con: duckdb.DuckDBPyConnection, path: Path, spec: TableSpec) -> frozenset[str]:
    names = _header(path)
    where = column_positions(path, names, spec)
    table = f"CREATE TEMP TABLE {spec.name}_scan AS"
    _scan_csv(con, path, spec, f"{table} SELECT row_number() OVER () AS rank, * FROM", len(names))
    _number_rows(con, spec)
    columns = _text_columns({column: f"c{i}" for column, i in where.items()}, spec)
    con.execute(
        f"""
        CREATE TEMP TABLE {spec.name}_text AS
        SELECT "row", {columns} FROM {spec.name}_scan JOIN {spec.name}_rows USING (rank)
        """  # noqa: S608 - names of this module only
    )
    con.execute(f"DROP TABLE {spec.name}_scan")
    return frozenset(where)


def _number_rows(con: duckdb.DuckDBPyConnection, spec: TableSpec) -> None:
    """View ``<name>_rows`` (rank, row): rank among the good lines, and place among all lines."""
    ((good,),) = con.execute(
        f"SELECT count(*) FROM {spec.name}_scan"  # noqa: S608 - name of this module
    ).fetchall()
    broken = con.execute(
        f'SELECT "row" FROM {spec.name}_broken ORDER BY "row"'  # noqa: S608 - name of this module
    ).fetchnumpy()["row"]
    good_before = np.asarray(broken, np.int64) - np.arange(1, len(broken) + 1)
    rank = np.arange(1, good + 1)
    row = rank + np.searchsorted(good_before, rank)
    con.register(f"{spec.name}_rows", pa.table({"rank": rank, "row": row}))


def _stage_csv(
    con: duckdb.DuckDBPyConnection, path: Path, spec: TableSpec, target: Path
) -> frozenset[str]:
    names = _header(path)
    where = column_positions(path, names, spec)
    columns = _text_columns({column: f"c{i}" for column, i in where.items()}, spec)
    _scan_csv(con, path, spec, f"COPY (SELECT {columns} FROM ", len(names), f") {_to(target)}")  # noqa: S608
    return frozenset(where)


def _scan_csv(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    spec: TableSpec,
    head: str,
    fields: int,
    tail: str = "",
) -> None:
    """Carry out ``head``, the scan of the file, ``tail``; then table ``<name>_broken``."""
    try:
        _scan_csv_once(con, path, spec, head, fields, tail, strict=True)
    except duckdb.InvalidInputException:  # line ends of more than one kind
        _scan_csv_once(con, path, spec, head, fields, tail, strict=False)
    _broken_lines(con, path, spec)


def _scan_csv_once(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    spec: TableSpec,
    head: str,
    fields: int,
    tail: str,
    *,
    strict: bool,
) -> None:
    for suffix in ("scan", "errors", "scans", "broken"):
        con.execute(f"DROP TABLE IF EXISTS {spec.name}_{suffix}")
    columns = ", ".join(f"c{i}: 'VARCHAR'" for i in range(fields))
    con.execute(f"""{head}
        read_csv({quoted(str(path))}, columns = {{{columns}}}, auto_detect = false, header = true,
            delim = ',', quote = '"', escape = '"', strict_mode = {str(strict).lower()},
            store_rejects = true, rejects_table = '{spec.name}_errors',
            rejects_scan = '{spec.name}_scans')
        {tail}""")


def _to(target: Path) -> str:
    # into a file that is there already, so that it keeps its mode
    target.touch(0o600)
    return f"TO {quoted(str(target))} (FORMAT parquet, COMPRESSION lz4_raw, USE_TMP_FILE false)"


def _broken_lines(con: duckdb.DuckDBPyConnection, path: Path, spec: TableSpec) -> None:
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {spec.name}_broken AS
        SELECT CAST(line AS BIGINT) - 1 AS "row", CAST(min(error_type) AS VARCHAR) AS kind,
            bool_or(contains(trim(csv_line, E'\\r\\n'), E'\\n')) AS swallowed,
            CASE WHEN min(CAST(error_type AS VARCHAR)) LIKE '%COLUMNS%'
                THEN 'wrong number of fields' ELSE 'broken line' END AS reason
        FROM {spec.name}_errors GROUP BY line
        """  # noqa: S608 - names of this module only
    )
    found = con.execute(
        f"""
        SELECT "row" + 1, kind = 'INVALID ENCODING' AS encoding FROM {spec.name}_broken
        WHERE kind = 'INVALID ENCODING' OR swallowed ORDER BY encoding DESC, "row" LIMIT 1
        """  # noqa: S608 - names of this module only
    ).fetchall()
    if not found:
        return
    line, encoding = found[0]
    if encoding:
        raise EncodingError(
            f"{path}: line {line} is not UTF-8", "Save or convert the file as UTF-8"
        )
    raise UnreadableFileError(
        f"{path}: a quotation mark opened in line {line} is not closed in that row",
        'Close it, or write a quotation mark inside a field as ""',
    )


def _load_parquet(con: duckdb.DuckDBPyConnection, path: Path, spec: TableSpec) -> frozenset[str]:
    source, where = _parquet_source(con, path, spec)
    con.execute(
        f"""
        CREATE TEMP TABLE {spec.name}_text AS
        SELECT CAST(row_number() OVER () AS BIGINT) AS "row", {source}
        """
    )
    con.execute(f'CREATE TEMP TABLE {spec.name}_broken ("row" BIGINT, reason VARCHAR)')
    return where


def _stage_parquet(
    con: duckdb.DuckDBPyConnection, path: Path, spec: TableSpec, target: Path
) -> frozenset[str]:
    source, where = _parquet_source(con, path, spec)
    con.execute(f"COPY (SELECT {source}) {_to(target)}")
    con.execute(f'CREATE OR REPLACE TEMP TABLE {spec.name}_broken ("row" BIGINT, reason VARCHAR)')
    return where


def _parquet_source(
    con: duckdb.DuckDBPyConnection, path: Path, spec: TableSpec
) -> tuple[str, frozenset[str]]:
    """The select list of text columns with its source, and the columns that the file has."""
    source = con.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(path)])
    names = [str(column[0]) for column in source.description]
    where = column_positions(path, names, spec)
    theirs = {column: '"' + names[i].replace('"', '""') + '"' for column, i in where.items()}
    columns = _text_columns(theirs, spec)
    return f"{columns} FROM read_parquet({quoted(str(path))})", frozenset(where)
