"""What people and companies do on ordinary days: salaries, rent, bills, shopping, suppliers, cash.

Payments with a fixed day (salary, rent, bills) come first; the rest of the number asked for divides
over the kinds that have none.  These run along lasting relations: a relation is drawn once, with
its usual amount, and used as often as a Pareto weight says.  Amounts are log-normal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simdata.generator.clock import OFFICE, SHOPS, WAKING, Profile, draw_seconds, monthly
from simdata.generator.config import Behaviour, Size
from simdata.generator.payments import CASH, DAY, Floats, Ints, Payments, channel
from simdata.generator.population import Population, pick, pick_payee

__all__ = ["draw_ordinary"]

_PAYDAYS = np.array([1, 10, 15, 20, 24, 25, 25, 25, 26, 27, 28, 28])
_MOST_FIXED = 0.5  # share of all payments that may have a fixed day


def draw_ordinary(
    rng: np.random.Generator, people: Population, size: Size, behaviour: Behaviour
) -> list[Payments]:
    """All payments of ordinary days, kind by kind."""
    wanted = round(size.accounts * size.payments_per_account)
    fixed = _fixed_days(rng, people, size, behaviour, round(_MOST_FIXED * wanted))
    rest = wanted - sum(len(part) for part in fixed)
    kinds = [kind for kind in _KINDS if getattr(behaviour, kind) > 0]
    share = np.array([getattr(behaviour, kind) for kind in kinds])
    ends = np.round(rest * np.cumsum(share) / share.sum()).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    return fixed + [
        _KINDS[kind](rng, people, size, behaviour.home, int(n))
        for kind, n in zip(kinds, counts, strict=True)
    ]


# --- payments with a fixed day -------------------------------------------------------------------


def _fixed_days(
    rng: np.random.Generator, people: Population, size: Size, behaviour: Behaviour, most: int
) -> list[Payments]:
    """Salaries, rent and bills; if they were more than ``most``, fewer people have each of them."""
    n = len(people)
    person = ~people.company
    kinds = (
        (behaviour.employed, people.employer, _PAYDAYS, _salary),
        (behaviour.renting, people.landlord, np.array([1, 1, 2, 3]), _rent),
        (behaviour.bills, people.biller, np.arange(1, 29), _bill),
    )
    drawn = []
    for share, weight, month_days, finish in kinds:
        who = np.flatnonzero(person & (rng.random(n) < share))
        partner = pick_payee(rng, people.bank, who, weight, behaviour.home)
        who = who[: len(partner)]
        day = month_days[rng.integers(0, len(month_days), n)]  # of the partner, not of the person
        drawn.append((who, partner, day[partner], finish))
    events = sum(len(monthly(size.start, size.days, day)[0]) for _, _, day, _ in drawn)
    keep = min(1.0, most / max(events, 1))
    result = []
    for who, partner, day, finish in drawn:
        rows = np.flatnonzero(rng.random(len(who)) < keep)
        row, on = monthly(size.start, size.days, day[rows])
        result.append(finish(rng, who[rows][row], partner[rows][row], row, on))
    return result


def _usual(rng: np.random.Generator, row: Ints, median: float, sigma: float) -> Floats:
    """One log-normal amount in hundredths for each relation, the same at each of its payments."""
    top = int(row.max()) + 1 if len(row) else 0
    amount: Floats = rng.lognormal(np.log(median * 100), sigma, top)[row]
    return amount


def _salary(rng: np.random.Generator, who: Ints, employer: Ints, row: Ints, day: Ints) -> Payments:
    amount = _usual(rng, row, 2600.0, 0.4) * rng.normal(1.0, 0.02, len(row))
    second = day * DAY + rng.integers(2 * 3600, 6 * 3600, len(row))  # nightly batch
    return Payments.innocent(employer, who, second, amount, channel("wire"))


def _rent(rng: np.random.Generator, who: Ints, landlord: Ints, row: Ints, day: Ints) -> Payments:
    amount = np.round(_usual(rng, row, 850.0, 0.35) / 500) * 500  # whole five euros
    second = day * DAY + rng.integers(6 * 3600, 9 * 3600, len(row))
    return Payments.innocent(who, landlord, second, amount, channel("wire"))


def _bill(rng: np.random.Generator, who: Ints, biller: Ints, row: Ints, day: Ints) -> Payments:
    amount = _usual(rng, row, 55.0, 0.6)
    second = day * DAY + rng.integers(3 * 3600, 5 * 3600, len(row))
    return Payments.innocent(who, biller, second, amount, channel("direct-debit"))


# --- payments along lasting relations ------------------------------------------------------------


@dataclass(frozen=True)
class _Habit:
    """How a kind of payment runs: relations for each payer, log-normal amounts, clock, channel."""

    relations: float
    median: float
    between: float
    within: float
    profile: Profile
    channel: str
    whole: int = 1


_SHOPPING = _Habit(6.0, 28.0, 0.8, 0.6, SHOPS, "card")
_TRANSFERS = _Habit(2.5, 60.0, 0.9, 0.7, WAKING, "instant", 500)
_SUPPLIERS = _Habit(5.0, 900.0, 1.2, 0.5, OFFICE, "wire")
_LARGE = _Habit(1.0, 9900.0, 0.2, 0.6, OFFICE, "wire")


def _along(
    rng: np.random.Generator,
    people: Population,
    size: Size,
    n: int,
    habit: _Habit,
    payers: Floats,
    payees: Floats,
    home: float,
) -> Payments:
    """``n`` payments along relations from ``payers`` to ``payees``, which are weights."""
    count = max(1, min(n, round(habit.relations * np.count_nonzero(payers))))
    payer = pick(rng, payers, count)
    payee = pick_payee(rng, people.bank, payer, payees, home)
    if n == 0 or len(payee) == 0:
        return Payments.empty()
    used = pick(rng, np.minimum(rng.pareto(1.2, count), 50.0) + 0.1, n)
    usual = rng.normal(np.log(habit.median * 100), habit.between, count)
    amount = np.exp(usual[used] + rng.normal(0.0, habit.within, n))
    if habit.whole > 1:  # half of the amounts are round
        rounded = rng.random(n) < 0.5
        amount[rounded] = np.maximum(1, np.round(amount[rounded] / habit.whole)) * habit.whole
    second = draw_seconds(rng, habit.profile, size.start, size.days, n)
    return Payments.innocent(payer[used], payee[used], second, amount, channel(habit.channel))


def _shopping(
    rng: np.random.Generator, people: Population, size: Size, home: float, n: int
) -> Payments:
    payers = np.where(people.company, 0.0, np.sqrt(people.activity))
    return _along(rng, people, size, n, _SHOPPING, payers, people.shop, home)


def _transfers(
    rng: np.random.Generator, people: Population, size: Size, home: float, n: int
) -> Payments:
    private = np.where(people.company, 0.0, np.sqrt(people.activity))
    return _along(rng, people, size, n, _TRANSFERS, private, private, home)


def _suppliers(
    rng: np.random.Generator, people: Population, size: Size, home: float, n: int
) -> Payments:
    payers = np.where(people.company, people.activity, 0.0)
    return _along(rng, people, size, n, _SUPPLIERS, payers, people.supplier, home)


def _large(
    rng: np.random.Generator, people: Population, size: Size, home: float, n: int
) -> Payments:
    """Cars, renovations, gifts within a family: single payments as large as a launderer's."""
    anyone = np.sqrt(people.activity)
    return _along(rng, people, size, n, _LARGE, anyone, anyone, home)


