"""Payments come from PostgreSQL, from the watermark on, with the same answers as from files."""

import datetime as dt
from pathlib import Path

import psycopg
import pytest

from bank_node.errors import EncodingError, MissingColumnError
from bank_node.intake import IntakeReport
from bank_node.intake.errors import DatabaseSourceError, MissingSourceError, ReadableSecretError
from tests.bank_node.intake.bank import Bank, payment

TABLES = """
CREATE TABLE accounts (account text, kind text, risk_score double precision, balance numeric,
    in_scope boolean);
CREATE TABLE transactions (tx_id bigint, timestamp timestamptz, from_bank text, from_account text,
    to_bank text, to_account text, amount numeric(18, 4), currency text, channel text,
    created timestamptz);
INSERT INTO accounts VALUES ('A1', 'current', 0.5, 100.00, true), ('A2', NULL, NULL, NULL, false);
"""


@pytest.fixture
def source(bank: Bank, dsn: str, database: psycopg.Connection, tmp_path: Path) -> Bank:
    """Bank a with a database that has its accounts, and no payments."""
    database.execute(TABLES)
    secret = tmp_path / "dsn"
    secret.touch(0o600)
    secret.write_text(dsn + "\n")
    return bank


def take(source: Bank, **settings: object) -> IntakeReport:
    """Take in from the database."""
    plain = {"source": "postgresql", "folder": None, "dsn_file": source.list.parent / "dsn"}
    return source.take(**(plain | {"watermark": "created"} | settings))


def insert(
    database: psycopg.Connection, number: int, created: str | None, **fields: object
) -> None:
    """A payment of ten euros at noon of 2 May, unless told."""
    values = {
        "tx_id": number,
        "timestamp": dt.datetime(2026, 5, 2, 12, tzinfo=dt.UTC),
        "from_bank": "a",
        "from_account": "A1",
        "to_bank": "b",
        "to_account": "B1",
        "amount": 10,
        "currency": "EUR",
        "channel": "wire",
        "created": created,
    } | fields
    marks = ", ".join(["%s"] * len(values))
    database.execute(f"INSERT INTO transactions VALUES ({marks})".encode(), tuple(values.values()))


def test_a_database_reads_like_files(source: Bank, database: psycopg.Connection) -> None:
    """Odd texts, empty fields, other zones and bad rows give the same as their CSV."""
    texts = ['A "1"', "A,1", "A\n1", " é ", "nl91 abna 0417 1643 00", "-"]
    for number, text in enumerate(texts):
        insert(database, number, "2026-05-02", from_account=text, channel=None)
    insert(database, 90, "2026-05-02", amount=None)
    insert(database, 91, "2026-05-02", timestamp="infinity")
    insert(database, 92, "2026-05-02", from_bank="c")
    report = take(source)
    assert report.rejected == {
        "missing amount": 1,
        "neither side at this bank": 1,
        "unparsable time": 1,
    }
    rows = source.rows(report.rejected_file)
    assert [row["tx_id"] for row in rows] == ["90", "91", "92"]
    assert rows[0]["source"] == "PostgreSQL, transactions"
    found = source.state()
    (source.list.parent / "other").mkdir()
    other = Bank(source.list.parent / "other")
    other.accounts("account,kind,risk_score,balance,in_scope\nA1,current,0.5,100,t\nA2,,,,f\n")
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    other.payments(
        *(
            payment(n, "2026-05-02T12:00:00Z", from_account=text, channel="")
            for n, text in enumerate(quoted)
        )
    )
    other.take()
    assert other.state() == found
    assert len(found["transactions"]["tx_id"]) == len(texts)


def test_only_rows_from_the_watermark_on_are_read(
    source: Bank, database: psycopg.Connection
) -> None:
    """Later rows are read, late ones within the overlap too, and old ones not again."""
    insert(database, 1, "2026-05-02 10:00Z")
    insert(database, 2, "2026-05-03 10:00Z")
    first = take(source)
    assert (first.rows, first.watermark) == (2, "2026-05-03 10:00:00+00")
    insert(database, 3, "2026-05-04 10:00Z")
    insert(database, 4, "2026-05-03 09:30Z")
    second = take(source)
    assert (second.rows, second.accepted, second.repeated) == (3, 2, 1)
    assert take(source).rows == 1
    insert(database, 5, "2026-05-01")
    insert(database, 6, None)
    assert take(source).accepted == 1
    assert take(source, overlap="30d").accepted == 1
    assert sorted(map(int, source.ids())) == [1, 2, 3, 4, 5, 6]


