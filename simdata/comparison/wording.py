"""The words and numbers of a report, for readers who know banking and no machine learning."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from simdata.comparison.analyses import PARAMETERS
from simdata.comparison.summary import Mean, Summary
from simdata.dataset import Dataset

__all__ = [
    "MEASURES",
    "Measure",
    "count",
    "described",
    "headline",
    "interval",
    "parameters",
    "percent",
    "period",
    "points",
    "points_interval",
    "window",
]


@dataclass(frozen=True)
class Measure:
    """How a measure is told: what it is, and its name in the field."""

    label: str
    term: str


MEASURES: Mapping[str, Measure] = {
    "recall": Measure("illicit accounts that get an alert", "recall"),
    "recall_cross_bank": Measure("the same, of those in cross-bank schemes", "recall"),
    "precision": Measure("alerts that are right", "precision"),
    "pr_auc": Measure("alerts that are right, over all budgets", "PR-AUC"),
    "precision_at_20_recall": Measure(
        "alerts that are right when 20 % of the illicit are found", "precision at 20 % recall"
    ),
    "recall_at_precision_alone": Measure(
        "illicit found while as many alerts are right as alone", "recall at equal precision"
    ),
}
_ANALYSES = {
    "pagerank": "how much of the money from suspected accounts arrives at an account, however many"
    " payments later",
    "pagerank-both": "the same with payments followed both ways: also who paid a suspected account",
    "risk-propagation": "how suspected those are who paid an account, and those who paid them",
    "round-trip": "the share of an account's money that comes back to it",
}


def described(analysis: str) -> str:
    """Return what an analysis tells of an account; nothing for one without words yet."""
    return _ANALYSES.get(analysis, "")


def parameters(analysis: str) -> str:
    """Return the public parameters of an analysis."""
    return ", ".join(f"{key}={value}" for key, value in PARAMETERS[analysis].items())


def percent(value: float) -> str:
    """Return a share as a percentage.

    >>> percent(0.2555)
    '25.6 %'
    """
    return f"{100 * value:.1f} %"


def count(value: int) -> str:
    """Return a number with its thousands apart.

    >>> count(31823)
    '31,823'
    """
    return f"{value:,}"


def interval(value: Mean) -> str:
    """Return the 95 % interval of a share, in percent; nothing of a single data set.

    >>> interval(Mean(0.2, 0.151, 0.249))
    '15.1 to 24.9'
    """
    if value.low is None or value.high is None:
        return ""
    return f"{100 * value.low:.1f} to {100 * value.high:.1f}".replace("-", "−")


def points(value: float) -> str:
    """Return a difference of shares in percentage points, with its sign.

    >>> points(0.0204)
    '+2.0'
    """
    return f"{100 * value:+.1f}".replace("-", "−")


def points_interval(value: Mean) -> str:
    """Return the 95 % interval of a difference; nothing of a single data set."""
    if value.low is None or value.high is None:
        return ""
    return f"{points(value.low)} to {points(value.high)}"


def period(every: str) -> str:
    """Return how often something is done.

    >>> period("1d"), period("12h")
    ('Every day', 'Every 12 hours')
    """
    number, unit = int(every[:-1]), {"d": "day", "h": "hour"}[every[-1]]
    return f"Every {unit}" if number == 1 else f"Every {number} {unit}s"


def window(dataset: Dataset) -> str:
    """Return the first and the last day of the payments; nothing if they are unknown."""
    if dataset.first is None or dataset.last is None:
        return ""
    start = datetime(1970, 1, 1, tzinfo=UTC)
    days = [start + timedelta(microseconds=at) for at in (dataset.first, dataset.last)]
    return " to ".join(day.strftime("%Y-%m-%d") for day in days)


def headline(summary: Summary) -> str:
    """Return what was found in one sentence, whichever way it went."""
    alone, joint = (summary.means[w]["recall_cross_bank"].mean for w in ("alone", "secure"))
    gain = summary.gains["recall_cross_bank"]
    certain = gain.low is not None and gain.high is not None and gain.low * gain.high > 0
    told = f"{100 * alone:.1f} % alone, {100 * joint:.1f} % together"
    if abs(joint - alone) < 0.005:
        return f"With the same alerts, joining made no difference across banks: {told}."
    direction = "more" if joint > alone else "fewer"
    doubt = "" if certain else (
        " One data set cannot tell how much of the difference is chance."
        if gain.low is None
        else " The difference may be chance: its interval includes zero."
    )  # fmt: skip
    return (
        f"With the same number of alerts, the banks together find {direction} of the accounts in"
        f" cross-bank schemes: {told}.{doubt}"
    )
