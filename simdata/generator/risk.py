"""The risk score that each account has from its own bank, and how it errs.

Three signals, each from 0 to 1, from the account's own payments (``account_view``):

- *cash*: share of cash in the money received,
- *velocity*: share of the money received that left within a day,
- *structuring*: 1 - 2^-k for k deposits of cash between half the reporting limit and the limit;

the first two are scaled down for accounts that received little, by r / (r + 2,000 euros).  With the
weights w of the configuration, the score is 1 - (1 - b)(1 - w s)(1 - w s)(1 - w s), where b, below
0.1 for six accounts of seven, is all that a bank has against an account without signals.

It errs in four stated ways: the signals of a share ``missed`` of the accounts are overlooked; a
share ``false_alarms`` has a high score for no reason in the data; ``noise`` is added to all; and
the signals themselves are innocent at cash-heavy shops, marketplaces and treasuries.  No score uses
a label or another bank's payments.
"""

import numpy as np

from simdata.generator.account_view import cash_share, near_limit_deposits, passed_on, received
from simdata.generator.config import Risk
from simdata.generator.payments import Floats, Payments

__all__ = ["risk_scores"]

_LITTLE = 200_000.0  # hundredths


def risk_scores(
    rng: np.random.Generator, payments: Payments, n: int, limit: float, setting: Risk
) -> Floats:
    """The score of each of ``n`` accounts, with three decimals; ``limit`` in hundredths."""
    size = received(payments, n)
    size = size / (size + _LITTLE)
    signals = (
        setting.cash * cash_share(payments, n) * size,
        setting.velocity * passed_on(payments, n) * size,
        setting.structuring
        * (1.0 - np.exp2(-near_limit_deposits(payments, n, limit).astype(float))),
    )
    innocent = np.asarray(1.0 - rng.beta(1.0, 19.0, n), np.float64)
    seen = rng.random(n) >= setting.missed
    for signal in signals:
        innocent *= np.where(seen, 1.0 - signal, 1.0)
    score = 1.0 - innocent + rng.normal(0.0, setting.noise, n)
    alarmed = np.flatnonzero(rng.random(n) < setting.false_alarms)
    score[alarmed] = np.maximum(score[alarmed], rng.beta(6.0, 2.5, len(alarmed)))
    return np.asarray(np.round(np.clip(score, 0.0, 1.0), 3), np.float64)
