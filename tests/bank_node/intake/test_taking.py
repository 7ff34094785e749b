"""Transactions are taken in once, as files of one day each; what cannot be used is told."""

import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bank_node.intake
import bank_node.intake.errors
from bank_node.errors import UndercurrentError
from bank_node.intake import IntakeReport, sweep
from bank_node.intake.errors import (
    DamagedDataError,
    IntakeBusyError,
    MissingSourceError,
    OtherBankError,
)
from bank_node.intake.folders import exclusive
from tests.bank_node.intake.bank import DAY, HEADER, NOW, Bank, day, payment


def whole(report: IntakeReport) -> bool:
    """Whether every row read is accounted for."""
    told = report.accepted + report.repeated + report.expired + sum(report.rejected.values())
    return report.rows == told


def test_each_day_is_a_file_sorted_by_account(bank: Bank) -> None:
    """Payments lie by UTC day, sorted by payer, whatever order and offset they were written in."""
    bank.payments(
        payment(1, "2026-05-03T00:30:00+01:00", from_account="A2"),
        payment(2, "2026-05-02T10:00:00Z"),
        payment(3, "2026-05-03T00:00:00Z"),
    )
    report = bank.take()
    assert report.days == ("2026-05-02", "2026-05-03")
    assert (report.rows, report.accepted, report.accounts) == (3, 3, 2)
    listed = {entry.day: entry for entry in bank.days.listed()}
    first = pq.read_table(bank.data / listed["2026-05-02"].file)
    assert first["from_account"].to_pylist() == ["A1", "A2"]
    assert first["tx_id"].to_pylist() == ["2", "1"]
    assert listed["2026-05-02"].rows == 2
    assert listed["2026-05-03"].rows == 1


def test_all_files_are_private(bank: Bank) -> None:
    """Files are 0600 and folders 0700, though the user's mask is open."""
    bank.payments(payment(1), payment(2, amount="x"), payment(3, to_account="NL91ABNA0417164301"))
    before = os.umask(0)
    try:
        bank.take()
    finally:
        os.umask(before)
    paths = list(bank.data.rglob("*"))
    assert {p.suffix for p in paths if p.is_file()} == {"", ".parquet", ".csv"}
    for path in paths:
        want = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == want, path
    assert not list(bank.data.glob("work-*"))


def test_the_same_rows_again_change_nothing(bank: Bank) -> None:
    """Rows that were taken in are counted as repeated, from the same file or from another."""
    bank.payments(payment(1), payment(2))
    bank.take()
    before, files = bank.state(), bank.files
    bank.payments(payment(2), payment(1), name="transactions-2.csv")
    report = bank.take()
    assert (report.rows, report.accepted, report.repeated) == (2, 0, 2)
    again = bank.take(again=True)
    assert (again.rows, again.accepted, again.repeated) == (4, 0, 4)
    assert (bank.state(), bank.files) == (before, files)
    assert whole(report)
    assert whole(again)


def test_another_payment_under_a_taken_id_is_rejected(bank: Bank) -> None:
    """An id that is held keeps its first payment; each other content is rejected with its row."""
    bank.payments(payment(1), payment(2))
    bank.take()
    before = bank.state()
    changes = [
        {"amount": "11"},
        {"time": "2026-05-04"},
        {"to_account": "B2"},
        {"channel": ""},
        {"currency": "USD"},
    ]
    bank.payments(
        *(payment(1, **change) for change in changes), payment(3), name="transactions-2.csv"
    )
    report = bank.take(rates={"USD": 1.0})
    assert (report.accepted, report.rejected) == (1, {"repeated tx_id": 5})
    rows = bank.rows(report.rejected_file)
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert {row["field"] for row in rows} == {"tx_id"}
    assert rows[0]["amount"] == "11"
    assert rows[0]["source"].endswith("transactions-2.csv")
    state = bank.state()
    assert state["transactions"]["tx_id"] == ["1", "2", "3"]
    assert state["accounts"] == before["accounts"]


def test_the_first_of_a_batch_is_kept(bank: Bank) -> None:
    """In one batch, across its files, the first row with an id counts; a bad row is no first."""
    bank.payments(payment(7, amount="x"), payment(7, amount="2"), payment(7, amount="3"))
    bank.payments(payment(7, amount="2"), payment(8), name="transactions-2.csv")
    report = bank.take()
    assert (report.accepted, report.repeated) == (2, 1)
    assert report.rejected == {"repeated tx_id": 1, "unparsable amount": 1}
    assert bank.read().transactions["amount"].to_pylist() == [200, 1000]


