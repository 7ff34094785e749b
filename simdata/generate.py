"""Simulated payments between the accounts of several banks, with laundering hidden across them.

Ordinary payments run along lasting relations: who pays and who is paid is skewed (a few accounts
have most of both), about half of the relations stay inside a bank, amounts are log-normal, and
payments follow the working day.  Some ordinary payments are as large as a launderer's.

Laundering comes in *chains* and *cycles*: cash is placed at a first account in many deposits, then
handed on, each time to an account at another bank, minus a cut that the mule keeps, hours to days
later and in one to three payments.  A cycle ends at the account it began with.  Every account is
in at most one scheme.

``risk_score`` is what the own bank alone could know, and is imperfect on purpose: the first account
of a scheme is cash-heavy and mostly gets a high score, the mules after it look innocent, and some
innocent, cash-heavy accounts get a high score as well (false alarms).  So a bank alone finds some
first accounts among its false alarms, and no mule.

The same arguments give the same bytes (with the same versions of NumPy and PyArrow).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bank_node.errors import ParameterError
from simdata.dataset import Dataset, decimal_column, write_dataset

__all__ = ["generate"]

_START = 1_767_225_600  # 2026-01-01T00:00:00Z
_DAY = 86_400
_CASH = -1
_CHANNELS = np.array(["wire", "instant", "card", "direct-debit", "cash"])
_CASH_CHANNEL = 4
_OPENED = np.datetime64("2010-01-01")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Payments:
    """Payments as arrays (n,): accounts by number (_CASH: a cash desk), seconds, hundredths."""

    payer: Ints
    payee: Ints
    second: Ints
    amount: Ints
    channel: Ints
    scheme: Ints
    hop: Ints


@dataclass(frozen=True)
class _Scheme:
    """One laundering scheme: its accounts in order, and whether it comes back to the first."""

    accounts: Ints
    cycle: bool


def generate(
    out: Path,
    *,
    banks: int = 3,
    accounts: int = 3000,
    days: int = 30,
    seed: int = 1,
    payments_per_account: float = 10.0,
    schemes: int | None = None,
    csv: bool = False,
    force: bool = False,
) -> Dataset:
    """Write a simulated data set to ``out``.

    Args:
        out: the folder to write.
        banks: number of banks, bank1 being the largest.
        accounts: accounts of all banks together, at least 10 for each bank.
        days: length of the window, from 2026-01-01.
        seed: seed of all randomness.
        payments_per_account: ordinary payments, on average.
        schemes: laundering schemes (fewer if a bank runs out of accounts); None: one for each 150
            accounts.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Returns:
        the description of the data set.

    Raises:
        DataError: a parameter is out of its range, or ``out`` is in use.
    """
    count = min(max(2, accounts // 150), accounts // 12) if schemes is None else schemes
    _check(banks, accounts, days, payments_per_account, count, seed)
    rng = np.random.default_rng(seed)
    bank = _bank_of_accounts(banks, accounts)
    activity = np.minimum(rng.pareto(1.6, accounts), 100.0) + 0.2
    plan = _plan_schemes(rng, bank, activity, count)
    alarms = _false_alarms(rng, bank, plan)
    ordinary = _ordinary(rng, bank, activity, round(accounts * payments_per_account), days)
    illicit = _launder(rng, plan, days)
    payments = _sorted(ordinary, illicit, _cash(rng, plan, illicit, alarms, days))
    names = _names(rng, accounts)
    bank_names = np.array([f"bank{i + 1}" for i in range(banks)])
    dataset = Dataset(
        name=f"simulated-{seed}",
        banks=tuple(bank_names.tolist()),
        seed=seed,
        base_currency="EUR",
        first=int(payments.second[0]) * 1_000_000,
        last=int(payments.second[-1]) * 1_000_000,
    )
    tx_id = _numbered("t", len(payments.payer))
    write_dataset(
        out,
        dataset,
        accounts=_account_table(rng, names, bank_names[bank], payments, plan, alarms),
        payments=_payment_table(payments, tx_id, names, bank_names[bank]),
        labels=_label_table(names, bank_names[bank], plan),
        patterns=_pattern_table(payments, tx_id, plan),
        csv=csv,
        force=force,
    )
    return dataset


def _check(
    banks: int, accounts: int, days: int, per_account: float, schemes: int, seed: int
) -> None:
    def need(fine: bool, message: str, remedy: str) -> None:
        if not fine:
            raise ParameterError(message, remedy)

    need(1 <= banks <= 1000, f"{banks} banks cannot be made", "Ask for 1 to 1000 banks")
    need(accounts >= 10 * banks, f"{accounts} accounts are too few for {banks} banks",
         "Ask for at least 10 accounts for each bank")  # fmt: skip
    need(days >= 1, f"{days} days are too few", "Ask for at least one day")
    need(0 < per_account <= 10_000, f"{per_account} payments for each account cannot be made",
         "Ask for more than 0 and at most 10,000")  # fmt: skip
    need(0 <= schemes <= accounts // 12, f"{schemes} schemes do not fit {accounts} accounts",
         f"Ask for 0 to {accounts // 12} schemes")  # fmt: skip
    need(seed >= 0, f"The seed {seed} is negative", "Give a seed of 0 or more")


def _bank_of_accounts(banks: int, accounts: int) -> Ints:
    """The bank of each account: sizes fall with the bank's number, none below 5 accounts."""
    share = 1.0 / np.arange(1, banks + 1) ** 0.6
    sizes = 5 + np.floor((accounts - 5 * banks) * share / share.sum()).astype(np.int64)
    sizes[0] += accounts - sizes.sum()
    bank: Ints = np.repeat(np.arange(banks), sizes)
    return bank


