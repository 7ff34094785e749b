"""Large text files of other formats as tables, with bounded memory, whatever is in them.

A file is read once, as text, into a temporary Parquet file beside the output; DuckDB does all
further work on that, within :data:`MEMORY` and spilling to the same place.  Lines that have the
wrong number of fields or broken quotes (a file that was cut off ends in one) are kept apart with
their reason.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from bank_node.errors import (
    EncodingError,
    MissingColumnError,
    MissingFileError,
    UnreadableFileError,
)
from bank_node.raw_tables import BLANKS

__all__ = ["MEMORY", "Stage", "open_stage", "read_header", "scan_csv", "scan_lines"]

MEMORY = "1500MB"
_HEADER_LIMIT = 1 << 20


@dataclass(frozen=True)
class Stage:
    """A place for temporary tables.

    Attributes:
        con: DuckDB, in memory, which may read the sources and the folder.
        folder: where the temporary files are.
    """

    con: duckdb.DuckDBPyConnection
    folder: Path

    def store(self, name: str, query: str) -> None:
        """Write the rows of a query to a temporary file, and let ``name`` be a view of it."""
        path = quoted(self.folder / f"{name}.parquet")
        self.con.execute(f"COPY ({query}) TO {path} (FORMAT parquet)")
        self.con.execute(f"CREATE TEMP VIEW {name} AS FROM read_parquet({path})")

    def number(self, query: str) -> int:
        """The one number that a query gives."""
        ((value,),) = self.con.execute(query).fetchall()
        return int(value or 0)


def quoted(value: object) -> str:
    """A text literal of SQL."""
    return "'" + str(value).replace("'", "''") + "'"


@contextmanager
def open_stage(work: Path, sources: Sequence[Path]) -> Iterator[Stage]:
    """Open DuckDB for an import or an export.

    Args:
        work: folder to write to, as of :func:`simdata.dataset.fresh_folder`; temporary files go
            beside it and are removed with it.
        sources: the files that may be read, and no others.
    """
    folder = work.parent / "stage"
    folder.mkdir()
    con = duckdb.connect(
        ":memory:",
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )
    with con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET enable_progress_bar = false")
        con.execute("SET preserve_insertion_order = true")
        con.execute(f"SET memory_limit = '{MEMORY}'")
        con.execute(f"SET temp_directory = {quoted(folder / 'spill')}")
        places = ", ".join(quoted(path.resolve()) for path in sources)
        con.execute(f"SET allowed_directories = [{quoted(f'{work.parent.resolve()}/')}]")
        con.execute(f"SET allowed_paths = [{places}]")
        con.execute("SET enable_external_access = false")
        con.execute(
            f"CREATE TEMP MACRO clean(x) AS nullif(trim(x, {quoted(BLANKS)}), '');"
            r"""CREATE TEMP MACRO is_number(x) AS
                regexp_full_match(x, '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?')"""
        )
        yield Stage(con, folder)


def read_header(path: Path, delimiter: str = ",") -> list[str]:
    """The names in the first line of a CSV file, without blanks around them.

    Raises:
        DataError: the file is not there, is no text in UTF-8, or has no header.
    """
    try:
        with path.open("rb") as file:
            first = file.readline(_HEADER_LIMIT)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: there is no such file", "Check the path") from error
    except OSError as error:
        raise UnreadableFileError(f"{path}: {error.strerror}", "Check the file") from error
    if first[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in first:
        raise _wrong_encoding(path, "the text is")
    try:
        line = first.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path, "the first line is") from error
    try:
        names = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise UnreadableFileError(f"{path}: the first line is no header", "Check it") from error
    if not any(name.strip() for name in names):
        raise UnreadableFileError(
            f"{path}: there is no header", "The first line must name the columns"
        )
    return [name.strip() for name in names]


def _wrong_encoding(path: Path, what: str) -> EncodingError:
    with path.open("rb") as file:
        start = file.read(4)
    # Spreadsheets save UTF-16 as "Unicode text": with a mark, or a zero byte for each letter.
    wide = start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in start
    guess = "latin1" if not wide else "utf-32" if b"\x00\x00" in start else "utf-16"
    return EncodingError(
        f"{path}: {what} not UTF-8",
        f"Convert the file, for example with: iconv -f {guess} -t utf-8",
    )


def check_header(path: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Refuse a file whose columns are not those of a format, in their order.

    Raises:
        MissingColumnError: the header differs.
    """
    found = [name.lower() for name in names]
    for place, column in enumerate(wanted):
        if place >= len(found) or found[place] != column.lower():
            there = found[place] if place < len(found) else "nothing"
            raise MissingColumnError(
                f"{path}: column {place + 1} must be {column}, not {there}",
                f"The first line of this format is {','.join(wanted)}",
            )


