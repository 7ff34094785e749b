"""Innocent accounts whose payments look like a scheme: the false alarms of a good detector.

Each kind is the innocent twin of a typology; see :class:`simdata.generator.config.LookAlikes`.  The
partners of a look-alike are ordinary accounts, half of them at other banks or more.
"""

from collections.abc import Callable

import numpy as np

from simdata.generator.clock import SHOPS, daytime, draw_seconds, monthly
from simdata.generator.config import LookAlikes, Size
from simdata.generator.payments import CASH, DAY, Ints, Payments, channel, stacked
from simdata.generator.population import Population

__all__ = ["draw_lookalikes"]

_MONTH = 30.4


def draw_lookalikes(
    rng: np.random.Generator, people: Population, partners: Ints, size: Size, limit: float
) -> list[Payments]:
    """The payments of all look-alikes.

    Args:
        rng: source of randomness.
        people: the accounts; ``lookalike`` says which are what.
        partners: ordinary accounts that pay and are paid by them.
        size: the window.
        limit: amount from which cash must be reported, in euros.
    """
    parts = []
    for place, name in enumerate(LookAlikes.model_fields):
        who = np.flatnonzero(people.lookalike == place)
        if len(who) and len(partners):
            parts.append(_KINDS[name](rng, rng.permutation(who), partners, size, limit))
    return parts


def _spokes(
    rng: np.random.Generator, who: Ints, partners: Ints, low: int, high: int
) -> tuple[Ints, Ints]:
    """From ``low`` to ``high`` partners for each account: place of the account, and the partner."""
    most = max(1, min(high, len(partners) - 1))
    hub = np.repeat(np.arange(len(who)), rng.integers(min(low, most), most + 1, len(who)))
    return hub, partners[rng.integers(0, len(partners), len(hub))]


def _landlords(
    rng: np.random.Generator, who: Ints, partners: Ints, size: Size, _limit: float
) -> Payments:
    hub, tenant = _spokes(rng, who, partners, 6, 25)
    rent = np.round(rng.lognormal(np.log(900.0), 0.3, len(hub)) / 10) * 1000
    row, day = monthly(size.start, size.days, rng.integers(1, 6, len(hub)))
    second = daytime(day * DAY + rng.integers(0, DAY, len(row)))
    return Payments.innocent(tenant[row], who[hub[row]], second, rent[row], channel("wire"))


def _payroll(
    rng: np.random.Generator, who: Ints, partners: Ints, size: Size, _limit: float
) -> Payments:
    hub, worker = _spokes(rng, who, partners, 20, 80)
    wage = rng.lognormal(np.log(2300.0), 0.35, len(hub)) * 100
    payday = np.array([5, 15, 28])[rng.integers(0, 3, len(who))]
    row, day = monthly(size.start, size.days, payday[hub])
    second = day * DAY + 5 * 3600 + rng.integers(0, 600, len(row))
    return Payments.innocent(who[hub[row]], worker[row], second, wage[row], channel("wire"))