def test_another_rate_makes_no_other_payment(bank: Bank) -> None:
    """New rates let rejected rows in, and leave payments held as they were converted."""
    bank.payments(payment(1, currency="USD"), payment(2, currency="GBP"))
    assert bank.take(rates={"USD": 0.9}).rejected == {"unknown currency": 1}
    report = bank.take(rates={"USD": 0.5, "GBP": 1.2})
    assert (report.accepted, report.repeated, dict(report.rejected)) == (1, 1, {})
    assert bank.read().transactions["amount"].to_pylist() == [900, 1200]


def test_only_new_and_changed_files_are_read(bank: Bank) -> None:
    """A file that is known as it is is not read again; a new or changed one is."""
    bank.payments(payment(1), name="transactions-1.csv")
    assert bank.take().rows == 1
    assert bank.take().rows == 0
    bank.payments(payment(2), name="transactions-2.csv")
    assert bank.take().rows == 1
    bank.payments(payment(1), payment(3), name="transactions-1.csv")
    report = bank.take()
    assert (report.rows, report.accepted) == (2, 1)
    assert bank.ids() == ["1", "2", "3"]


def test_many_batches_of_a_day_are_merged(bank: Bank) -> None:
    """However often a node takes in, a day lies in a few files, and holds every payment."""
    for number in range(20):
        bank.payments(payment(number), name=f"transactions-{number:02}.csv")
        bank.take(NOW + number * 60_000_000)
    listed = [entry for entry in bank.days.listed() if entry.day == "2026-05-02"]
    assert len(listed) < 8
    assert sum(entry.rows for entry in listed) == 20
    assert sorted(map(int, bank.ids())) == list(range(20))


def test_the_latest_snapshot_of_accounts_wins(bank: Bank) -> None:
    """The last file by name replaces all accounts; an unchanged one is not read again."""
    bank.payments(payment(1))
    assert bank.take().accounts_changed
    assert not bank.take().accounts_changed
    bank.accounts("account,risk_score,in_scope\nA3,0.25,yes\n", "accounts-2.csv")
    report = bank.take()
    assert (report.accounts_changed, report.accounts) == (True, 1)
    data = bank.read()
    assert data.accounts["account"].to_pylist() == ["A3"]
    assert data.scope_declared
    assert data.counts.accounts_only_in_payments == 1
    assert sum(name.startswith("accounts/") for name in bank.files) == 1


def test_bad_accounts_are_told_by_row(bank: Bank) -> None:
    """Rows of the accounts that cannot be used are counted and written like payments."""
    bank.accounts(
        "account,kind,risk_score,balance,balance_at\nA1,x,2,,\nA2,y,,1,noon\nA3\nA4,,,,\n"
    )
    report = bank.take()
    assert report.accounts == 1
    assert report.rejected_accounts == {
        "risk score outside 0 to 1": 1,
        "unparsable time": 1,
        "wrong number of fields": 1,
    }
    rows = bank.rows(report.rejected_file)
    assert [(row["table"], row["row"], row["field"]) for row in rows] == [
        ("accounts", "1", "risk_score"),
        ("accounts", "2", "balance_at"),
        ("accounts", "3", ""),
    ]
    assert rows[0]["kind"] == "x"
    assert all(row["remedy"] for row in rows[:1])


def test_rows_keep_their_numbers_behind_misshapen_lines(bank: Bank) -> None:
    """The row number is the place in the file, misshapen lines included."""
    bad = payment(0, amount="x")
    bank.payments("1,2\n", bad, payment(1), "1,2,3\n", "1\n", bad, payment(2), bad, "1\n")
    report = bank.take()
    rows = bank.rows(report.rejected_file)
    found = [(int(row["row"]), row["reason"]) for row in rows]
    shape, amount = "wrong number of fields", "unparsable amount"
    assert found == [
        (1, shape),
        (2, amount),
        (4, shape),
        (5, shape),
        (6, amount),
        (8, amount),
        (9, shape),
    ]
    assert whole(report)


def test_a_useless_file_does_not_hold_up_the_others(bank: Bank) -> None:
    """A file in another encoding or without a column is named and tried again; the rest goes in."""
    bank.payments(payment(1), name="transactions-1.csv")
    wrong = bank.source / "transactions-2.csv"
    wrong.write_bytes((HEADER + payment(2, from_account="Ä")).encode("latin-1"))
    bank.payments(payment(3), name="transactions-3.csv", header="a,b\n")
    report = bank.take()
    assert report.accepted == 1
    assert [entry.code for entry in report.refused] == ["data.encoding", "data.missing-column"]
    assert str(wrong) in report.refused[0].message
    wrong.write_text(HEADER + payment(2, from_account="Ä"))
    again = bank.take()
    assert (again.accepted, len(again.refused)) == (1, 1)


