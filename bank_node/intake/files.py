"""Files of a source: which of them are new, and reading one that another program still writes.

A file is known by its path, size and time of change; one that is not known so is read in full, and
payments that are there already are found by their ids.  Of a CSV file that grows only the lines
that are complete count: it is then read from a copy, up to the last line end that was there when
reading began, and stays unknown, so that the rest is read the next time.
"""

import glob
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from os import stat_result
from pathlib import Path
from stat import S_ISREG
from typing import Literal

from bank_node.errors import MissingFileError
from bank_node.intake.batch import Source
from bank_node.intake.config import DataConfig
from bank_node.intake.errors import ChangingFileError

__all__ = ["Found", "find", "read_steadily"]

_SETTLED = 60.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Found:
    """A file as it was when it was found.

    Attributes:
        path: the file.
        mark: size and time of change.
    """

    path: Path
    mark: str


def find(config: DataConfig, table: Literal["accounts", "transactions"]) -> list[Found]:
    """The files of a table, sorted by name without its ending ("accounts" before "accounts-2").

    Raises:
        MissingFileError: the folder is not there.
    """
    folder = config.folder
    if folder is None or not folder.is_dir():
        raise MissingFileError(
            f"{folder}: there is no such folder", "Name the folder of the source in [data]"
        )
    names = glob.glob(config.pattern(table), root_dir=folder, recursive=True)  # noqa: PTH207
    names.sort(key=lambda name: (str(Path(name).with_suffix("")), name))
    found = []
    for path in [(folder / name).resolve() for name in names]:
        with suppress(FileNotFoundError):  # removed since
            there = path.stat()
            found += [Found(path, _mark(there))] if S_ISREG(there.st_mode) else []
    return found


def _mark(there: stat_result) -> str:
    return f"{there.st_size}:{there.st_mtime_ns}"


def read_steadily(
    found: Found,
    kind: Literal["csv", "parquet"],
    work: Path,
    now: int,
    read: Callable[[Source], object],
) -> str:
    """Read a file so that no half-written line counts; gives the mark of what was read.

    Args:
        found: the file.
        kind: its format.
        work: folder for a copy, if it takes one.
        now: microseconds since 1970.
        read: reads the file or its copy.  It may be called twice; the second call replaces the
            first.

    Raises:
        ChangingFileError: the file did not only grow at its end.
        DataError: as ``read`` does.
    """
    before = found.path.stat()
    plain = Source(found.path, kind, str(found.path))
    if kind == "csv" and _open_end(found.path, before, now):
        return _read_copy(plain, before.st_size, work, read)
    try:
        read(plain)
    except Exception:
        if _mark(found.path.stat()) == _mark(before):
            raise
    after = found.path.stat()
    if _mark(after) == _mark(before):
        return _mark(before)
    if kind == "csv" and after.st_ino == before.st_ino and after.st_size > before.st_size:
        return _read_copy(plain, before.st_size, work, read)
    raise ChangingFileError(
        f"{found.path}: was replaced while it was read",
        "Write it under another name and rename it when it is complete; it is tried again",
    )


def _open_end(path: Path, there: stat_result, now: int) -> bool:
    """Whether the last line has no end and was written just now."""
    if there.st_size == 0 or abs(now / 1e6 - there.st_mtime) > _SETTLED:
        return False
    with path.open("rb") as file:
        file.seek(there.st_size - 1)
        return file.read(1) != b"\n"


def _read_copy(source: Source, size: int, work: Path, read: Callable[[Source], object]) -> str:
    copy = work / "copy.csv"
    copy.touch(0o600)
    with source.path.open("rb") as file, copy.open("wb") as target:
        left = size
        while block := file.read(min(_BLOCK, left)):
            target.write(block)
            left -= len(block)
    end = _last_line_end(copy)
    with copy.open("r+b") as target:
        target.truncate(end)
    read(Source(copy, source.kind, source.label))
    return f"{end}:growing"


def _last_line_end(path: Path) -> int:
    """Where the last complete line ends."""
    position = path.stat().st_size
    with path.open("rb") as file:
        while position > 0:
            start = max(0, position - _BLOCK)
            file.seek(start)
            found = file.read(position - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            position = start
    return 0
