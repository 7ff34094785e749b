"""What was taken in reads as the reader of a folder reads the same rows."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank_node.ingest import read_bank
from bank_node.partition import build_partition
from tests.bank_node.intake.bank import HEADER, NOW, Bank, at, payment

RATES = {"USD": 0.9, "JPY": 0.00614, "BHD": 2.4}

banks = st.sampled_from(["a", " a ", "007", "7", "b", "", "c"])
accounts = st.sampled_from(
    ["A1", "A2", " A1 ", "nl91 abna 0417 1643 00", "NL91ABNA0417164300", "B1", "", "é"]
)
times = st.sampled_from(
    [
        "2026-05-02",
        "2026-05-02T23:30:00-01:00",
        "2026-05-03 00:00:00+0030",
        "2026-05-02T23:59:59.9999995Z",
        "2026-05-03T12:00Z",
        "1969-12-31T23:00:00Z",
        "2026-02-30",
        "soon",
        "",
    ]
)
amounts = st.sampled_from(
    ["1", "10.50", "0.005", "0.015", "1e3", "-1", "-0", "x", "", "92233720368547758.08", ".5"]
)
currencies = st.sampled_from(["EUR", "eur", "USD", "JPY", "bhd", "XXX", ""])
payments = st.tuples(
    st.integers(1, 25), times, banks, accounts, banks, accounts, amounts, currencies
).map(lambda fields: ",".join(map(str, fields)) + ",wire\n")
balances = st.sampled_from(["", "0", "12.34", "-5", "1e30", "x"])
dates = st.sampled_from(["", "2026-05-02T12:00:00Z", "2026-05-03", "2027-01-01", "x"])
owners = st.tuples(
    accounts, st.sampled_from(["", "0.5", "2"]), balances, dates, st.sampled_from(["", "yes", "0"])
).map(lambda fields: ",".join(fields) + "\n")


@given(st.lists(payments, max_size=25), st.lists(owners, max_size=8), st.integers(1, 3))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_taken_in_reads_like_read_from_the_folder(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], owned: list[str], parts: int
) -> None:
    """Same accounts, payments, numbers and order, whatever is wrong or odd in the rows."""
    place = tmp_path_factory.mktemp("bank")
    bank = Bank(place)
    header = "account,risk_score,balance,balance_at,in_scope\n"
    bank.accounts(header + "".join(owned))
    for part in range(parts):
        share = lines[part * len(lines) // parts : (part + 1) * len(lines) // parts]
        bank.payments(*share, name=f"transactions-{part}.csv")
        bank.take(rates=RATES)
    folder = place / "folder"
    folder.mkdir()
    (folder / "accounts.csv").write_text(header + "".join(owned))
    (folder / "transactions.csv").write_text(HEADER + "".join(lines))
    want = read_bank(folder, "a", base_currency="EUR", rates=RATES)
    found = bank.read()
    assert found.transactions.equals(want.transactions)
    assert found.accounts.equals(want.accounts)
    assert (found.bank, found.base_currency) == (want.bank, want.base_currency)
    assert found.scope_declared == want.scope_declared
    assert found.counts.accounts_only_in_payments == want.counts.accounts_only_in_payments
    reports = bank.days.reports()
    rejected = sum(sum(report["rejected"].values()) for report in reports)
    repeated = sum(report["repeated"] for report in reports)
    bad_accounts = sum(reports[0]["rejected_accounts"].values())
    assert rejected + repeated + bad_accounts == want.counts.rejected_rows
    assert sum(report["rounded"] for report in reports) == want.counts.rounded


def test_a_balance_with_a_time_is_the_balance_at_that_time(bank: Bank) -> None:
    """Whatever the window, the balance at the stated time is the one stated, before or after."""
    bank.accounts(
        "account,balance,balance_at\n"
        "A1,100,2026-05-03T00:00:00Z\nA2,100,\nA3,-5,2026-05-05\nA4,7,2026-01-01\n"
    )
    bank.payments(
        payment(1, "2026-05-02", from_account="A1", amount="30"),
        payment(2, "2026-05-03", from_account="A1", amount="20"),
        payment(3, "2026-05-02", from_account="A2", amount="30"),
        payment(4, "2026-05-04", from_account="A3", amount="1"),
        payment(5, "2026-05-02", from_account="A4", amount="2"),
        payment(6, "2026-05-02", from_bank="b", to_bank="a", to_account="A1"),
    )
    bank.take()

    def balances(since: str) -> list[int]:
        part = build_partition(bank.read(), "a", ["a", "b"], since=at(since))
        return [int(value) for value in part.balance]

    assert bank.read().accounts["balance"].to_pylist() == [12000, 10000, -400, 700]
    assert balances("2026-05-03T00:00:00+00:00") == [10000, 7000, 0, 500]
    assert balances("2026-05-04T00:00:00+00:00")[0] == 8000


def test_late_payments_do_not_move_a_dated_balance(bank: Bank) -> None:
    """A payment that comes in after the snapshot but is older than it leaves the stated balance."""
    bank.accounts("account,balance,balance_at\nA1,100,2026-05-10\n")
    bank.payments(payment(1, "2026-05-05"))
    bank.take()
    bank.payments(payment(2, "2026-05-04", amount="55"), name="transactions-2.csv")
    bank.take()
    part = build_partition(bank.read(), "a", ["a"], since=at("2026-05-10T00:00:00+00:00"))
    assert list(part.balance) == [10000]


def test_the_order_of_taking_in_does_not_matter(tmp_path: Path) -> None:
    """The same payments, in any order and any number of batches, read the same."""
    lines = [payment(n, f"2026-05-{n % 5 + 1:02}T{n % 24:02}:00:00Z") for n in range(60)]
    states = []
    for number, parts in enumerate((1, 4, 12)):
        place = tmp_path / str(number)
        place.mkdir()
        bank = Bank(place)
        bank.accounts("account\nA1\n")
        mixed = random.Random(number).sample(lines, len(lines))
        for part in range(parts):
            bank.payments(*mixed[part::parts], name=f"transactions-{part}.csv")
            bank.take(NOW + part)
        states.append(bank.state())
    assert states[0] == states[1] == states[2]