def scan_csv(
    stage: Stage, path: Path, name: str, fields: int, *, delimiter: str = ",", header: bool = True
) -> None:
    """Read a CSV file into the view ``name`` and its misshapen lines into ``<name>_broken``.

    ``name``: ``rank`` (from 1, among the good lines) and text columns ``c0``, ``c1``, … without
    blanks around them, NULL if empty.  ``<name>_broken``: ``row`` (data row from 1), ``reason``,
    ``text``.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    try:
        _scan(stage, path, name, fields, delimiter, strict=True, header=header)
    except duckdb.InvalidInputException:  # line ends of more than one kind
        _scan(stage, path, name, fields, delimiter, strict=False, header=header)
    except duckdb.Error as error:
        lines = str(error).strip().splitlines() or ["DuckDB gave no reason"]
        raise UnreadableFileError(
            f"{path}: cannot be read as CSV ({lines[0]})", "Check that it is whole and readable"
        ) from error
    _keep_broken(stage, path, name, first=2 if header else 1)


def _scan(
    stage: Stage, path: Path, name: str, fields: int, delimiter: str, *, strict: bool, header: bool
) -> None:
    for suffix in ("errors", "scans"):
        stage.con.execute(f"DROP TABLE IF EXISTS {name}_{suffix}")
    columns = ", ".join(f"c{i}: 'VARCHAR'" for i in range(fields))
    cleaned = ", ".join(f"clean(c{i}) AS c{i}" for i in range(fields))
    stage.store(
        name,
        f"""SELECT row_number() OVER () AS rank, {cleaned}
        FROM read_csv({quoted(path.resolve())}, columns = {{{columns}}}, auto_detect = false,
            header = {str(header).lower()}, delim = {quoted(delimiter)}, quote = '"', escape = '"',
            strict_mode = {str(strict).lower()}, store_rejects = true,
            rejects_table = '{name}_errors', rejects_scan = '{name}_scans')""",  # noqa: S608
    )


def _keep_broken(stage: Stage, path: Path, name: str, first: int) -> None:
    """Table ``<name>_broken``; refuses a file that is not UTF-8."""
    stage.con.execute(
        f"""CREATE TEMP TABLE {name}_broken AS
        SELECT CAST(line AS BIGINT) - {first - 1} AS "row",
            min(CAST(error_type AS VARCHAR)) = 'INVALID ENCODING' AS encoding,
            CASE WHEN min(CAST(error_type AS VARCHAR)) LIKE '%COLUMNS%'
                THEN 'wrong number of fields' ELSE 'broken line' END AS reason,
            trim(min(csv_line), E'\\r\\n') AS text
        FROM {name}_errors GROUP BY line ORDER BY line"""  # noqa: S608 - names of this module
    )
    found = stage.con.execute(
        f'SELECT min("row") FROM {name}_broken WHERE encoding'  # noqa: S608 - name of this module
    ).fetchall()
    if found[0][0] is not None:
        raise _wrong_encoding(path, f"line {found[0][0] + first - 1} is")


def scan_lines(stage: Stage, path: Path, name: str) -> None:
    """Read a text file line by line into the view ``name`` (rank, line)."""
    try:
        stage.store(
            name,
            f"""SELECT row_number() OVER () AS rank, line FROM read_csv({quoted(path.resolve())},
                columns = {{line: 'VARCHAR'}}, auto_detect = false, header = false,
                delim = E'\\x01', quote = '', escape = '', strict_mode = false)""",  # noqa: S608
        )
    except duckdb.Error as error:
        raise _wrong_encoding(path, "the text, or a part of it, is") from error
