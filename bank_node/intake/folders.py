"""The folder of the data: one writer at a time, private files, and no garbage.

``days/<day>/<batch>.parquet``, ``accounts/<batch>.parquet``, ``rejected/<batch>.csv``; a
``work-…`` folder while something is taken in.  A file that is not listed is garbage: left by a
process that died, or taken off the list.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from bank_node.intake.days import DayFile
from bank_node.intake.errors import DamagedDataError, IntakeBusyError, IntakeStorageError

__all__ = [
    "KINDS",
    "batch_name",
    "damaged",
    "exclusive",
    "let_go",
    "listed_file",
    "new_file",
    "remove",
    "storage",
    "sweep",
]

KINDS = ("days", "accounts", "rejected")
_GRACE = 3600.0


def batch_name(now: int) -> str:
    """A name that no other batch has, such as 20261124T120000Z-1f0c9a2e."""
    moment = datetime.fromtimestamp(now / 1e6, UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


@contextmanager
def exclusive(folder: Path) -> Iterator[Path]:
    """Hold the folder alone; gives a folder for work, which is removed in the end.

    Raises:
        IntakeBusyError: another process holds it.
        IntakeStorageError: it cannot be written.
    """
    with storage(folder):
        for name in ("", *KINDS):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IntakeBusyError(
                f"{folder}: another process takes in or removes transactions at this moment",
                "Wait until it is done",
            ) from None
        with storage(folder):
            for left in folder.glob("work-*"):
                shutil.rmtree(left)
            work = Path(tempfile.mkdtemp(prefix="work-", dir=folder))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(lock)


@contextmanager
def storage(folder: Path, remedy: str = "let this user write there") -> Iterator[None]:
    """Say in one line that disk or memory does not suffice, or that a file held is damaged.

    What DuckDB says of it is not passed on: it may quote a row.
    """
    try:
        yield
    except duckdb.InvalidInputException:
        raise damaged(folder) from None
    except (duckdb.OutOfMemoryException, duckdb.IOException, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else "disk or memory is full"
        raise IntakeStorageError(
            f"{folder}: cannot be written ({reason})", f"Make room on the disk, or {remedy}"
        ) from None


def damaged(path: Path) -> DamagedDataError:
    """A listed file that cannot be used."""
    return DamagedDataError(
        f"{path}: data that were taken in are missing or cannot be read",
        "Bring the folder back from a backup, or empty it and the list and take in again",
    )


def new_file(folder: Path, name: str) -> Path:
    """An empty file that only this user can read."""
    path = folder / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return path


def listed_file(folder: Path, day: str, name: str, rows: int) -> DayFile:
    """The entry of a file that is complete; it and its name are on disk when this returns."""
    path = folder / name
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    for parent in (path.parent, path.parent.parent):
        handle = os.open(parent, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    return DayFile(day, name, rows, digest, size)


def remove(folder: Path, names: Iterable[str]) -> None:
    """Delete files that are no longer listed, and folders that are empty then."""
    for name in names:
        path = folder / name
        path.unlink(missing_ok=True)
        if path.parent.parent.name == "days" and not any(path.parent.iterdir()):
            path.parent.rmdir()


def let_go(folder: Path, names: Iterable[str], now: float) -> None:
    """Mark files as taken off the list now (seconds since 1970), for :func:`sweep`."""
    for name in names:
        with suppress(FileNotFoundError):
            os.utime(folder / name, (now, now))


def sweep(folder: Path, listed: Iterable[DayFile], *, now: float | None = None) -> int:
    """Remove files that are not listed; the caller holds the folder, or nothing else runs.

    Args:
        folder: folder of the data.
        listed: the files that count.
        now: seconds since 1970; spares files of the last hour, since a reader may have seen them
            on the list before they were merged.  None: spares nothing.

    Returns:
        how many were removed.
    """
    keep = {entry.file for entry in listed}
    garbage = []
    for kind in KINDS:
        for path in (folder / kind).rglob("*"):
            name = str(path.relative_to(folder))
            young = now is not None and abs(now - path.stat().st_mtime) < _GRACE
            if path.is_file() and name not in keep and not young:
                garbage.append(name)
    remove(folder, garbage)
    return len(garbage)