def _weighted(rng: np.random.Generator, weight: Floats, n: int) -> Ints:
    """``n`` places of ``weight``, drawn in proportion to it."""
    ladder = np.cumsum(weight)
    drawn: Ints = np.searchsorted(ladder, rng.random(n) * ladder[-1], side="right")
    return drawn


def _plan_schemes(
    rng: np.random.Generator, bank: Ints, activity: Floats, count: int
) -> list[_Scheme]:
    """Draw the accounts of each scheme: quiet ones, each used once, neighbours at other banks."""
    quiet = activity <= np.quantile(activity, 0.9)
    free = [
        rng.permutation(np.flatnonzero(quiet & (bank == b))).tolist() for b in range(bank[-1] + 1)
    ]
    plan: list[_Scheme] = []
    for number in range(count):
        cycle = number % 2 == 1
        length = int(rng.integers(3, 6)) if cycle else int(rng.integers(4, 8))
        members = _draw_members(rng, free, length, cycle)
        if len(members) >= 3:
            plan.append(_Scheme(np.array(members), cycle))
    return plan


def _draw_members(
    rng: np.random.Generator, free: list[list[int]], length: int, cycle: bool
) -> list[int]:
    """Take up to ``length`` accounts out of ``free``, so that no hop stays inside a bank."""
    if cycle and len(free) == 2:
        length = 4
    route: list[int] = []
    while len(route) < length:
        closing = cycle and len(route) == length - 1
        barred = {*route[-1:], *(route[:1] if closing else [])} if len(free) > 1 else set()
        stock = np.array([0 if b in barred else len(left) for b, left in enumerate(free)])
        stock = np.maximum(0, stock - np.bincount(np.array(route, np.int64), minlength=len(free)))
        if stock.sum() <= 0:
            return []
        route.append(
            int(rng.choice(len(free), p=np.maximum(stock, 0) / np.maximum(stock, 0).sum()))
        )
    return [free[b].pop() for b in route]


def _false_alarms(rng: np.random.Generator, bank: Ints, plan: list[_Scheme]) -> Ints:
    innocent = np.setdiff1d(np.arange(len(bank)), _members(plan))
    count = max(1, round(0.015 * len(innocent)))
    alarms: Ints = np.sort(rng.choice(innocent, count, replace=False))
    return alarms


def _members(plan: list[_Scheme]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *(scheme.accounts for scheme in plan)])


def _ordinary(
    rng: np.random.Generator, bank: Ints, activity: Floats, n: int, days: int
) -> _Payments:
    """Payments along lasting relations; one in two hundred is as large as a launderer's."""
    relations = 3 * len(bank)
    payer = _weighted(rng, np.sqrt(activity), relations)
    payee = _payees(rng, bank, payer)
    used = _weighted(rng, np.minimum(rng.pareto(1.2, relations), 50.0) + 0.1, n)
    usual = rng.normal(4.3, 0.9, relations)
    amount = np.exp(usual[used] + rng.normal(0.0, 0.6, n))
    large = rng.random(n) < 0.005
    amount[large] = rng.lognormal(9.2, 0.6, int(large.sum()))
    hour = np.clip(rng.normal(13.0, 3.5, n), 0.0, 23.999)
    second = _START + rng.integers(0, days, n) * _DAY + (hour * 3600).astype(np.int64)
    channel = rng.choice(_CASH_CHANNEL, n, p=[0.35, 0.2, 0.3, 0.15])
    none = np.full(n, -1)
    cents = np.maximum(1, np.round(amount * 100)).astype(np.int64)
    return _Payments(payer[used], payee[used], second, cents, channel, none, none)


