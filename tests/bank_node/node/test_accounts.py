"""Which accounts are the bank's own and may be asked about, from the files that it took in."""

from __future__ import annotations

from pathlib import Path

import pytest

from bank_node.ingest import canonical_account
from bank_node.node.accounts import Asked, count_accounts, look_up
from tests.bank_node.intake.bank import Bank, payment

ODD = (
    "O'Brien",
    'say "hi"',
    "007",
    "NA",
    "null",
    "x,y",
    "'; DROP TABLE own; --",
    "100%_",
    "Å 1",
    "-",
)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """Bank a with an empty table of accounts, and nothing taken in yet."""
    made = Bank(tmp_path)
    made.accounts("account\n")
    return made


def field(text: str) -> str:
    """A field of a CSV file."""
    return '"' + text.replace('"', '""') + '"'


def asked(bank: Bank, *accounts: str) -> Asked:
    """What bank a says of these."""
    return look_up(bank.data, bank.files, "a", accounts)


def count(bank: Bank) -> int:
    """Number of own accounts."""
    return count_accounts(bank.data, bank.files, "a")


def test_a_bank_without_data_has_no_account(bank: Bank) -> None:
    """Nothing was taken in, so nothing is found."""
    bank.data.mkdir()
    assert count(bank) == 0
    assert asked(bank, "A1") == Asked(frozenset(), frozenset())


def test_own_sides_and_the_table_count_once_each(bank: Bank) -> None:
    """Accounts of the table, payers and payees here; the other bank's accounts are not own."""
    bank.accounts("account\nA1\nA9\n")
    bank.payments(
        payment(1),
        payment(2),
        payment(3, from_bank="b", from_account="B7", to_bank="a", to_account="A2"),
        payment(4, from_account="A3", to_bank="a", to_account="A3"),
    )
    bank.take()
    assert count(bank) == 4
    wanted = ("A1", "A2", "A3", "A9", "B1", "B7", "A4")
    assert asked(bank, *wanted).own == {"A1", "A2", "A3", "A9"}


def test_an_account_of_the_same_name_elsewhere_is_not_own(bank: Bank) -> None:
    """The key of an account is its bank and its id."""
    bank.payments(payment(1, to_account="A5"))
    bank.take()
    assert asked(bank, "A5").own == frozenset()
    assert count(bank) == 1


def test_files_that_are_not_listed_do_not_count(bank: Bank) -> None:
    """A file that a dead node left behind was never taken in."""
    bank.payments(payment(1))
    bank.take()
    listed = bank.files
    bank.payments(payment(2, from_account="A2"), name="more.csv")
    bank.take(transactions="more.csv")
    assert count(bank) == 2
    assert count_accounts(bank.data, listed, "a") == 1


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Bank a with an account of each odd name."""
    made = Bank(tmp_path_factory.mktemp("odd"))
    made.accounts("account\n")
    made.payments(*(payment(i, from_account=field(a)) for i, a in enumerate(ODD)))
    made.take()
    return made


@pytest.mark.parametrize("account", ODD)
def test_odd_ids_are_ids(odd: Bank, account: str) -> None:
    """Quotes, leading zeros, words that mean nothing elsewhere: text stays text, and finds itself.

    None of its neighbours is found by it.
    """
    assert count(odd) == len(ODD)
    name = canonical_account(account)
    assert asked(odd, name).own == {name}
    assert asked(odd, f"{name}x", "7", "").own == frozenset()


def test_without_a_scope_all_own_accounts_are_in_it(bank: Bank) -> None:
    """Where the accounts table does not say, or there is none."""
    bank.payments(payment(1))
    bank.take()
    assert asked(bank, "A1", "B1") == Asked(frozenset({"A1"}), frozenset({"A1"}))
    bank.accounts("account,kind\nA1,person\nA2,person\n")
    bank.take()
    assert asked(bank, "A1", "A2").in_scope == {"A1", "A2"}


def test_with_a_scope_only_those_named_are_in_it(bank: Bank) -> None:
    """An account without a word, or known from payments only, is not."""
    bank.accounts("account,in_scope\nA1,true\nA2,false\nA3,\n")
    bank.payments(payment(1), payment(2, from_account="A4"))
    bank.take()
    found = asked(bank, "A1", "A2", "A3", "A4", "B1")
    assert found.own == {"A1", "A2", "A3", "A4"}
    assert found.in_scope == {"A1"}


def test_the_latest_table_says_who_is_in_scope(bank: Bank) -> None:
    """Yesterday's word does not count any more."""
    bank.accounts("account,in_scope\nA1,true\n")
    bank.payments(payment(1))
    bank.take()
    assert asked(bank, "A1").in_scope == {"A1"}
    bank.accounts("account,in_scope\nA1,false\n")
    bank.take()
    assert asked(bank, "A1") == Asked(frozenset({"A1"}), frozenset())