def test_a_useless_snapshot_leaves_the_old_one(bank: Bank) -> None:
    """Accounts that cannot be read do not take the place of those held."""
    bank.take()
    bank.accounts("nothing\n", "accounts-2.csv")
    report = bank.take()
    assert (report.accounts, len(report.refused)) == (2, 1)
    assert any("still count" in note for note in report.notes)
    assert bank.read().accounts.num_rows == 2


def test_no_accounts_at_all_is_an_error(tmp_path: Path) -> None:
    """A bank without any snapshot is told to give one, and nothing is taken in."""
    empty = Bank(tmp_path)
    empty.payments(payment(1))
    with pytest.raises(MissingSourceError, match=r"accounts\*\.csv"):
        empty.take()
    assert empty.days.listed() == []


def test_a_bank_without_payments_is_a_bank(tmp_path: Path) -> None:
    """No file of payments, and accounts without a row, are taken in and read as nothing."""
    empty = Bank(tmp_path)
    empty.accounts("account\n")
    report = empty.take()
    assert (report.rows, report.accounts, report.days) == (0, 0, ())
    assert any("no file matches" in note for note in report.notes)
    data = empty.read()
    assert (data.accounts.num_rows, data.transactions.num_rows) == (0, 0)
    assert [str(t) for t in data.transactions.schema.types] == (
        ["string", "int64", "string", "string", "string", "string", "int64", "string"]
    )


def test_columns_may_have_other_names(bank: Bank) -> None:
    """The bank's own names of columns are mapped; one that it names must be there."""
    bank.payments(payment(1), header=HEADER.replace("tx_id", "Ref").replace("channel", "How"))
    columns = {"tx_id": "ref", "channel": "How"}
    assert bank.take(columns=columns).accepted == 1
    assert bank.read().transactions["channel"].to_pylist() == ["wire"]
    report = bank.take(columns={"tx_id": "ref", "channel": "route"})
    assert "column route missing" in report.refused[0].message


def test_parquet_is_taken_in_like_csv(bank: Bank) -> None:
    """Numbers, decimals and times of a Parquet source mean what their text means."""
    bank.payments(payment(1), payment(2, amount="2.50"))
    bank.take()
    want = bank.state()
    (bank.source / "parquet").mkdir()
    other = Bank(bank.source / "parquet")
    table = pa.table(
        {
            "tx_id": [1, 2, 3],
            "timestamp": pa.array([1777680000000000] * 3, pa.timestamp("us", "UTC")),
            "from_bank": ["a"] * 3,
            "from_account": ["A1"] * 3,
            "to_bank": ["b"] * 3,
            "to_account": ["B1"] * 3,
            "amount": [10.0, 2.5, None],
            "currency": ["EUR"] * 3,
            "channel": ["wire"] * 3,
        }
    )
    pq.write_table(table, other.source / "transactions.parquet")
    accounts = pa.table(
        {"account": ["A1", "A2"], "risk_score": [0.5, None], "balance": [100, None]}
    )
    pq.write_table(accounts, other.source / "accounts.parquet")
    report = other.take(source="parquet")
    assert (report.accepted, report.rejected) == (2, {"missing amount": 1})
    assert other.rows(report.rejected_file)[0]["row"] == "3"
    assert other.state() == want


def test_wrong_ibans_are_a_warning(bank: Bank) -> None:
    """An IBAN with a wrong check digit is taken in, counted once, and listed."""
    wrong = "NL91ABNA0417164301"
    bank.payments(
        payment(1, to_account="nl91 abna 0417 1643 00"),
        payment(2, to_account=wrong),
        payment(3, from_account=wrong, to_account="DE12"),
        payment(4, to_account="ZZ12345678901234567"),
    )
    report = bank.take()
    assert (report.accepted, report.ibans) == (4, 2)
    assert report.wrong_ibans == {"wrong check digits": 1}
    (row,) = bank.rows(report.warnings_file)
    assert row["account"] == wrong
    assert row["warning"] == "IBAN with wrong check digits"


