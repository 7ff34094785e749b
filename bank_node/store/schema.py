"""Bringing a database's tables up to date, by Alembic's migrations in this package.

A database is stamped with the revision of its tables in ``undercurrent_schema`` (a name of its own,
since a PostgreSQL database may hold other programs' tables).  All steps to the newest revision are
one transaction: after a fault the database is what it was.
"""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from bank_node.store.errors import NewerSchemaError

__all__ = ["VERSION_TABLE", "newest_revision", "revision_of", "upgrade"]

VERSION_TABLE = "undercurrent_schema"


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest revision, within the connection's transaction.

    Raises:
        NewerSchemaError: the database's revision is none that this program knows.
    """
    config = _config()
    found = revision_of(connection)
    scripts = ScriptDirectory.from_config(config)
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise NewerSchemaError(
            f"The database has tables of revision {found}, which is newer than this program's "
            f"{scripts.get_current_head()}",
            "Install the newer version of the program again, or restore a backup made before it",
        )
    if found != scripts.get_current_head():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def revision_of(connection: Connection) -> str | None:
    """Return the revision that a database is stamped with; None: it is empty."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def newest_revision() -> str:
    """Return the revision of this program's tables."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "bank_node.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
