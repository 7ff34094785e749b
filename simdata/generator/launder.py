"""The money of the schemes: amounts, cuts and times of every payment, all schemes at once.

Hop by hop: an account passes on what it has received, minus a cut that it keeps, once a delay has
passed since the last of it came in.  What it passes on is divided over its steps of that hop, and a
step over several payments within an hour (within a day, if they are kept below the limit).  Before,
the money may come in as cash, over several days.
"""

from dataclasses import dataclass

import numpy as np

from simdata.generator.clock import daytime
from simdata.generator.config import Laundering, Range
from simdata.generator.payments import CASH, DAY, Floats, Ints, Payments, channel, stacked
from simdata.generator.schemes import Plan
from simdata.generator.typologies import TYPOLOGIES

__all__ = ["launder"]

_HOUR = 3600
_PLACING = 10 * DAY


@dataclass(frozen=True)
class _Times:
    """Seconds since the start of the window (before :func:`_fit`: of the scheme).

    Attributes:
        ready: float64 (m,), when each member with money at the start is ready to pay.
        moment: float64 (e,), when the payments of each step begin.
        spread: float64 (s,), time within which they lie, for each scheme.
    """

    ready: Floats
    moment: Floats
    spread: Floats


def launder(rng: np.random.Generator, plan: Plan, setting: Laundering, days: int) -> Payments:
    """All payments of all schemes, cash deposits as hop 0."""
    if len(plan) == 0:
        return Payments.empty()
    below = np.array([TYPOLOGIES[name].below_limit for name in plan.typology])
    held = _start_money(rng, plan, setting)
    start = held.copy()
    amount = _pass_on(rng, plan, setting, held)
    spread = np.where(below, DAY, _HOUR).astype(float)
    times = _fit(rng, plan, _moments(rng, plan, setting.delay_hours, spread), days)
    steps = _step_payments(rng, plan, setting, amount, times, below)
    return stacked([_placements(rng, plan, setting, start, times.ready, below), steps])


def _start_money(rng: np.random.Generator, plan: Plan, setting: Laundering) -> Floats:
    """Money of each member at the start, in hundredths."""
    money = rng.lognormal(
        np.log(setting.amount.median * 100), setting.amount.sigma, len(plan.entry)
    )
    return np.where(plan.entry, money, 0.0)


def _pass_on(rng: np.random.Generator, plan: Plan, setting: Laundering, held: Floats) -> Floats:
    """Amount of each step in hundredths; ``held`` becomes what is kept."""
    kept = rng.uniform(setting.cut.low, setting.cut.high, len(plan.account))
    part = rng.uniform(0.5, 1.5, len(plan.hop))
    amount = np.zeros(len(plan.hop))
    for hop in range(1, int(plan.hop.max()) + 1):
        steps = np.flatnonzero(plan.hop == hop)
        source, target = plan.source[steps], plan.target[steps]
        whole = np.bincount(source, part[steps], len(held))[source]
        amount[steps] = held[source] * (1 - kept[source]) * part[steps] / whole
        held -= np.bincount(source, amount[steps], len(held))
        held += np.bincount(target, amount[steps], len(held))
    return amount


def _moments(rng: np.random.Generator, plan: Plan, delay_hours: Range, spread: Floats) -> _Times:
    ready = np.where(plan.entry, rng.uniform(0, DAY, len(plan.account)), 0.0)
    begin = ready.copy()
    moment = np.zeros(len(plan.hop))
    delay = _HOUR * rng.uniform(delay_hours.low, delay_hours.high, len(plan.hop))
    for hop in range(1, int(plan.hop.max()) + 1):
        steps = np.flatnonzero(plan.hop == hop)
        moment[steps] = ready[plan.source[steps]] + delay[steps]
        target = plan.target[steps]
        np.maximum.at(ready, target, moment[steps] + spread[plan.scheme[target]])
    return _Times(begin, moment, spread)


