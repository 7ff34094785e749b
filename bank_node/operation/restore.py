"""Putting a node back from a backup, so that what must not happen twice does not.

An old copy knows nothing of what was done since.  So all prepared columns are marked as discarded,
message numbers go on far above any that can have been used, and the payments are taken in anew.
What was charged to the budget since the backup is not known either, which the report says.
"""

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from bank_node.files import sync
from bank_node.node.config import CONFIG_NAME, NodeConfig, read_config
from bank_node.operation.backup import (
    DATABASE_NAME,
    DAYS_NAME,
    FORMAT,
    LIST_NAME,
    sqlite_file,
)
from bank_node.operation.errors import NodeFolderError, RestoreError
from bank_node.people.tables import SessionRow
from bank_node.store.database import Database
from bank_node.store.entries import append
from bank_node.store.tables import AuditRow, ColumnSetRow, CounterRow, DayRow, SourceRow

__all__ = ["SAFE_JUMP", "RestoreReport", "restore"]

SAFE_JUMP = 1 << 20
"""How far the number of connections goes on: more than a node makes between two backups."""

_NAME = re.compile(
    r"backup\.json|days\.json|node\.toml|node\.db|rules\.toml"
    r"|(?:agreements|keys|authority|profiles)/[A-Za-z0-9][A-Za-z0-9._-]{0,120}"
)
_MOST_LIST = 1 << 24
_CHUNK = 1 << 20
_DAMAGED = "Use another copy of the backup"


@dataclass(frozen=True)
class RestoreReport:
    """What a restore came to.

    Attributes:
        folder: the node's folder.
        created: when the backup was made.
        columns_discarded: preparations that can no longer be used.
        days: days of payments that are to be taken in anew.
        notes: what is to be done before the node starts.
    """

    folder: Path
    created: str
    columns_discarded: int
    days: int
    notes: tuple[str, ...]