def _payees(rng: np.random.Generator, bank: Ints, payer: Ints) -> Ints:
    """A payee for each payer: popular ones first, half of them at the payer's bank."""
    popularity = np.minimum(rng.pareto(1.3, len(bank)), 100.0) + 0.1
    ladder = np.concatenate([[0.0], np.cumsum(popularity)])
    first = np.searchsorted(bank, np.arange(bank[-1] + 1))
    last = np.searchsorted(bank, np.arange(bank[-1] + 1), side="right")
    home = rng.random(len(payer)) < 0.5
    low = np.where(home, ladder[first[bank[payer]]], 0.0)
    high = np.where(home, ladder[last[bank[payer]]], ladder[-1])
    point = low + rng.random(len(payer)) * (high - low)
    payee = np.clip(np.searchsorted(ladder, point, side="right") - 1, 0, len(bank) - 1)
    other: Ints = np.where(payee == payer, (payee + 1) % len(bank), payee)
    return other


def _launder(rng: np.random.Generator, plan: list[_Scheme], days: int) -> _Payments:
    """The payments of all schemes, hop by hop."""
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    for number, scheme in enumerate(plan):
        stops = [*scheme.accounts.tolist(), *(scheme.accounts[:1].tolist() if scheme.cycle else [])]
        hops = len(stops) - 1
        delay = rng.uniform(2 * 3600, 2.5 * _DAY, hops)
        delay *= min(1.0, 0.6 * days * _DAY / delay.sum())
        start = rng.uniform(0.25 * days * _DAY, days * _DAY - delay.sum() - 7200)
        moments = _START + start + np.cumsum(delay) - delay[0]
        money = rng.lognormal(9.9, 0.4) * 100 * np.cumprod(rng.uniform(0.9, 0.97, hops))
        for hop in range(hops):
            parts = _split(rng, int(money[hop]), int(rng.integers(1, 4)))
            for part in parts:
                second = int(moments[hop] + rng.uniform(0, 3600))
                channel = int(rng.integers(0, 2))
                rows.append((stops[hop], stops[hop + 1], second, part, channel, number, hop + 1))
    return _Payments(*np.array(rows, np.int64).reshape(-1, 7).T)


def _split(rng: np.random.Generator, total: int, parts: int) -> list[int]:
    share = rng.dirichlet(np.full(parts, 8.0))
    pieces = np.maximum(1, np.floor(share * total)).astype(np.int64)
    pieces[-1] = max(1, total - int(pieces[:-1].sum()))
    return [int(piece) for piece in pieces]


def _cash(
    rng: np.random.Generator, plan: list[_Scheme], illicit: _Payments, alarms: Ints, days: int
) -> _Payments:
    """Cash deposits: of the money to launder before its first hop, and of cash-heavy innocents."""
    first_hop = illicit.hop == 1
    total = np.bincount(illicit.scheme[first_hop], illicit.amount[first_hop], len(plan))
    begin = np.full(len(plan), _START + days * _DAY)
    np.minimum.at(begin, illicit.scheme[first_hop], illicit.second[first_hop])
    holder = np.concatenate([[scheme.accounts[0] for scheme in plan], alarms]).astype(np.int64)
    money = np.concatenate([1.05 * total, rng.lognormal(9.9, 0.4, len(alarms)) * 100])
    until = np.concatenate([begin, np.full(len(alarms), _START + days * _DAY)])
    pieces = rng.integers(4, 12, len(holder))
    who = np.repeat(np.arange(len(holder)), pieces)
    share = rng.uniform(0.5, 1.5, len(who))
    share /= np.bincount(who, share, len(holder))[who]
    amount = np.maximum(1, np.round(share * money[who])).astype(np.int64)
    second = _START + (rng.random(len(who)) * (until[who] - _START)).astype(np.int64)
    n = len(who)
    scheme = np.where(who < len(plan), who, -1)
    return _Payments(
        np.full(n, _CASH), holder[who], second, amount, np.full(n, _CASH_CHANNEL), scheme,
        np.where(scheme >= 0, 0, -1),
    )  # fmt: skip


def _sorted(*parts: _Payments) -> _Payments:
    columns = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("payer", "payee", "second", "amount", "channel", "scheme", "hop")
    ]
    order = np.argsort(columns[2], kind="stable")
    return _Payments(*(column[order] for column in columns))


