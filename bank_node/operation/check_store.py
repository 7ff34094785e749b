"""The doctor on the database: can it be used, is it of this version, is its audit log whole."""

import sqlite3
from collections.abc import Iterator

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError

from bank_node.identity import SigningKey
from bank_node.identity.keys import numbered
from bank_node.node.config import NodeConfig
from bank_node.operation.backup import sqlite_file
from bank_node.operation.findings import Finding, fault, good, warning
from bank_node.store import audit
from bank_node.store.database import Database
from bank_node.store.faults import translated
from bank_node.store.schema import newest_revision, revision_of

__all__ = ["check_store"]


def check_store(config: NodeConfig) -> Iterator[Finding]:
    """Look at the version of its tables, then whether it can be written, then at the audit log."""
    file = sqlite_file(config)
    if file is not None and not file.exists():
        yield warning(
            "database", f"{file} is not there yet", "The node makes it when it first starts"
        )
        return
    if file is not None and file.stat().st_mode & 0o077:
        yield fault("database", f"others can read {file}", f"chmod 600 {file}")
    revision = _revision(config)
    if revision not in (None, newest_revision()):
        # Opening it here would change it under the node's feet.
        yield warning(
            "database",
            f"its tables are of revision {revision}, this program's of {newest_revision()}",
            "An older one is brought up to date when the node starts; for a newer one, install the"
            " newer program",
        )
        return
    database = Database.open(config.store_url)
    try:
        with database.begin() as session:
            session.connection().exec_driver_sql("SELECT 1")
            session.rollback()
        yield good("database", f"{database.url} is of this version and can be written")
        yield _audit(config, database)
    finally:
        database.close()


def _revision(config: NodeConfig) -> str | None:
    """Return the revision of the tables, read without changing anything; None: it is empty."""
    url = make_url(config.store_url)
    if url.get_backend_name() == "sqlite":
        location = f"file:{url.database}?mode=ro"
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(location, uri=True))
    else:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 5}
        )
    try:
        with engine.connect() as connection:
            return revision_of(connection)
    except DBAPIError as error:
        raise translated(error, url.render_as_string(hide_password=True)) from None
    finally:
        engine.dispose()


def _audit(config: NodeConfig, database: Database) -> Finding:
    # A key that others can read is a finding of its own; here only its public half is needed.
    public = {SigningKey.load(path).public for path in numbered(config.keys, "signing")}
    with database.read() as session:
        found = audit.verify(session, public)
    if found.ok:
        return good("audit log", found.reason)
    return fault(
        "audit log",
        f"it is not as it was written: {found.reason}",
        "Keep a copy of the database, find out who had access, and change nothing",
    )
