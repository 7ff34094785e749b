"""The accounts: their banks, who holds them, and what part they play.

The roles that make an account a hub (employers, shops, landlords) are skewed like a Pareto
distribution: a few have most of it.  Accounts are numbered bank by bank.
"""

from dataclasses import dataclass

import numpy as np

from simdata.generator.config import Behaviour, LookAlikes, Size
from simdata.generator.payments import Floats, Ints

__all__ = ["Population", "draw_population", "pick", "pick_payee"]

_LEAST_AT_A_BANK = 5
_TOP = 100.0


@dataclass(frozen=True)
class Population:
    """Accounts as arrays (n,).

    Attributes:
        bank: int64, number of the bank, rising.
        company: bool, whether a company holds the account.
        activity: float64, how much it pays, relative to others.
        employer, shop, landlord, supplier: float64, how much it is paid (or pays) in that role; 0
            if it does not have it.
        biller: the same for telephone, power and insurance.
        lookalike: int64, place in the fields of :class:`LookAlikes`; -1: none.
    """

    bank: Ints
    company: np.ndarray
    activity: Floats
    employer: Floats
    shop: Floats
    landlord: Floats
    supplier: Floats
    biller: Floats
    lookalike: Ints

    def __len__(self) -> int:
        return len(self.bank)

    def quiet(self) -> Ints:
        """Accounts that may be in a scheme: no look-alikes, no large hubs, the quieter 90 %."""
        hub = (self.shop + self.employer + self.landlord + self.biller) > 3.0
        calm = self.activity <= np.quantile(self.activity, 0.9)
        free: Ints = np.flatnonzero(calm & ~hub & (self.lookalike < 0))
        return free


def draw_population(
    rng: np.random.Generator, size: Size, behaviour: Behaviour, lookalikes: LookAlikes
) -> Population:
    """Draw all accounts."""
    n = size.accounts
    company = rng.random(n) < behaviour.companies
    company[rng.integers(0, n, 2)] = True  # somebody must be there to be paid
    return Population(
        bank=_banks(size.banks, n, size.bank_skew),
        company=company,
        activity=np.minimum(rng.pareto(1.6, n), _TOP) + 0.2,
        employer=_role(rng, company, 0.3, 1.1),
        shop=_role(rng, company, 0.4, 1.1),
        landlord=_role(rng, company, 0.1, 1.6) + _role(rng, ~company, 0.02, 2.5),
        supplier=_role(rng, company, 0.8, 1.4),
        biller=_role(rng, company, 0.05, 1.2),
        lookalike=_lookalikes(rng, company, lookalikes),
    )


def _banks(banks: int, accounts: int, skew: float) -> Ints:
    """The bank of each account: sizes fall with the bank's number, none below 5 accounts."""
    share = np.arange(1, banks + 1, dtype=float) ** -skew
    spare = accounts - _LEAST_AT_A_BANK * banks
    sizes = _LEAST_AT_A_BANK + np.floor(spare * share / share.sum()).astype(np.int64)
    sizes[0] += accounts - sizes.sum()
    bank: Ints = np.repeat(np.arange(banks), sizes)
    return bank


def _role(rng: np.random.Generator, among: np.ndarray, share: float, shape: float) -> Floats:
    """Weights of a role: for a share of the accounts ``among``, one of them at least."""
    n = len(among)
    weight = np.minimum(rng.pareto(shape, n), _TOP) + 0.1
    chosen = among & (rng.random(n) < share)
    if not chosen.any() and among.any():
        chosen[rng.choice(np.flatnonzero(among))] = True
    weight[~chosen] = 0.0
    return weight


def _lookalikes(rng: np.random.Generator, company: np.ndarray, shares: LookAlikes) -> Ints:
    """The look-alikes: companies, but for landlords and savings circles, which are people."""
    kind = np.full(len(company), -1)
    people = rng.permutation(np.flatnonzero(~company))
    companies = rng.permutation(np.flatnonzero(company))
    private = {"landlords", "savings_circles"}
    taken = {True: 0, False: 0}
    for place, (name, share) in enumerate(shares.model_dump().items()):
        stock = people if name in private else companies
        start = taken[name in private]
        end = min(start + round(share * len(company)), len(stock) // 2)
        kind[stock[start:end]] = place
        taken[name in private] = max(start, end)
    return kind


def pick(rng: np.random.Generator, weight: Floats, n: int) -> Ints:
    """``n`` places of ``weight``, drawn in proportion to it; none if all weights are 0."""
    ladder = np.cumsum(weight)
    if len(ladder) == 0 or ladder[-1] <= 0:
        return np.empty(0, np.int64)
    drawn: Ints = np.searchsorted(ladder, rng.random(n) * ladder[-1], side="right")
    return np.minimum(drawn, len(weight) - 1)


def pick_payee(
    rng: np.random.Generator, bank: Ints, payer: Ints, weight: Floats, home: float
) -> Ints:
    """A payee for each payer in proportion to ``weight``, a share ``home`` of them at its bank.

    A payer with nobody to pay at its own bank pays at any; one that would pay itself pays the next
    account with a weight.  Empty if fewer than two accounts have a weight.
    """
    able = np.flatnonzero(weight > 0)
    if len(able) < 2:
        return np.empty(0, np.int64)
    ladder = np.concatenate([[0.0], np.cumsum(weight[able])])
    edges = np.arange(int(bank.max()) + 2)
    border = ladder[np.searchsorted(bank[able], edges, side="left")]
    at = bank[payer]
    inside = (rng.random(len(payer)) < home) & (border[at + 1] > border[at])
    low = np.where(inside, border[at], 0.0)
    high = np.where(inside, border[at + 1], ladder[-1])
    point = low + rng.random(len(payer)) * (high - low)
    place = np.clip(np.searchsorted(ladder, point, side="right") - 1, 0, len(able) - 1)
    place = np.where(able[place] == payer, (place + 1) % len(able), place)
    payee: Ints = able[place]
    return payee
