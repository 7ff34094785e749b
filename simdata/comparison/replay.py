"""The same detection day by day: how long after a scheme's first payment its accounts are flagged.

On each day every bank knows the payments so far.  Marks, analyses and scores are computed from
those alone, and each bank looks at the accounts at the head of its list; an account counts as
flagged from the first day, not before its scheme begins, that it is among the budget's alerts.  The
budget is of accounts under watch on a day, not of new alerts; how many accounts are ever flagged is
told with it, for alone and joint.

The initial risk scores of a data set stand for its whole window, and so would know the future: they
count as 0 here.  What is left are the bank's signals of the payments so far.

The joint detection is computed in plain over all payments, which the secure run equals to its
stated accuracy (``agreement``), or by the secure runs themselves (``secure_days``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bank_node.errors import ParameterError
from simdata.comparison.analyses import alone, pooled
from simdata.comparison.combining import Model, analysis_signals
from simdata.comparison.local_signals import local_signals
from simdata.comparison.marking import Marks, mark
from simdata.comparison.measures import chosen
from simdata.comparison.payments import Labelled, Payments, listed_payments, until
from simdata.comparison.worlds import cross_bank_accounts

__all__ = ["REPLAYED", "Replay", "replay_days", "scheme_spans"]

REPLAYED = ("alone", "joint")
World = Callable[[Labelled, Payments, Marks], dict[str, NDArray[np.float64]]]
"""From data set, payments so far and marks to the results of all analyses, (n,) each."""

_NEVER = -1
_DAY = 86_400_000_000


@dataclass(frozen=True)
class Replay:
    """What was flagged when.

    Attributes:
        days: float64 (d,), days from the start of the window to each evaluation.
        flagged_illicit: for each world the illicit accounts flagged so far, int64 (d,).
        flagged_all: for each world all accounts flagged so far, int64 (d,).
        schemes: one row per scheme and world: pattern, typology, cross_bank, first_day, last_day,
            flagged_day (None if never), days_after (None if never), accounts, accounts_flagged.
        first: for each world the number of the evaluation at which each account was first flagged,
            int64 (n,), -1 if never.
        summary: for each world schemes, flagged, before_end, median_days, illicit_flagged and
            false_alarms.
    """

    days: NDArray[np.float64]
    flagged_illicit: Mapping[str, NDArray[np.int64]]
    flagged_all: Mapping[str, NDArray[np.int64]]
    schemes: list[dict[str, Any]]
    first: Mapping[str, NDArray[np.int64]]
    summary: Mapping[str, dict[str, Any]]


def replay_days(
    data: Labelled,
    model: Model,
    every: int,
    budget: float,
    on_step: Callable[[int, int], None] = lambda _done, _total: None,
    joint: World = pooled,
) -> Replay:
    """Run the detection at the end of each period.

    Args:
        data: the data set.
        model: the weights.
        every: length of a period, microseconds.
        budget: share of the accounts under watch on a day.
        on_step: called with (done, total).
        joint: gives the results of the joint analyses over some payments.

    Raises:
        ParameterError: the data set has no payments or no named schemes.
    """
    if len(data.payments.time) == 0 or not np.any(data.labels.pattern != ""):
        raise ParameterError(
            f"{data.dataset.name}: there are no payments with named schemes to follow",
            "Give a data set whose labels name the pattern of an account",
        )
    unscored = replace(data, risk=np.zeros(len(data)))
    start = int(data.payments.time[0]) // _DAY * _DAY
    ends = _ends(start, int(data.payments.time[-1]), every)
    spans = scheme_spans(data)
    begin = np.array([spans[p][0] if p in spans else start for p in data.labels.pattern.tolist()])
    first = {world: np.full(len(data), _NEVER, np.int64) for world in REPLAYED}
    alerts = max(1, round(budget * len(data)))
    for step, end in enumerate(ends):
        on_step(step, len(ends))
        for world, score in _scores(unscored, model, until(data.payments, end), joint):
            flagged = chosen(data.bank, score, alerts) & (score > 0)
            # A flag before the first payment of the scheme is luck, not detection.
            first[world][flagged & (end > begin) & (first[world] == _NEVER)] = step
    on_step(len(ends), len(ends))
    days = (np.array(ends) - start) / _DAY
    schemes = _schemes(data, spans, first, days, start)
    return Replay(
        days=days,
        flagged_illicit=_growth(first, data.labels.illicit, len(ends)),
        flagged_all=_growth(first, np.ones(len(data), np.bool_), len(ends)),
        schemes=schemes,
        first=first,
        summary={world: _summary(schemes, world, first[world], data) for world in REPLAYED},
    )


def _ends(start: int, last: int, every: int) -> list[int]:
    """Return the ends of the periods; the last covers the last payment."""
    return [start + every * (k + 1) for k in range((last - start) // every + 1)]


def _scores(
    data: Labelled, model: Model, payments: Payments, joint: World
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Return the score of each account in both worlds; 0 for one without any payment so far."""
    signals = local_signals(data, payments)
    moved = np.zeros(len(data) + 1, np.bool_)
    moved[payments.source] = True
    moved[payments.target] = True
    local = np.where(moved[:-1], model.local.probability(signals), 0.0)
    marks = mark(data, local)
    for world, weights, analyse in (
        ("alone", model.alone, alone),
        ("joint", model.joint, joint),
    ):
        found = analysis_signals(analyse(data, payments, marks))
        score = weights.probability(np.concatenate([signals, found], axis=1))
        yield world, np.where(moved[:-1], score, 0.0)