def _marketplaces(
    rng: np.random.Generator, who: Ints, partners: Ints, size: Size, _limit: float
) -> Payments:
    """Buyers pay by card all day; sellers are paid the next morning, less a fee of a tenth."""
    hub, buyer = _spokes(rng, who, partners, 30, 120)
    seller_hub, seller = _spokes(rng, who, partners, 10, 30)
    price = rng.lognormal(np.log(60.0), 0.9, len(hub)) * 100
    bought = draw_seconds(rng, SHOPS, size.start, size.days, len(hub))
    paid_in = Payments.innocent(buyer, who[hub], bought, price, channel("card"))
    first = np.searchsorted(seller_hub, np.arange(len(who)))
    number = np.searchsorted(seller_hub, np.arange(len(who)), side="right") - first
    chosen = seller[first[hub] + (rng.random(len(hub)) * number[hub]).astype(np.int64)]
    next_day = (bought // DAY + 1) * DAY + 9 * 3600 + rng.integers(0, 3600, len(hub))
    inside = next_day < size.days * DAY
    paid_out = Payments.innocent(
        who[hub[inside]], chosen[inside], next_day[inside], 0.9 * price[inside], channel("instant")
    )
    return stacked([paid_in, paid_out])


def _cash_shops(
    rng: np.random.Generator, who: Ints, _partners: Ints, size: Size, limit: float
) -> Payments:
    """Takings paid in two or three times a week, of one shop in three just below the limit."""
    shop = np.repeat(np.arange(len(who)), rng.poisson(2.5 * size.days / 7, len(who)))
    level = rng.lognormal(np.log(1800.0), 0.6, len(who))
    level[rng.random(len(who)) < 1 / 3] = 0.75 * limit
    amount = level[shop] * rng.uniform(0.6, 1.3, len(shop)) * 100
    amount = np.round(np.minimum(amount, 99.0 * limit) / 500) * 500
    second = draw_seconds(rng, SHOPS, size.start, size.days, len(shop))
    return Payments.innocent(np.full(len(shop), CASH), who[shop], second, amount, channel("cash"))


def _rings(rng: np.random.Generator, who: Ints, low: int, high: int) -> tuple[Ints, Ints, Ints]:
    """Accounts cut into rings: the ring of each, and its payer and payee."""
    sizes = rng.integers(low, high + 1, len(who) // low + 1)
    border = np.cumsum(sizes)
    border = border[border <= len(who)]
    count = int(border[-1]) if len(border) else 0
    ring = np.searchsorted(border, np.arange(count), side="right")
    start = np.concatenate([[0], border])[:-1].astype(np.int64)
    last = np.isin(np.arange(count), border - 1)
    following = np.where(last, start[ring] if count else 0, np.arange(count) + 1)
    return ring, who[:count], who[following.astype(np.int64)]


def _savings_circles(
    rng: np.random.Generator, who: Ints, _partners: Ints, size: Size, _limit: float
) -> Payments:
    """Each month the pot of a few thousand goes on to the next member, a day or two apart."""
    ring, payer, payee = _rings(rng, who, 3, 6)
    pot = np.round(rng.lognormal(np.log(2000.0), 0.5, len(who)) / 50) * 5000
    months = max(1, round(size.days / _MONTH))
    row = np.tile(np.arange(len(payer)), months)
    place = row - np.searchsorted(ring, ring)[row]
    month = np.repeat(np.arange(months), len(payer))
    moment = (month + 0.2) * _MONTH * DAY + place * 1.5 * DAY + rng.uniform(0, DAY, len(row))
    inside = moment < size.days * DAY
    row, second = row[inside], daytime(moment[inside].astype(np.int64))
    return Payments.innocent(payer[row], payee[row], second, pot[ring[row]], channel("instant"))


def _treasuries(
    rng: np.random.Generator, who: Ints, partners: Ints, size: Size, _limit: float
) -> Payments:
    """Companies of a group sweep what came in to the next within hours, all but a small rest."""
    ring, payer, payee = _rings(rng, who, 3, 5)
    count = np.maximum(1, round(size.days / 7))
    row = np.tile(np.arange(len(payer)), count)
    place = row - np.searchsorted(ring, ring)[row]
    sweep = np.repeat(np.arange(count), len(payer))
    amount = rng.lognormal(np.log(9000.0), 0.5, len(who) * count)[ring[row] * count + sweep] * 100
    amount *= 0.98**place
    moment = (
        (sweep * 7 + ring[row] % 5) * DAY + (8 + 3 * place) * 3600 + rng.uniform(0, 3600, len(row))
    )
    last = np.append(ring[1:] != ring[:-1], True)[row]  # money does not come back to the first
    inside = (moment < size.days * DAY) & ~last
    row = row[inside]
    swept = Payments.innocent(
        payer[row], payee[row], moment[inside].astype(np.int64), amount[inside], channel("wire")
    )
    return stacked([swept, _customers(rng, swept, partners, place[inside] == 0)])


def _customers(
    rng: np.random.Generator, swept: Payments, partners: Ints, first: np.ndarray
) -> Payments:
    """What a customer paid to the first company of each sweep in the hours before."""
    rows = np.flatnonzero(first)
    second = np.maximum(
        0, swept.second[rows].astype(np.int64) - rng.integers(1, 5 * 3600, len(rows))
    )
    customer = partners[rng.integers(0, len(partners), len(rows))]
    amount = np.asarray(swept.amount[rows] * 1.02, np.float64)
    return Payments.innocent(
        customer, swept.payer[rows].astype(np.int64), second, amount, channel("wire")
    )


_Draw = Callable[[np.random.Generator, Ints, Ints, Size, float], Payments]
_KINDS: dict[str, _Draw] = {
    "landlords": _landlords,
    "payroll": _payroll,
    "marketplaces": _marketplaces,
    "cash_shops": _cash_shops,
    "savings_circles": _savings_circles,
    "treasuries": _treasuries,
}
