"""Reading from PostgreSQL: COPY to a CSV file in the folder for work, as the server sends it.

All is read in one read-only transaction at REPEATABLE READ, so accounts, payments and watermark
belong together.  Of the payments only those from the watermark on, less an overlap, are asked for:
a row may be committed after one with a higher value.  Rows without a value are always asked for.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bank_node.errors import EncodingError
from bank_node.intake.config import DataConfig
from bank_node.intake.errors import DatabaseSourceError
from bank_node.raw_tables import TableSpec, column_positions

__all__ = ["Reader", "open_reader"]

_TIMES = frozenset(("timestamp", "timestamptz", "date"))
_NUMBERS = frozenset(("int2", "int4", "int8", "numeric"))
_NOT_UTF8 = "22021"
_NAMES_ONLY = frozenset(("42P01", "42703", "42501", "42601", "3F000", "22007"))
"""States whose message names tables, columns or syntax, never values of rows; the others are told
by their number alone."""


@dataclass(frozen=True)
class Reader:
    """A connection with one snapshot of the database.

    Attributes:
        con: the connection.
        config: the data source.
    """

    con: psycopg.Connection[Any]
    config: DataConfig

    def copy(self, spec: TableSpec, target: Path, where: sql.Composable) -> None:
        """Copy the columns of ``spec`` to a CSV file.

        Raises:
            MissingColumnError: a column that must be there is not.
            DatabaseSourceError: the database refuses.
        """
        relation = self._relation(spec.name)
        with _told(), self.con.cursor() as cursor:
            cursor.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(relation))
            names = [column.name for column in cursor.description or ()]
            places = column_positions(f"PostgreSQL, {spec.name}", names, spec)
            columns = sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(sql.Identifier(names[i]), sql.Identifier(ours))
                for ours, i in places.items()
            )
            query = sql.SQL("COPY (SELECT {} FROM {}{}) TO STDOUT (FORMAT csv, HEADER true)")
            target.touch(0o600)
            with (
                target.open("wb") as file,
                cursor.copy(query.format(columns, relation, where)) as copy,
            ):
                for block in copy:
                    file.write(block)

    def since(self, last: str) -> sql.Composable:
        """The condition for payments from the last watermark on, less the overlap."""
        if not self.config.watermark or not last:
            return sql.SQL("")
        column = sql.Identifier(self.config.watermark)
        kind = self._kind(column)
        start: sql.Composable = sql.SQL("{}::{}").format(sql.Literal(last), sql.SQL(kind))
        if kind in _TIMES:
            back = sql.Literal(f"{self.config.overlap_seconds} seconds")
            start = sql.SQL("{} - {}::interval").format(start, back)
        elif kind in _NUMBERS:
            back = sql.Literal(self.config.overlap_number)
            start = sql.SQL("{}::numeric - {}").format(sql.Literal(last), back)
        return sql.SQL(" WHERE {} >= {} OR {} IS NULL").format(column, start, column)

    def highest(self, last: str) -> str:
        """The highest watermark there is, as text; the last one if there is none."""
        if not self.config.watermark:
            return ""
        with _told(), self.con.cursor() as cursor:
            query = sql.SQL("SELECT CAST(max({}) AS text) FROM {}").format(
                sql.Identifier(self.config.watermark), self._relation("transactions")
            )
            row = cursor.execute(query).fetchone()
        return str(row[0]) if row and row[0] is not None else last

    def _kind(self, column: sql.Identifier) -> str:
        with _told(), self.con.cursor() as cursor:
            cursor.execute(
                sql.SQL("SELECT {} FROM {} LIMIT 0").format(column, self._relation("transactions"))
            )
            code = cursor.description[0].type_code if cursor.description else 25
        found = self.con.adapters.types.get(code)
        return found.name if found is not None else "text"

    def _relation(self, table: str) -> sql.Composable:
        given = self.config.pattern("accounts" if table == "accounts" else "transactions")
        if re.match(r"\s*(select|with)\b", given, re.IGNORECASE):
            text = given.strip().rstrip(";")
            return sql.SQL("({}) AS source").format(sql.SQL(text))
        return sql.Identifier(*given.strip().split("."))


@contextmanager
def open_reader(config: DataConfig) -> Iterator[Reader]:
    """Connect, and take the snapshot.

    Raises:
        DatabaseSourceError: the database cannot be reached.
    """
    dsn = config.dsn()
    try:
        con = psycopg.connect(dsn, connect_timeout=10, client_encoding="UTF8")
    except psycopg.Error as error:
        raise DatabaseSourceError(
            f"PostgreSQL cannot be reached ({_first_line(error)})",
            "Check the connection string, and that the server runs and lets this node in",
        ) from None
    with con:
        con.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        con.read_only = True
        with _told():
            con.execute("SET TIME ZONE 'UTC'; SET DateStyle TO 'ISO'; SET statement_timeout TO 0")
        yield Reader(con, config)
        con.rollback()


@contextmanager
def _told() -> Iterator[None]:
    """Tell an error of the database without the values that its message may hold."""
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state == _NOT_UTF8:
            raise EncodingError(
                "PostgreSQL: the database holds text that is not UTF-8",
                "Give a query in [data] that converts it, with convert_from",
            ) from None
        words = error.diag.message_primary if state in _NAMES_ONLY else None
        raise DatabaseSourceError(
            f"PostgreSQL refuses ({words or state or type(error).__name__})",
            "Check the tables, columns and rights of [data]",
        ) from None


def _first_line(error: psycopg.Error) -> str:
    if not isinstance(error, psycopg.OperationalError):  # it may quote the connection string
        return "the connection string is malformed"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
