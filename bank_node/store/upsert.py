"""Inserting a row unless it is there, in the words that both databases know."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bank_node.store.tables import Base

__all__ = ["insert_once", "insert_or_update"]

_Insert = postgresql.Insert | sqlite.Insert


def insert_once(session: Session, row: type[Base], values: Mapping[str, Any]) -> bool:
    """Insert a row; false if one with its key is there, which then stays as it is."""
    table = _table(row)
    statement = _insert(session, table).values(dict(values)).on_conflict_do_nothing()
    first = next(iter(table.primary_key))
    return session.execute(statement.returning(first)).one_or_none() is not None


def insert_or_update(
    session: Session,
    row: type[Base],
    values: Mapping[str, Any],
    update: Collection[str],
    where: ColumnElement[bool] | None = None,
) -> bool:
    """Insert a row, or set some columns of the one with its key; false if ``where`` forbade it."""
    table = _table(row)
    statement = _insert(session, table).values(dict(values))
    keys = list(table.primary_key)
    upsert = statement.on_conflict_do_update(
        index_elements=keys,
        set_={name: statement.excluded[name] for name in update},
        where=where,
    )
    return session.execute(upsert.returning(keys[0])).one_or_none() is not None


def _table(row: type[Base]) -> Table:
    return Base.metadata.tables[row.__tablename__]


def _insert(session: Session, table: Table) -> _Insert:
    session.flush()
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