def test_a_number_may_be_the_watermark(source: Bank, database: psycopg.Connection) -> None:
    """A running number serves as well, with an overlap of its own."""
    settings = {"watermark": "tx_id", "overlap_number": 2}
    for number in range(10):
        insert(database, number, None)
    assert take(source, **settings).rows == 10
    insert(database, 10, None)
    report = take(source, **settings)
    assert (report.rows, report.accepted) == (4, 1)


def test_without_a_watermark_all_is_read(source: Bank, database: psycopg.Connection) -> None:
    """Every row is read each time, and taken in once."""
    insert(database, 1, None)
    assert take(source, watermark="").accepted == 1
    report = take(source, watermark="")
    assert (report.rows, report.repeated, report.accounts_changed) == (1, 1, False)


def test_queries_and_names_are_mapped(source: Bank, database: psycopg.Connection) -> None:
    """A query may stand for a table, and columns may have other names, in capitals too."""
    database.execute('ALTER TABLE transactions RENAME COLUMN tx_id TO "Ref No"')
    database.execute("CREATE SCHEMA bank; ALTER TABLE accounts SET SCHEMA bank")
    insert(database, 1, "2026-05-02")
    insert(database, 2, "2026-05-02", channel="test")
    report = take(
        source,
        columns={"tx_id": "Ref No"},
        accounts="bank.accounts",
        transactions="SELECT * FROM transactions WHERE channel <> 'test';",
    )
    assert (report.accepted, report.accounts) == (1, 2)


def test_changed_accounts_are_a_new_snapshot(source: Bank, database: psycopg.Connection) -> None:
    """The accounts are stored anew only if a row changed, whatever the order of the rows."""
    assert take(source).accounts_changed
    database.execute("UPDATE accounts SET kind = kind")
    assert not take(source).accounts_changed
    database.execute("UPDATE accounts SET risk_score = 0.75 WHERE account = 'A2'")
    assert take(source).accounts_changed
    assert source.read().accounts["risk_score"].to_pylist() == [0.5, 0.75]


def test_errors_name_the_cause_and_no_value(
    source: Bank, database: psycopg.Connection, dsn: str
) -> None:
    """Unreachable, refused, missing: each is one clear error without a value of a row."""
    insert(database, 1, "2026-05-02", from_account="SECRET")
    with pytest.raises(DatabaseSourceError, match='"nothing" does not exist'):
        take(source, transactions="nothing")
    with pytest.raises(MissingColumnError, match="amount missing"):
        take(
            source,
            transactions="SELECT tx_id, timestamp, currency, from_bank, from_account, "
            "to_bank, to_account, created FROM transactions",
        )
    with pytest.raises(DatabaseSourceError) as caught:
        take(source, transactions="SELECT * FROM transactions WHERE from_account::int > 0")
    assert "22P02" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    secret = source.list.parent / "dsn"
    secret.write_text(f"{dsn} port=1")
    with pytest.raises(DatabaseSourceError, match="cannot be reached"):
        take(source)
    secret.write_text("password=hunter2 nonsense")
    with pytest.raises(DatabaseSourceError, match="malformed") as caught:
        take(source)
    assert "hunter2" not in str(caught.value)
    assert source.days.listed() == []


def test_the_way_in_is_kept_private(
    source: Bank, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection string that others can read is refused; it may come from the environment."""
    secret = source.list.parent / "dsn"
    secret.chmod(0o640)
    with pytest.raises(ReadableSecretError, match="chmod 600"):
        take(source)
    settings = {"dsn_file": None, "dsn_env": "BANK_DSN"}
    with pytest.raises(MissingSourceError, match="BANK_DSN"):
        take(source, **settings)
    monkeypatch.setenv("BANK_DSN", dsn)
    assert take(source, **settings).accounts == 2


def test_text_that_is_not_utf8_is_refused(source: Bank, database: psycopg.Connection) -> None:
    """Bytes of a database without an encoding are refused with a remedy."""
    name = database.info.dbname + "_ascii"
    database.execute(
        f"CREATE DATABASE {name} ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0".encode()
    )
    dsn = (source.list.parent / "dsn").read_text().replace(database.info.dbname, name)
    try:
        with psycopg.connect(dsn, autocommit=True) as other:
            other.execute(TABLES)
            other.execute("UPDATE accounts SET account = E'A\\xE4' WHERE account = 'A1'")
        (source.list.parent / "dsn").write_text(dsn)
        with pytest.raises(EncodingError, match="convert_from"):
            take(source)
    finally:
        database.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
