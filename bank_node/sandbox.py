"""DuckDB with access to named folders and files only, and with bounded memory where asked.

No file of its own, no extension downloads, times in UTC, rows in the order in which they were
written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

__all__ = ["BLANKS", "Resources", "connect", "connect_to", "quoted"]

BLANKS = " \t\r\n\v\f\u00a0"
"""What is taken off both ends of every field."""


@dataclass(frozen=True)
class Resources:
    """What DuckDB may use.

    Attributes:
        temporary: folder for what does not fit in memory.
        memory_mb: memory in MiB.
        threads: number of threads; 0: one for each core.
    """

    temporary: Path
    memory_mb: int = 1024
    threads: int = 0


def connect(folder: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory: no file of its own, no downloads, no reading but in ``folder``."""
    if folder is None:
        return connect_to((), ())
    inside = folder.resolve()
    # files elsewhere that the owner of the folder linked into it
    linked = [p.resolve() for p in inside.glob("*") if p.is_symlink() and p.is_file()]
    return connect_to([inside], linked)


def connect_to(
    folders: Sequence[Path], files: Sequence[Path], resources: Resources | None = None
) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory with access to these folders and files only.

    Without ``resources`` nothing is written to disk, and memory is DuckDB's default.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": "" if resources is None else str(resources.temporary),
    }
    if resources is not None:
        config["memory_limit"] = f"{resources.memory_mb}MiB"
        config |= {"threads": resources.threads} if resources.threads else {}
    con = duckdb.connect(":memory:", config=config)
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET preserve_insertion_order = true")
    con.execute("SET enable_progress_bar = false")
    con.execute(  # the pattern first: looking for blanks is cheaper than trimming
        rf"""CREATE TEMP MACRO clean(x) AS nullif(
            CASE WHEN regexp_matches(x, '^[\s\x{{0B}}\x{{A0}}]|[\s\x{{0B}}\x{{A0}}]$')
            THEN trim(x, '{BLANKS}') ELSE x END, '')"""
    )
    _allow(con, "allowed_directories", [f"{folder}/" for folder in folders])
    _allow(con, "allowed_paths", [str(file) for file in files])
    con.execute("SET enable_external_access = false")
    return con


def _allow(con: duckdb.DuckDBPyConnection, setting: str, names: Sequence[str]) -> None:
    con.execute(f"SET {setting} = [{', '.join(map(quoted, names))}]")


def quoted(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