def _fit(rng: np.random.Generator, plan: Plan, times: _Times, days: int) -> _Times:
    """Put each scheme into the last three quarters of the window; none is longer than 0.6 of it."""
    scheme = plan.scheme[plan.source]
    span = np.zeros(len(plan))
    np.maximum.at(span, scheme, times.moment)
    span += times.spread
    scale = np.minimum(1.0, 0.6 * days * DAY / span)
    start = rng.uniform(0.25 * days * DAY, days * DAY - span * scale)
    return _Times(
        start[plan.scheme] + times.ready * scale[plan.scheme],
        start[scheme] + times.moment * scale[scheme],
        times.spread * scale,
    )


def _step_payments(
    rng: np.random.Generator,
    plan: Plan,
    setting: Laundering,
    amount: Floats,
    times: _Times,
    below: np.ndarray,
) -> Payments:
    scheme = plan.scheme[plan.source]
    low, high = int(setting.parts.low), int(setting.parts.high)
    parts = rng.integers(low, high + 1, len(amount))
    parts = np.where(below[scheme], np.maximum(parts, _below(rng, setting, amount)), parts)
    step, cents = _split(rng, amount, parts, _most(setting, below[scheme]))
    later = rng.random(len(step)) * times.spread[scheme[step]]
    second = daytime((times.moment[step] + later).astype(np.int64))
    by = rng.integers(0, 2, len(step))  # wire or instant
    return _illicit(
        plan.account[plan.source[step]], plan.account[plan.target[step]], second, cents, by,
        scheme[step], plan.hop[step],
    )  # fmt: skip


def _below(rng: np.random.Generator, setting: Laundering, amount: Floats) -> Ints:
    """How many payments keep each amount below the limit, each mostly at 0.6 to 0.95 of it."""
    usual = setting.limit * 100 * rng.uniform(0.6, 0.9, len(amount))
    parts: Ints = np.maximum(1, np.ceil(amount / usual)).astype(np.int64)
    return parts


def _most(setting: Laundering, below: np.ndarray) -> Floats:
    """What each part must stay below, in hundredths."""
    return np.where(below, setting.limit * 100, np.inf)


def _placements(
    rng: np.random.Generator,
    plan: Plan,
    setting: Laundering,
    money: Floats,
    ready: Floats,
    below: np.ndarray,
) -> Payments:
    """Cash deposits of the money of each entry, in the days before its first step."""
    member = np.flatnonzero(plan.entry & plan.placed[plan.scheme])
    scheme = plan.scheme[member]
    pieces = rng.integers(4, 12, len(member))
    pieces = np.where(below[scheme], _below(rng, setting, money[member]), pieces)
    piece, cents = _split(rng, money[member], pieces, _most(setting, below[scheme]))
    begin = np.maximum(0.0, ready[member] - _PLACING)
    length = np.maximum(1.0, ready[member] - begin)
    second = (begin[piece] + rng.random(len(piece)) * length[piece]).astype(np.int64)
    holder, number = plan.account[member[piece]], scheme[piece]
    n = len(piece)
    return _illicit(
        np.full(n, CASH), holder, daytime(second), cents, np.full(n, channel("cash")), number,
        np.zeros(n, np.int64),
    )  # fmt: skip


def _split(
    rng: np.random.Generator, amount: Floats, parts: Ints, most: Floats
) -> tuple[Ints, Ints]:
    """Each amount in so many parts: the amount of each part (its place), and its hundredths.

    Parts differ a little; those of an amount of which one would not be below ``most`` do not.
    """
    whole = np.repeat(np.arange(len(amount)), parts)
    share = rng.uniform(0.85, 1.0, len(whole))  # hardly a part is more than 1.09 times the mean
    share /= np.bincount(whole, share, len(amount))[whole]
    even = np.bincount(whole, share * amount[whole] >= most[whole], len(amount)) > 0
    share = np.where(even[whole], 1 / parts[whole], share)
    cents = np.maximum(1, np.floor(share * amount[whole])).astype(np.int64)
    return whole, cents


def _illicit(
    payer: Ints, payee: Ints, second: Ints, cents: Ints, by: Ints, scheme: Ints, hop: Ints
) -> Payments:
    return Payments(
        payer.astype(np.int32), payee.astype(np.int32), second.astype(np.int32), cents,
        by.astype(np.int8), scheme.astype(np.int32), hop.astype(np.int16),
    )  # fmt: skip