def _growth(
    first: Mapping[str, NDArray[np.int64]], among: NDArray[np.bool_], steps: int
) -> dict[str, NDArray[np.int64]]:
    """Return how many of some accounts were flagged by the end of each period."""
    return {
        world: np.cumsum(np.bincount(when[among & (when != _NEVER)], minlength=steps))
        for world, when in first.items()
    }


def _schemes(
    data: Labelled,
    spans: Mapping[str, tuple[int, int]],
    first: Mapping[str, NDArray[np.int64]],
    days: NDArray[np.float64],
    start: int,
) -> list[dict[str, Any]]:
    crossing = cross_bank_accounts(data)
    rows = []
    for pattern in np.unique(data.labels.pattern[data.labels.pattern != ""]):
        members = np.flatnonzero((data.labels.pattern == pattern) & data.labels.illicit)
        if len(members) == 0 or str(pattern) not in spans:
            continue
        begin, end = ((moment - start) / _DAY for moment in spans[str(pattern)])
        for world, when in first.items():
            found = [float(days[w]) for w in when[members] if w != _NEVER]
            flagged = min(found, default=None)
            rows.append(
                {
                    "pattern": str(pattern),
                    "typology": str(data.labels.typology[members[0]]),
                    "world": world,
                    "cross_bank": bool(crossing[members].any()),
                    "first_day": begin,
                    "last_day": end,
                    "flagged_day": flagged,
                    "days_after": None if flagged is None else flagged - begin,
                    "accounts": len(members),
                    "accounts_flagged": len(found),
                }
            )
    return rows


def scheme_spans(data: Labelled) -> dict[str, tuple[int, int]]:
    """Return the times of the first and last payment of each scheme, without cash deposits.

    Where no payments of named schemes are listed: those between two accounts of a scheme.
    """
    source, target = data.payments.source, data.payments.target
    pattern = np.append(data.labels.pattern, "")  # the last stands for -1, outside
    named = (pattern[source] != "") & (pattern[source] == pattern[target])
    listed = listed_payments(data, named=True)
    if listed is not None:
        named &= listed
    names, times = pattern[source[named]], data.payments.time[named]
    order = np.lexsort((times, names))
    names, times = names[order], times[order]
    found, begin, count = np.unique(names, return_index=True, return_counts=True)
    return {
        str(name): (int(times[b]), int(times[b + c - 1]))
        for name, b, c in zip(found, begin, count, strict=True)
    }


def _summary(
    schemes: Sequence[Mapping[str, Any]], world: str, when: NDArray[np.int64], data: Labelled
) -> dict[str, Any]:
    rows = [row for row in schemes if row["world"] == world]
    waits = [row["days_after"] for row in rows if row["days_after"] is not None]
    early = [r for r in rows if r["flagged_day"] is not None and r["flagged_day"] <= r["last_day"]]
    return {
        "schemes": len(rows),
        "flagged": len(waits),
        "before_end": len(early),
        "median_days": float(np.median(waits)) if waits else None,
        "illicit_flagged": int(np.count_nonzero((when != _NEVER) & data.labels.illicit)),
        "false_alarms": int(np.count_nonzero((when != _NEVER) & ~data.labels.illicit)),
    }
