"""What a bank computes of its own accounts is right, and needs its own payments only."""

from dataclasses import fields

import numpy as np
import pytest

from simdata.generator import read_config
from simdata.generator.account_view import (
    cash_share,
    lowest_balance,
    near_limit_deposits,
    passed_on,
    received,
)
from simdata.generator.build import simulate
from simdata.generator.payments import CASH, Payments

N = 6


def some_payments(seed: int, count: int = 60) -> Payments:
    """Random payments between six accounts and cash, many in the same second, in order of time."""
    rng = np.random.default_rng(seed)
    payer, payee = rng.integers(-1, N, (2, count))
    payer[(payer == CASH) & (payee == CASH)] = 0
    return Payments.innocent(
        payer,
        payee,
        np.sort(rng.integers(0, 40, count)),
        rng.integers(1, 100, count).astype(float),
        0,
    )


def rows(p: Payments) -> list[tuple[int, int, int, int]]:
    """Payer, payee, second and amount of each payment."""
    return list(zip(*(getattr(p, f.name).tolist() for f in fields(p)[:4]), strict=True))


@pytest.mark.parametrize("seed", range(10))
def test_sums_and_shares_are_those_of_a_plain_count(seed: int) -> None:
    """Money received, its share of cash, and deposits near a limit, counted one by one."""
    p = some_payments(seed)
    for account in range(N):
        into = [row for row in rows(p) if row[1] == account]
        total = sum(row[3] for row in into)
        cash = [row[3] for row in into if row[0] == CASH]
        assert received(p, N)[account] == total
        assert cash_share(p, N)[account] == pytest.approx(sum(cash) / max(total, 1))
        near = sum(25 <= amount < 50 for amount in cash)
        assert near_limit_deposits(p, N, 50)[account] == near


@pytest.mark.parametrize("seed", range(10))
def test_what_is_passed_on_is_bounded_by_each_payment_in(seed: int) -> None:
    """For each payment in, what left within the time, at most that payment; self-payments aside."""
    p = some_payments(seed)
    for account in range(N):
        passed = 0
        for payer, payee, second, amount in rows(p):
            if payee == account != payer:
                left = sum(
                    r[3] for r in rows(p) if r[0] == account and second <= r[2] <= second + 7
                )
                passed += min(amount, left)
        total = max(float(received(p, N)[account]), 1.0)
        assert passed_on(p, N, within=7)[account] == pytest.approx(passed / total)


@pytest.mark.parametrize("seed", range(10))
def test_the_lowest_balance_is_that_of_a_ledger(seed: int) -> None:
    """Second by second, incoming first, from 0."""
    p = some_payments(seed)
    for account in range(N):
        balance, lowest = 0, 0
        for second in range(40):
            now = [r for r in rows(p) if r[2] == second]
            balance += sum(r[3] for r in now if r[1] == account)
            for row in now:
                if row[0] == account:
                    balance -= row[3]
                    lowest = min(lowest, balance)
        assert lowest_balance(p, N)[account] == lowest


def test_no_payments_are_no_trouble() -> None:
    """Without any payment all is 0."""
    p = Payments.empty()
    for found in (received(p, 2), cash_share(p, 2), passed_on(p, 2), lowest_balance(p, 2)):
        assert found.tolist() == [0, 0]


def test_a_bank_alone_computes_the_same_of_its_own_accounts() -> None:
    """The signals of a bank's accounts are the same with only the payments that touch the bank."""
    world = simulate(read_config(changes={"size": {"accounts": 1500}}), 8)
    p, n = world.payments, len(world.people)
    for bank in range(3):
        own = np.append(world.people.bank == bank, False)  # cash is at no bank
        seen = p.take(np.flatnonzero(own[p.payer] | own[p.payee]))
        for view in (received, cash_share, passed_on, lowest_balance):
            assert (view(seen, n)[own[:-1]] == view(p, n)[own[:-1]]).all()
        assert (near_limit_deposits(seen, n, 1e6)[own[:-1]]
                == near_limit_deposits(p, n, 1e6)[own[:-1]]).all()  # fmt: skip
