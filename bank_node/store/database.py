"""Opening a node's database, and transactions on it.

One transaction writes at a time, on both databases: SQLite by ``BEGIN IMMEDIATE``, PostgreSQL by an
advisory lock that every writing transaction takes first.  So whatever a transaction reads is still
so when it writes (the head of the audit log, what is left of a budget), there is no order of locks
to keep to, and what is tested on one holds on the other.  Readers never wait: they see the state
of one moment.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from bank_node.store.errors import StoreError, StoreUrlError, UnavailableError
from bank_node.store.faults import translated
from bank_node.store.schema import upgrade

__all__ = ["Database", "one_writer"]

_WAIT_SECONDS = 30
_WRITER_LOCK = 0x756E_6465_7263_7572  # "undercur": all of a node's programs take the same lock
_READING = "undercurrent_reading"
_LOCKED = "undercurrent_locked"


class Database:
    """A node's database; made by ``open``.

    Attributes:
        url: where it is, without a password.
        kind: ``sqlite`` or ``postgresql``.
    """

    def __init__(self, engine: Engine) -> None:
        self._writer = engine
        self._reader = _reading(engine)
        self.url: str = engine.url.render_as_string(hide_password=True)
        self.kind: str = engine.dialect.name

    @classmethod
    def open(cls, url: str) -> "Database":
        """Open a database, make it if it is not there, and bring its tables up to date.

        Args:
            url: ``sqlite:///node.db`` or ``postgresql+psycopg://user@host/name``.

        Raises:
            StoreUrlError: the URL names no file or server.
            UnavailableError: the file or server cannot be used.
            NewerSchemaError: a newer program has written it.
        """
        engine = _engine(_parsed(url))
        try:
            with _faults(engine), engine.begin() as connection:
                upgrade(connection)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Give a session of one writing transaction: committed at the end, or nothing of it."""
        make = Session(self._writer, expire_on_commit=False)
        with _faults(self._writer), make as session, session.begin():
            session.connection()  # takes the lock now, before anything is read
            session.info[_LOCKED] = True
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session that sees the state of one moment, waits for nobody, and cannot write."""
        with _faults(self._reader), Session(self._reader) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._writer.dispose()


def one_writer(session: Session) -> None:
    """Wait until no other transaction writes; for sessions that ``Database.begin`` did not make.

    SQLite gives nobody else a chance from the first write to the end of a transaction; a
    transaction that has read before it writes is refused there if another one was faster.
    """
    if not session.info.get(_LOCKED) and session.get_bind().dialect.name == "postgresql":
        _take_lock(session.connection())


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise _wrong_url("it is not a URL") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise _wrong_url("it names no file")
        return parsed.set(drivername="sqlite+pysqlite")
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise _wrong_url(f"{backend} is not supported")


def _wrong_url(why: str) -> StoreUrlError:
    # The URL itself may hold a password.
    return StoreUrlError(
        f"The database's URL cannot be used: {why}",
        "Write sqlite:///node.db or postgresql+psycopg://user@host/name under [store]",
    )


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        _make_private(Path(str(url.database)))
        options: dict[str, Any] = {"connect_args": {"timeout": _WAIT_SECONDS}}
    else:
        limits = f"-c lock_timeout={_WAIT_SECONDS * 1000} -c client_encoding=UTF8"
        options = {
            "connect_args": {"connect_timeout": 10, "options": limits},
            "pool_pre_ping": True,
        }
    try:
        # Parameters are hidden: an exception must not show account ids.
        engine = create_engine(url, hide_parameters=True, **options)
    except (ArgumentError, NoSuchModuleError, ImportError):
        raise _wrong_url("its driver or options are unknown") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_of(engine.dialect.name))
    return engine


def _make_private(path: Path) -> None:
    """Make the file with mode 0600 before SQLite does; its log files take the same mode."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except OSError as error:
        raise UnavailableError(
            f"{path}: {error.strerror}", "Name a folder that exists and that the node may write"
        ) from None


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    for setting in (
        f"busy_timeout = {_WAIT_SECONDS * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",  # what retention removes is overwritten
    ):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_of(dialect: str) -> Callable[[Connection], None]:
    def sqlite(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql(f"PRAGMA query_only = {int(reading)}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    def postgresql(connection: Connection) -> None:
        if not connection.get_execution_options().get(_READING, False):
            _take_lock(connection)

    return sqlite if dialect == "sqlite" else postgresql


def _take_lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")


def _reading(engine: Engine) -> Engine:
    options: dict[str, Any] = {_READING: True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return engine.execution_options(**options)


@contextmanager
def _faults(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into the store's, without the rows that they quote."""
    try:
        yield
    except DBAPIError as error:
        fault: StoreError = translated(error, engine.url.render_as_string(hide_password=True))
        raise fault from None