def test_old_payments_are_not_kept(bank: Bank) -> None:
    """Payments older than the retention are counted, and never come in, however often read."""
    bank.payments(payment(1, "2026-05-02"), payment(2, "2026-05-03"), payment(1, "2026-05-01"))
    now = NOW
    keep = (now // DAY) - day("2026-05-03")
    report = bank.take(now, retention_days=keep)
    assert (report.accepted, report.expired, report.rejected) == (1, 2, {})
    assert bank.ids() == ["2"]
    assert whole(report)


def test_data_of_another_bank_or_currency_are_refused(bank: Bank) -> None:
    """A data folder stays with its bank and base currency."""
    bank.payments(payment(1))
    bank.take()
    with pytest.raises(OtherBankError, match="EUR, not SEK"):
        bank.take(base_currency="SEK")
    with pytest.raises(OtherBankError, match="bank a, not b"):
        bank_node.intake.take_in(bank.config(), "b", bank.data, bank.days, NOW)
    with pytest.raises(OtherBankError):
        bank_node.intake.read_taken(bank.data, bank.files, "b", "EUR")


def test_two_at_a_time_are_refused(bank: Bank) -> None:
    """While one process takes in, another is told to wait, and retention too."""
    with exclusive(bank.data):
        with pytest.raises(IntakeBusyError):
            bank.take()
        with pytest.raises(IntakeBusyError):
            bank.forget("2026-01-01")


def test_missing_and_damaged_files_are_found(bank: Bank) -> None:
    """A listed file that is gone or broken is one clear error, when reading and when taking in."""
    bank.payments(payment(1))
    bank.take()
    (name,) = [name for name in bank.files if name.startswith("days/")]
    raw = (bank.data / name).read_bytes()
    for content in (raw[:-3], raw[: len(raw) // 2], b""):
        (bank.data / name).write_bytes(content)
        with pytest.raises(DamagedDataError):
            bank.read()
        with pytest.raises(DamagedDataError):
            bank.take()
    (bank.data / name).unlink()
    with pytest.raises(DamagedDataError, match=name):
        bank.read()


def test_a_damaged_page_is_found(bank: Bank) -> None:
    """Data that rot inside a file are an error that quotes nothing of a row."""
    bank.payments(*(payment(i, from_account=f"SECRET{i}") for i in range(2000)))
    bank.take()
    (name,) = [name for name in bank.files if name.startswith("days/")]
    raw = bytearray((bank.data / name).read_bytes())
    raw[100:1500] = bytes(1400)
    (bank.data / name).write_bytes(raw)
    with pytest.raises(DamagedDataError) as caught:
        bank.read()
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_garbage_goes_and_what_counts_stays(bank: Bank) -> None:
    """A file that is not listed is removed at a start; work left by a dead process too."""
    bank.payments(payment(1))
    bank.take()
    before = bank.state()
    stray = bank.data / "days" / "2026-05-02" / "stray.parquet"
    stray.write_bytes(b"x")
    (bank.data / "work-old" / "spill").mkdir(parents=True)
    assert sweep(bank.data, bank.days.listed()) == 1
    assert not stray.exists()
    bank.take()
    assert not list(bank.data.glob("work-*"))
    assert bank.state() == before


def test_a_report_can_be_read_by_people_and_programs(bank: Bank) -> None:
    """The report names counts and reasons; the list keeps it as JSON."""
    bank.payments(payment(1), payment(2, amount="-1"), payment(3, amount="0.001"))
    report = bank.take()
    assert report.rounded == 1
    text = "\n".join(report.lines())
    assert "3 payments read" in text
    assert "2 taken in" in text
    assert "rejected payments: negative amount: 1" in text
    assert report.rejected_file in text
    (kept,) = bank.days.reports()
    assert kept == report.as_dict()
    assert "A1" not in str(kept)


def test_the_error_tree_is_sound() -> None:
    """Each error has a code of its own and stands in the list and the picture of its module."""
    module = bank_node.intake.errors
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value is not UndercurrentError
    ]
    assert sorted(c.__name__ for c in classes) == module.__all__
    assert len({c.code for c in classes}) == len(classes)
    assert all(c.code.startswith("intake.") for c in classes)
    assert all(c.__name__ in (module.__doc__ or "") for c in classes)


def test_the_face_of_the_package_is_pinned() -> None:
    """What the package offers changes on purpose only."""
    assert set(bank_node.intake.__all__) == {
        "DataConfig",
        "DayFile",
        "DayList",
        "IntakeReport",
        "JsonDays",
        "Refused",
        "forget_before",
        "read_taken",
        "sweep",
        "take_in",
    }
