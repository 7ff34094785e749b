"""Opening a database, its migrations, and its transactions."""

import os
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table, create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError

import bank_node.desk.tables
import bank_node.people.tables  # noqa: F401 - its tables stand on the store's base, as the desk's
from alerts.tables import Base as AlertsBase
from bank_node.store import retention, runs, schema
from bank_node.store.database import Database
from bank_node.store.errors import (
    ConflictError,
    DiskFullError,
    NewerSchemaError,
    StoreError,
    StoreUrlError,
    UnavailableError,
)
from bank_node.store.schema import VERSION_TABLE, newest_revision, revision_of
from bank_node.store.tables import Base, CounterRow, ResultRow
from tests.bank_node.store.made import made_run


def test_an_empty_database_gets_every_table(database):
    """After opening, all tables are there and the database is stamped with the newest revision."""
    with database.read() as session:
        names = set(inspect(session.connection()).get_table_names())
        declared = set(Base.metadata.tables) | set(AlertsBase.metadata.tables)
        assert names == declared | {VERSION_TABLE}
        assert {"results", "alerts", "cases", "people", "sessions", "questions"} < names
        assert revision_of(session.connection()) == newest_revision()


def test_the_migrations_make_what_the_program_expects(database):
    """Between the tables that the migrations make and the declared ones is no difference."""
    with database.read() as session:
        options = {
            "version_table": VERSION_TABLE,
            "compare_server_default": True,
            # Alembic only guesses at indexes on expressions; the next test compares all indexes.
            "include_object": lambda _object, _name, kind, *_rest: kind != "index",
        }
        context = MigrationContext.configure(session.connection(), opts=options)
        assert compare_metadata(context, [Base.metadata, AlertsBase.metadata]) == []


def test_the_indexes_are_those_declared(database, tmp_path):
    """Columns, order, condition and uniqueness of every index are the declared ones."""
    with database.begin() as session:
        connection = session.connection()
        made = _indexes(connection)
        if database.kind == "postgresql":
            session.execute(text("CREATE SCHEMA declared"))
            session.execute(text("SET LOCAL search_path = declared"))
            declared = _declared_indexes(connection)
    if database.kind == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
        with engine.begin() as connection:
            declared = _declared_indexes(connection)
        engine.dispose()
    assert made == declared
    assert any("DESC" in told for told in made.values())


def _declared_indexes(connection: Connection) -> dict[str, str]:
    for base in (AlertsBase, Base):
        base.metadata.create_all(connection)
    return _indexes(connection)


