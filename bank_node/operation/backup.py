"""A consistent copy of a node in one file, while it runs.

In it: settings, rules, profiles, agreements, certificates, the database (copied page by page by
SQLite itself, so that it is the state of one moment), and a list of the days of payments that were
taken in; private keys only if asked for. Not in it: the payments (they can be taken in again from
the bank's own systems), what runs have not stored yet, and prepared columns, ever: a column that is
used a second time gives its owner the difference of two secrets, and a copy cannot know what was
used since.
"""

import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from bank_node.files import sync
from bank_node.node.config import CONFIG_NAME, NodeConfig, read_config
from bank_node.operation.errors import BackupError
from bank_node.versions import versions

__all__ = [
    "DATABASE_NAME",
    "DAYS_NAME",
    "FORMAT",
    "LIST_NAME",
    "BackupReport",
    "backup",
    "sqlite_file",
]

FORMAT = 1
LIST_NAME = "backup.json"
DATABASE_NAME = "node.db"
DAYS_NAME = "days.json"
RULES_NAME = "rules.toml"
"""The rules of alerts, where they lie in the node's folder under their usual name."""
_NEVER = ("data/: payments", "columns/: prepared columns", "runs/: results not stored yet")


@dataclass(frozen=True)
class BackupReport:
    """What a backup holds.

    Attributes:
        path: the file.
        bytes: its size.
        files: names of what is in it.
        has_keys: whether private keys are in it.
        left_out: what is not in it, and why or how to save it.
    """

    path: Path
    bytes: int
    files: tuple[str, ...]
    has_keys: bool
    left_out: tuple[str, ...]


def backup(folder: Path, target: Path, *, now: int, with_keys: bool = False) -> BackupReport:
    """Write a backup of a node's folder into one new file of mode 0600.

    Args:
        folder: the node's folder.
        target: the file; it must not be there.
        now: microseconds since 1970 UTC.
        with_keys: whether the private keys are copied, too: who reads the file is then the member.

    Raises:
        BackupError: the file is there, or cannot be written, or the database cannot be read.
    """
    config = read_config(folder)
    if target.exists():
        raise BackupError(f"{target} is there already", "Name a file that is not there")
    try:
        with _workshop(target) as work:
            left_out = _collect(config, work, with_keys=with_keys)
            listed = _listed(config, work, now, left_out, with_keys=with_keys)
            _write(work, listed, target)
    except OSError as error:
        raise BackupError(
            f"{target}: the backup cannot be written ({error.strerror})",
            "Choose a place with room that this user may write",
        ) from error
    return BackupReport(
        target, target.stat().st_size, tuple(listed["files"]), with_keys, tuple(left_out)
    )


def sqlite_file(config: NodeConfig) -> Path | None:
    """Return the file of the node's database, or None if it is on a server."""
    url = make_url(config.store_url)
    is_file = url.get_backend_name() == "sqlite" and url.database is not None
    return Path(str(url.database)) if is_file else None


@contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """Give a private folder beside the target, gone at the end."""
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _collect(config: NodeConfig, work: Path, *, with_keys: bool) -> list[str]:
    """Copy what belongs into the backup and return what was left out."""
    left_out = list(_NEVER)
    shutil.copyfile(config.folder / CONFIG_NAME, work / CONFIG_NAME)
    if (config.folder / RULES_NAME).is_file():
        shutil.copyfile(config.folder / RULES_NAME, work / RULES_NAME)
    for part in ("agreements", "keys", "authority", "profiles"):
        left_out += _copy_part(config.folder / part, work / part, with_keys=with_keys)
    days: list[dict[str, Any]] = []
    database = sqlite_file(config)
    if database is None:
        left_out.append("the database: it is on a server; save it with pg_dump at the same time")
    elif not database.exists():
        left_out.append("the database: there is none yet")
    else:
        _copy_database(database, work / DATABASE_NAME)
        days = _days_of(work / DATABASE_NAME)
    (work / DAYS_NAME).write_text(json.dumps(days, indent=1) + "\n", "utf-8")
    return left_out


def _copy_part(source: Path, into: Path, *, with_keys: bool) -> list[str]:
    if not source.is_dir():
        return []
    into.mkdir()
    left_out = []
    for path in sorted(source.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix == ".pem" and not with_keys:
            left_out.append(f"{source.name}/{path.name}: a private key; keep it elsewhere")
            continue
        shutil.copyfile(path, into / path.name)
    return left_out


def _copy_database(source: Path, into: Path) -> None:
    """Copy a database that is in use; the copy is one file without a log beside it."""
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as original,
            closing(sqlite3.connect(into)) as copy,
        ):
            # In one step: it sees one moment, and with a write-ahead log nobody has to wait for it.
            original.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            ((found,),) = copy.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        raise BackupError(
            f"{source}: the database cannot be copied ({error.sqlite_errorname})",
            "See undercurrent doctor",
        ) from None
    if found != "ok":
        raise BackupError(
            f"{source}: the database is damaged", "Restore the last backup; keep the damaged file"
        )


def _days_of(database: Path) -> list[dict[str, Any]]:
    """Return which days of payments the node had taken in, as its database says."""
    with closing(sqlite3.connect(database)) as copy:
        copy.row_factory = sqlite3.Row
        has_days = copy.execute("SELECT 1 FROM sqlite_master WHERE name = 'days'").fetchone()
        if has_days is None:
            return []
        rows = copy.execute("SELECT day, file, rows, sha256, bytes FROM days ORDER BY day, file")
        return [dict(row) for row in rows]


def _listed(
    config: NodeConfig, work: Path, now: int, left_out: list[str], *, with_keys: bool
) -> dict[str, Any]:
    files = sorted(path for path in work.rglob("*") if path.is_file())
    return {
        "format": FORMAT,
        "node": config.node.id,
        "consortium": config.node.consortium,
        "created": datetime.fromtimestamp(now / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "program": versions()["undercurrent"],
        "keys": with_keys,
        "left_out": left_out,
        "files": {
            path.relative_to(work).as_posix(): {
                "sha256": _sha256(path),
                "bytes": path.stat().st_size,
            }
            for path in files
        },
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(work: Path, listed: dict[str, Any], target: Path) -> None:
    """Write the list and the files it names; the target appears when all of it is on disk."""
    (work / LIST_NAME).write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    temporary = target.parent / f".{target.name}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for name in (LIST_NAME, *listed["files"]):
                    tar.add(work / name, arcname=name, recursive=False, filter=_nobody)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never takes the place of a file that came meanwhile.
        os.link(temporary, target)
    finally:
        temporary.unlink()
    sync(target.parent)


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member
