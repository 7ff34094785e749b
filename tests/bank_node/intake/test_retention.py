"""Payments older than the retention go; what later runs compute from stays the same."""

import random
from typing import Any

import numpy as np
import pytest

from bank_node.partition import build_partition
from tests.bank_node.intake.bank import DAY, NOW, Bank, at, payment

DAYS = [f"2026-05-{n:02}" for n in range(1, 11)]


def partition(bank: Bank, since: str) -> dict[str, Any]:
    """The partition of a run whose window begins at a day."""
    part = build_partition(
        bank.read(), "a", ["a", "b"], since=at(f"{since}T00:00:00+00:00"), slice_us=DAY
    )
    balances = zip(part.balance.tolist(), part.balance_known.tolist(), strict=True)
    return {
        "balance": dict(zip(part.accounts.to_pylist(), balances, strict=True)),
        "weight": int(part.graph.weight.sum()),
    }


def busy(bank: Bank, seed: int) -> None:
    """Many payments in and out over ten days, and balances with and without a time."""
    rng = random.Random(seed)
    lines = []
    for number in range(300):
        inward = rng.random() < 0.5
        sides = (
            {"from_bank": "b", "from_account": "B1", "to_bank": "a"}
            | {"to_account": f"A{rng.randrange(6)}"}
            if inward
            else {"from_account": f"A{rng.randrange(6)}", "to_bank": rng.choice("ab")}
            | {"to_account": f"A{rng.randrange(6)}"}
        )
        time = f"{rng.choice(DAYS)}T{rng.randrange(24):02}:00:00Z"
        lines.append(payment(number, time, amount=str(rng.randrange(1, 500)), **sides))
    bank.payments(*lines)
    bank.accounts(
        "account,balance,balance_at\nA0,10,\nA1,5000,2026-05-04T12:00:00Z\nA2,-20,2026-05-09\n"
        "A3,100,2026-01-01\nA4,,\nA5,1,2026-05-03\n"
    )


@pytest.mark.parametrize("seed", range(4))
def test_later_runs_see_the_same_balances(bank: Bank, seed: int) -> None:
    """For every window from the cut on, all balances are what they were, however it is cut."""
    busy(bank, seed)
    bank.take()
    before = {since: partition(bank, since) for since in DAYS}
    for cut in ("2026-05-02", "2026-05-05", "2026-05-06", "2026-05-09"):
        gone = bank.forget(cut)
        assert gone > 0
        assert min(entry.day for entry in bank.days.listed() if entry.day[0] == "2") >= cut
        for since in DAYS[DAYS.index(cut) :]:
            now = partition(bank, since)
            assert now["balance"].items() <= before[since]["balance"].items()
            assert now["weight"] == before[since]["weight"]
    assert bank.forget("2026-05-09") == 0


def test_what_is_forgotten_is_gone_from_the_disk(bank: Bank) -> None:
    """Files of the days, and rejected rows told before, are deleted, and no id is left in any."""
    bank.payments(payment("OLD", "2026-05-01"), payment("NEW", "2026-05-09"), payment("BAD", "x"))
    report = bank.take(at("2026-05-03T00:00:00+00:00"))
    assert bank.forget("2026-05-05") == 1
    assert not (bank.data / "days" / "2026-05-01").exists()
    assert not (bank.data / report.rejected_file).exists()
    assert {path.name for path in bank.data.rglob("*") if path.is_file()} == {".lock"} | {
        name.split("/")[-1] for name in bank.files
    }
    assert bank.ids() == ["NEW"]


def test_what_is_forgotten_does_not_come_back(bank: Bank) -> None:
    """Reading the source again takes in nothing of the days that are gone, even with more days."""
    bank.payments(payment(1, "2026-05-01"), payment(2, "2026-05-09"))
    bank.accounts("account,balance\nA1,100\n")
    bank.take()
    bank.forget("2026-05-05")
    state = bank.state()
    assert state["accounts"]["balance"] == [9000]
    report = bank.take(NOW, again=True)
    assert (report.accepted, report.repeated, report.expired) == (0, 1, 1)
    assert not report.accounts_changed
    assert bank.state() == state


def test_forgetting_without_accounts_in_payments(bank: Bank) -> None:
    """Accounts without payments, and payments of accounts without balance, keep what they have."""
    bank.payments(payment(1, "2026-05-01", from_account="A9"), payment(2, "2026-05-08"))
    bank.take()
    bank.forget("2026-05-02")
    data = bank.read()
    found = dict(
        zip(*data.accounts.select(["account", "balance"]).to_pydict().values(), strict=True)
    )
    assert found == {"A1": 10000, "A2": None}
    assert np.array_equal(data.accounts["risk_score"].to_numpy(), [0.5, 0.0])


def test_nothing_to_forget_is_nothing_done(bank: Bank) -> None:
    """An empty folder, and a day before all payments, leave everything as it is."""
    assert bank.forget("2026-05-02") == 0
    bank.payments(payment(1))
    bank.take()
    files = bank.files
    assert bank.forget("0001-01-01") == 0
    assert bank.files == files