def _indexes(connection: Connection) -> dict[str, str]:
    """Return the definition of each index, as the database itself tells it."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        query = (
            "SELECT indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes"
            f" WHERE schemaname = current_schema() AND tablename <> '{VERSION_TABLE}'"
        )
    return {
        name: " ".join(told.replace('"', "").split())
        for name, told in connection.execute(text(query))
    }


def test_a_database_of_the_first_revision_keeps_its_rows(url):
    """Opening a database of revision 0001 adds tables, and every row is what it was."""
    engine = create_engine(url)
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        tables = MetaData()
        tables.reflect(connection, only=lambda name, _meta: name != VERSION_TABLE)
        assert "people" not in tables.tables
        for table in tables.sorted_tables:
            connection.execute(table.insert(), _made_row(table))
        before = {t.name: connection.execute(t.select()).all() for t in tables.sorted_tables}
    Database.open(url).close()
    with engine.begin() as connection:
        after = {t.name: connection.execute(t.select()).all() for t in tables.sorted_tables}
        names = set(inspect(connection).get_table_names())
        assert revision_of(connection) == newest_revision()
    engine.dispose()
    assert after == before
    assert all(len(rows) == 1 for rows in before.values())
    assert set(AlertsBase.metadata.tables) < names


def test_an_alert_outlives_the_run_that_it_came_from(database):
    """Retention removes a run with its results; alert, sighting and question about it stay."""
    with database.begin() as session:
        runs.add(session, made_run("run-1", phase="done", closed=2000))
        session.add(ResultRow(run_id="run-1", account="a", value=1.0))
        for table in (AlertsBase.metadata.tables[name] for name in ("alerts", "alert_sightings")):
            row = {
                c.name: _VALUES[c.type.python_type] for c in table.columns if c.name != "case_id"
            }
            session.execute(table.insert(), row | {c: "run-1" for c in row if c.endswith("run")})
        about = {"run_id": "run-1", "person": "ann", "accounts": ["a"], "at": 1}
        session.execute(Base.metadata.tables["questions"].insert(), about)
    with database.begin() as session:
        assert retention.forget(session, 10_000).runs == 1
    with database.read() as session:
        for name in ("alerts", "alert_sightings", "questions"):
            tables = AlertsBase.metadata.tables | Base.metadata.tables
            assert len(session.execute(tables[name].select()).all()) == 1, name


_VALUES: dict[type, object] = {str: "one", int: 1, float: 0.5, bool: True, object: {}}


def _made_row(table: Table) -> dict[str, object]:
    row = {c.name: _VALUES[c.type.python_type] for c in table.columns}
    return row | ({"band": None} if table.name == "traces" else {})


def test_accounts_are_ordered_by_bytes_on_both(database):
    """The order of account ids does not depend on the database or its language."""
    accounts = ["a", "B", "_", "é", "Z1", "Z 1"]
    with database.begin() as session:
        session.add_all(ResultRow(run_id="r", account=a, value=0.0) for a in accounts)
    with database.read() as session:
        found = list(session.scalars(select(ResultRow.account).order_by(ResultRow.account)))
    assert found == sorted(accounts)


def test_opening_again_changes_nothing(url):
    """A database that is up to date is left as it is, with its rows."""
    first = Database.open(url)
    with first.begin() as session:
        session.add(CounterRow(name="messages", value=7))
    first.close()
    second = Database.open(url)
    with second.read() as session:
        assert session.get_one(CounterRow, "messages").value == 7
    second.close()


def test_many_may_open_an_empty_database_at_once(url):
    """Programs that start together make the tables once and all of them can go on."""
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(Database.open, [url] * 4))
    for number, database in enumerate(opened):
        with database.begin() as session:
            session.add(CounterRow(name=str(number), value=number))
        database.close()


def test_a_newer_schema_is_refused(url):
    """A database that a newer program has written is not touched, and the error says so."""
    database = Database.open(url)
    with database.begin() as session:
        session.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    database.close()
    with pytest.raises(NewerSchemaError, match="9999"):
        Database.open(url)


def test_a_step_that_fails_leaves_no_table_behind(url):
    """The migration is one transaction: with a foreign table in its way nothing is made."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE traces (theirs INTEGER)"))
    with pytest.raises(StoreError):
        Database.open(url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == ["traces"]
    engine.dispose()


def test_a_transaction_is_all_or_nothing(database):
    """What was written before an exception is not there after it."""

    def fail():
        with database.begin() as session:
            session.add(CounterRow(name="messages", value=1))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.read() as session:
        assert session.get(CounterRow, "messages") is None


def test_a_reader_cannot_write(database):
    """A session for reading refuses to write."""

    def write():
        with database.read() as session:
            session.add(CounterRow(name="messages", value=1))
            session.flush()

    with pytest.raises(StoreError):
        write()
    with database.begin() as session:  # and the connection can write again afterwards
        session.add(CounterRow(name="messages", value=1))


def test_a_reader_waits_for_nobody_and_sees_one_moment(database):
    """A writer in the middle of its work neither stops a reader nor shows through."""
    with database.begin() as writing:
        writing.add(CounterRow(name="messages", value=1))
        writing.flush()
        with database.read() as session:
            assert session.get(CounterRow, "messages") is None


def test_one_transaction_writes_at_a_time(database):
    """Reading a value and writing it raised by one loses nothing among threads."""
    with database.begin() as session:
        session.add(CounterRow(name="messages", value=0))
    barrier = threading.Barrier(4)

    def raise_it(_: int) -> None:
        barrier.wait()
        for _ in range(10):
            with database.begin() as session:
                row = session.get_one(CounterRow, "messages")
                row.value = row.value + 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(raise_it, range(4)))
    with database.read() as session:
        assert session.get_one(CounterRow, "messages").value == 40