def _cash(
    rng: np.random.Generator, people: Population, size: Size, home: float, n: int
) -> Payments:
    """Withdrawals by people (0.7), deposits by people (0.1), takings of shops (0.2)."""
    withdrawn, saved = round(0.7 * n), round(0.1 * n)
    private = np.where(people.company, 0.0, people.activity)
    who = np.concatenate([
        pick(rng, private, withdrawn + saved), pick(rng, people.shop, n - withdrawn - saved)
    ])  # fmt: skip
    n = len(who)
    out = np.arange(n) < withdrawn
    level = np.select([out, np.arange(n) < withdrawn + saved], [80.0, 250.0], 500.0)
    amount = np.exp(rng.normal(np.log(level * 100), 0.7))
    amount = np.maximum(1, np.round(amount / 1000)) * 1000  # notes of ten
    second = draw_seconds(rng, WAKING, size.start, size.days, n)
    payer, payee = np.where(out, who, CASH), np.where(out, CASH, who)
    return Payments.innocent(payer, payee, second, amount, channel("cash"))


_Draw = Callable[[np.random.Generator, Population, Size, float, int], Payments]
_KINDS: dict[str, _Draw] = {
    "shopping": _shopping,
    "transfers": _transfers,
    "suppliers": _suppliers,
    "cash": _cash,
    "large": _large,
}
