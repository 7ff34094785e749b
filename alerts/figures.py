"""What an alert says: its reason in words and its figures, from released values and run facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from alerts.evaluate import Hits
from alerts.results import Aligned
from alerts.words import number_text

__all__ = ["MOST_ACCOUNTS", "Found", "describe_hits", "subject_text"]

MOST_ACCOUNTS = 20
"""Accounts of one customer whose figures stand in a sighting; the alert names all accounts."""


@dataclass(frozen=True)
class Found:
    """One customer found by one rule.

    Attributes:
        subject: whom it is about. strength: value of the leading analysis for the most telling
        account. reason: why, in words. figures: why, in numbers (JSON).
    """

    subject: str
    strength: float
    reason: str
    figures: dict[str, Any]


def subject_text(subject: str) -> str:
    """Return whom a subject is, in words.

    >>> subject_text("customer:C1"), subject_text("account:A1")
    ('customer C1', 'account A1')
    """
    kind, _colon, name = subject.partition(":")
    return f"{kind} {name}"


def describe_hits(hits: Hits, data: Aligned) -> list[Found]:
    """Put each group of hits into words and figures."""
    places = np.arange(len(hits.row)) - np.repeat(hits.start[:-1], np.diff(hits.start))
    shown = np.flatnonzero(places < MOST_ACCOUNTS)
    figures = _account_figures(hits, data, shown)
    first = np.searchsorted(shown, hits.start)
    sizes = np.diff(hits.start).tolist()
    facts = _run_figures(hits, data)
    return [
        _found(hits, subject, figures[first[g] : first[g + 1]], sizes[g], facts)
        for g, subject in enumerate(hits.subjects)
    ]


def _account_figures(hits: Hits, data: Aligned, shown: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the figures of each shown account, most telling analysis first."""
    row = hits.row[shown]
    names = data.accounts.take(pa.array(row)).to_pylist()
    analyses = _analyses(hits, data)
    values = {a: _numbers(data.values[a][row]) for a in analyses}
    before = {a: _numbers(data.previous[a][row]) for a in analyses}
    lead = [hits.rule.joint[i].analysis for i in hits.lead[shown].tolist()]
    held = hits.held[shown].tolist()
    return [
        {
            "account": name,
            "held": held[i],
            "lead": lead[i],
            "values": {
                a: {"value": values[a][i], "previous": before[a][i]}
                for a in analyses
                if values[a][i] is not None
            },
        }
        for i, name in enumerate(names)
    ]


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    """Return the values with None for NaN, which JSON does not have."""
    return [None if value != value else value for value in values.tolist()]


def _analyses(hits: Hits, data: Aligned) -> list[str]:
    named = dict.fromkeys(condition.analysis for condition in hits.rule.joint)
    return [analysis for analysis in named if analysis in data.values]


def _run_figures(hits: Hits, data: Aligned) -> dict[str, Any]:
    """Return the facts of the runs that the rule looked at."""
    return {
        analysis: {
            "run_id": run.run_id,
            "policy": run.policy,
            "agreement": run.agreement,
            "at": run.at,
            "since": run.since,
            "until": run.until,
            "previous_run": data.before[analysis].run_id if analysis in data.before else None,
        }
        for analysis in _analyses(hits, data)
        for run in (data.runs[analysis],)
    }


def _found(
    hits: Hits,
    subject: str,
    accounts: Sequence[dict[str, Any]],
    count: int,
    runs: Mapping[str, Any],
) -> Found:
    top = accounts[0]
    pair = top["values"][top["lead"]]
    rise = None if pair["previous"] is None else pair["value"] - pair["previous"]
    reason = hits.rule.reason.format(
        rule=hits.rule.name,
        severity=hits.rule.severity.name.lower(),
        customer=subject_text(subject),
        account=top["account"],
        accounts=count,
        analysis=top["lead"],
        value=number_text(pair["value"]),
        percent=f"{100 * pair['value']:.3g} %",
        previous=number_text(pair["previous"]),
        rise=number_text(rise),
    )
    figures = {"accounts": list(accounts), "count": count, "runs": dict(runs)}
    return Found(subject, pair["value"], reason, figures)