def test_an_error_quotes_no_row(database):
    """A refused row is told without its values, since they may be account ids."""

    def twice():
        with database.begin() as session:
            rows = [{"run_id": "r", "account": "NL91ABNA0417164300", "value": 1.0}] * 2
            session.execute(ResultRow.__table__.insert(), rows)

    with pytest.raises(ConflictError) as caught:
        twice()
    assert "NL91" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_parameters_are_hidden_from_whoever_catches_an_error_inside(database):
    """Within a transaction, too, the text of an error holds no parameters of its statement."""
    seen = []

    def insert():
        row = {"run_id": "r", "account": "NL91ABNA0417164300", "value": None}
        with database.begin() as session:
            try:
                session.execute(ResultRow.__table__.insert(), row)
            except DBAPIError as error:
                seen.append(str(error))
                raise

    with pytest.raises(ConflictError):
        insert()
    assert "[SQL parameters hidden" in seen[0]


@pytest.mark.parametrize(
    "url",
    ["", "node.db", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/n", "oracle:secret"],
)
def test_a_url_of_no_use_is_refused(url):
    """Only a file of SQLite or a PostgreSQL will do; the error never repeats the URL."""
    with pytest.raises(StoreUrlError) as caught:
        Database.open(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_is_named_without_the_password(tmp_path):
    """The error of a server that does not answer names it, and no password."""
    with pytest.raises(UnavailableError) as caught:
        Database.open(f"postgresql://bank:secret@/node?host={tmp_path}")
    assert str(tmp_path.name) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """SQLite's file cannot be made in a folder that does not exist."""
    with pytest.raises(UnavailableError, match="missing"):
        Database.open(f"sqlite:///{tmp_path / 'missing' / 'node.db'}")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """A file with other contents is refused and left alone."""
    path = tmp_path / "node.db"
    path.write_bytes(b"no database, but long enough to be looked at" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError):
        Database.open(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("there", [False, True])
def test_only_the_owner_can_read_the_files_of_sqlite(tmp_path: Path, there):
    """Database, log and index of SQLite have mode 0600, whatever the mask or the file had."""
    path = tmp_path / "node.db"
    mask = os.umask(0)
    try:
        if there:
            path.touch(0o644)
        database = Database.open(f"sqlite:///{path}")
        with database.begin() as session:
            session.add(CounterRow(name="messages", value=1))
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    finally:
        os.umask(mask)
    assert modes == {"node.db": 0o600, "node.db-wal": 0o600, "node.db-shm": 0o600}
    database.close()


def test_sqlite_is_set_up_to_lose_nothing(tmp_path: Path):
    """Write-ahead log, every commit on disk, references kept to, waiting for the lock."""
    database = Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30000,
        "secure_delete": 1,
    }
    with database.begin() as session:
        found = {n: session.scalar(text(f"PRAGMA {n}")) for n in wanted}
    assert found == wanted
    database.close()


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path: Path):
    """A write for which there is no room fails as such; what was there before stays."""
    path = tmp_path / "node.db"
    database = Database.open(f"sqlite:///{path}")
    with database.begin() as session:
        session.add(CounterRow(name="messages", value=1))

    def fill():
        with database.begin() as session:
            pages = session.scalar(text("PRAGMA page_count"))
            session.execute(text(f"PRAGMA max_page_count = {pages + 5}"))
            row = {"run_id": "r", "value": 0.0}
            rows = [row | {"account": f"{n:05}" * 20} for n in range(5000)]
            session.execute(ResultRow.__table__.insert(), rows)

    with pytest.raises(DiskFullError):
        fill()
    database.close()
    with sqlite3.connect(path) as plain:
        assert plain.execute("SELECT count(*) FROM results").fetchone() == (0,)
        assert plain.execute("SELECT value FROM counters").fetchone() == (1,)