def _numbered(prefix: str, n: int) -> NDArray[np.str_]:
    return np.char.add(prefix, np.char.zfill(np.arange(1, n + 1).astype(str), 9))


def _names(rng: np.random.Generator, accounts: int) -> NDArray[np.str_]:
    """Names in random order, so that they tell neither the bank nor the scheme."""
    return np.char.add("A", np.char.zfill(rng.permutation(accounts).astype(str), 7))


def _account_table(
    rng: np.random.Generator,
    names: NDArray[np.str_],
    bank: NDArray[np.str_],
    payments: _Payments,
    plan: list[_Scheme],
    alarms: Ints,
) -> pa.Table:
    n = len(names)
    ordinary = (payments.scheme < 0) & (payments.payer >= 0)
    spent = np.bincount(payments.payer[ordinary], payments.amount[ordinary], n)
    balance = np.round(spent * rng.uniform(0.2, 1.5, n) + rng.lognormal(6.0, 1.0, n) * 100)
    opened = _OPENED + rng.integers(0, 5600, n)
    kind = np.where(rng.random(n) < 0.2, "business", "personal")
    order = np.lexsort((names, bank))
    columns = {
        "bank": bank,
        "account": names,
        "customer": np.char.add("C", np.char.zfill(rng.permutation(n).astype(str), 7)),
        "opened": opened,
        "kind": kind,
        "risk_score": _risk(rng, n, plan, alarms),
    }
    table = pa.table({name: column[order] for name, column in columns.items()})
    return table.append_column("balance", decimal_column(balance.astype(np.int64)[order]))


def _risk(rng: np.random.Generator, n: int, plan: list[_Scheme], alarms: Ints) -> Floats:
    """What the own bank alone suspects; see the module's text."""
    risk = rng.beta(1.2, 14.0, n)
    suspicious = np.array([scheme.accounts[0] for scheme in plan], np.int64)
    seen = suspicious[rng.random(len(suspicious)) < 0.8]
    risk[seen] = rng.beta(6.0, 2.5, len(seen))
    risk[alarms] = rng.beta(6.0, 2.5, len(alarms))
    return np.round(risk, 3)


def _payment_table(
    payments: _Payments, tx_id: NDArray[np.str_], names: NDArray[np.str_], bank: NDArray[np.str_]
) -> pa.Table:
    cash = payments.payer == _CASH
    return pa.table(
        {
            "tx_id": tx_id,
            "timestamp": payments.second * 1_000_000,
            "from_bank": np.where(cash, "cash", bank[payments.payer]),
            "from_account": np.where(cash, "cash", names[payments.payer]),
            "to_bank": bank[payments.payee],
            "to_account": names[payments.payee],
            "amount": decimal_column(payments.amount),
            "currency": pa.array(["EUR"]).take(pa.array(np.zeros(len(tx_id), np.int64))),
            "channel": _CHANNELS[payments.channel],
        }
    )


def _typology(scheme: _Scheme) -> str:
    return "cycle" if scheme.cycle else "chain"


def _label_table(names: NDArray[np.str_], bank: NDArray[np.str_], plan: list[_Scheme]) -> pa.Table:
    scheme = np.full(len(names), -1)
    for number, planned in enumerate(plan):
        scheme[planned.accounts] = number
    order = np.lexsort((names, bank))
    scheme = scheme[order]
    pattern, typology = _scheme_columns(plan, scheme)
    return pa.table(
        {
            "bank": bank[order],
            "account": names[order],
            "is_illicit": scheme >= 0,
            "pattern": pattern,
            "typology": typology,
        }
    )


def _scheme_columns(plan: list[_Scheme], scheme: Ints) -> tuple[pa.Array, pa.Array]:
    """Pattern and typology for each scheme number; null for -1."""
    number = pa.array(scheme, mask=scheme < 0)
    patterns = pa.array([f"p{i + 1:04d}" for i in range(len(plan))], pa.string())
    typologies = pa.array([_typology(planned) for planned in plan], pa.string())
    return patterns.take(number), typologies.take(number)


def _pattern_table(payments: _Payments, tx_id: NDArray[np.str_], plan: list[_Scheme]) -> pa.Table:
    """Every payment of a scheme; hop 0 are the cash deposits."""
    rows = np.flatnonzero(payments.scheme >= 0)
    rows = rows[np.argsort(payments.scheme[rows], kind="stable")]
    pattern, typology = _scheme_columns(plan, payments.scheme[rows])
    return pa.table(
        {"pattern": pattern, "typology": typology, "tx_id": tx_id[rows], "hop": payments.hop[rows]}
    )