class _FileForm(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class _List(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    format: int
    node: str
    created: str = Field(pattern=r"^[0-9TZ:-]{20}$")
    keys: bool
    files: dict[str, _FileForm]


def restore(source: Path, folder: Path, *, now: int, person: str = "node") -> RestoreReport:
    """Make a node's folder from a backup; it is there when all of it is right, or not at all.

    A database on a server must have been restored from its dump before.

    Args:
        source: the file that ``backup`` wrote.
        folder: the node's folder; it must not be there.
        now: microseconds since 1970 UTC.
        person: who restores, for the audit log.

    Raises:
        NodeFolderError: the folder is there.
        RestoreError: the file is damaged or no backup, or the database was not restored.
    """
    if folder.exists() or folder.is_symlink():
        raise NodeFolderError(f"{folder} is there already", "Name a folder that is not there")
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    try:
        listed = _unpack(source, work)
        config = read_config(work)
        settled = _settle(config, listed, now, person)
        notes = _notes(config, listed)
        (work / DAYS_NAME).unlink(missing_ok=True)
        work.rename(folder)
        sync(folder.absolute().parent)
    except OSError as error:
        raise RestoreError(
            f"{folder}: the backup cannot be restored ({error.strerror})",
            "Check the file, the place and its room",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return RestoreReport(folder, listed.created, settled[0], settled[1], notes)


def _unpack(source: Path, work: Path) -> _List:
    """Write the files of a backup, each checked, into a folder."""
    try:
        with source.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            members = iter(tar)
            listed = _read_list(tar, next(members, None), source)
            seen = {LIST_NAME}
            for member in members:
                if member.name in seen or member.name not in listed.files or not member.isreg():
                    raise _damaged(source, "it holds what its list does not name")
                seen.add(member.name)
                with _stream(tar, member) as stream:
                    _write(stream, work / member.name, listed.files[member.name], source)
    except tarfile.TarError:
        raise _damaged(source, "it is no backup, or cut off") from None
    if seen != {LIST_NAME, *listed.files} or CONFIG_NAME not in seen:
        raise _damaged(source, "a file of its list is missing")
    for name in ("keys", "agreements", "data", "columns", "runs"):
        (work / name).mkdir(mode=0o700, exist_ok=True)
    return listed


@contextmanager
def _stream(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[IO[bytes]]:
    stream = tar.extractfile(member)
    if stream is None:
        raise tarfile.ReadError("no file")
    with stream:
        yield stream


def _read_list(tar: tarfile.TarFile, first: tarfile.TarInfo | None, source: Path) -> _List:
    if first is None or first.name != LIST_NAME or not first.isreg() or first.size > _MOST_LIST:
        raise _damaged(source, "it is no backup of a node")
    with _stream(tar, first) as stream:
        text = stream.read()
    try:
        listed = _List.model_validate_json(text)
    except ValidationError:
        raise _damaged(source, "its list cannot be read") from None
    if listed.format != FORMAT:
        raise RestoreError(
            f"{source} was written in form {listed.format}, this program knows {FORMAT}",
            "Install the version of the program that wrote it, or a newer one",
        )
    if not all(_NAME.fullmatch(name) for name in listed.files):
        raise _damaged(source, "its list names what belongs in no node's folder")
    return listed


def _write(stream: IO[bytes], path: Path, wanted: _FileForm, source: Path) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        path.chmod(0o644 if path.suffix == ".crt" else 0o600)
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if size > wanted.bytes:
                break
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if (digest.hexdigest(), size) != (wanted.sha256, wanted.bytes):
        raise _damaged(source, f"{path.name} is not what was saved")


def _damaged(source: Path, why: str) -> RestoreError:
    return RestoreError(f"{source} cannot be used: {why}", _DAMAGED)


def _settle(config: NodeConfig, listed: _List, now: int, person: str) -> tuple[int, int]:
    """See to it in the database that nothing happens twice; return columns and days."""
    file = sqlite_file(config)
    if file is not None and DATABASE_NAME not in listed.files:
        return 0, 0
    database = Database.open(_place(config, file))
    try:
        with database.begin() as session:
            if file is None and not session.scalar(select(func.count()).select_from(AuditRow)):
                raise RestoreError(
                    "The database on the server is empty",
                    "Restore its dump with pg_restore first, then run this again",
                )
            return _settle_rows(session, listed, now, person)
    finally:
        database.close()


def _place(config: NodeConfig, file: Path | None) -> str:
    """Return the URL of the restored database, put where the settings look for it if inside."""
    if file is None:
        return config.store_url
    restored = config.folder / DATABASE_NAME
    if file.is_relative_to(config.folder):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        restored = restored.rename(file)
    return f"sqlite:///{restored}"


def _settle_rows(session: Session, listed: _List, now: int, person: str) -> tuple[int, int]:
    unused = ColumnSetRow.discarded.is_(None)
    columns = _count(session, ColumnSetRow, unused)
    session.execute(update(ColumnSetRow).where(unused).values(discarded=now))
    numbers = CounterRow.name == "messages"
    session.execute(update(CounterRow).where(numbers).values(value=CounterRow.value + SAFE_JUMP))
    session.execute(delete(CounterRow).where(CounterRow.name == "accounts"))
    days = session.scalar(select(func.count(DayRow.day.distinct()))) or 0
    session.execute(delete(DayRow))
    session.execute(delete(SourceRow))
    session.execute(delete(SessionRow))  # some may have been ended after the backup was made
    details = {"backup": listed.created, "columns_discarded": columns, "days_forgotten": days}
    append(session, at=now, actor=person, action="node.restored", details=details)
    return columns, days


def _count(session: Session, table: Any, condition: Any) -> int:
    return int(session.scalar(select(func.count()).select_from(table).where(condition)) or 0)


def _notes(config: NodeConfig, listed: _List) -> tuple[str, ...]:
    notes = []
    if not listed.keys:
        notes.append("put the private keys back into keys/ (mode 0600), or rotate them")
    file = sqlite_file(config)
    is_outside = file is not None and not file.is_relative_to(config.folder)
    if is_outside and DATABASE_NAME in listed.files:
        notes.append(f"[store] names {file}, the database is now {DATABASE_NAME} in the folder")
    if config.node.role == "bank":
        notes.append("the payments are taken in anew: undercurrent node ingest")
    notes.append(
        f"what was charged to the budget after {listed.created} is not known here:"
        " compare with the other members before the first run"
    )
    return tuple(notes)
