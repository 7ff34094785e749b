"""Alerts, cases and journals as answers."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from alerts import Action, AlertView, CaseView, Change, Entry, Outcome, Role, State
from alerts.queries import Seen
from bank_node.api.fields import Answer, Count, Level, Time, level_of
from bank_node.api.tables import time_of

__all__ = [
    "AlertLine",
    "CaseLine",
    "Changed",
    "JournalLine",
    "RunFacts",
    "Sighting",
    "alert_line",
    "case_line",
    "changed",
    "journal_line",
    "run_facts",
    "sighting",
]

_DAY = 86_400_000_000


class AlertLine(Answer):
    """An alert; ``version`` is named when it is changed."""

    id: int
    version: int
    status: str = Field(description="open, in-case or closed")
    rule: str
    severity: Level
    subject: str = Field(description="customer:… or account:…")
    case_id: int | None
    strength: float
    reason: str
    first_run: str
    last_run: str
    created_at: Time
    updated_at: Time


class CaseLine(Answer):
    """A case; ``version`` is named when it is changed."""

    id: int
    version: int
    state: State
    subject: str
    severity: Level
    assignee: str | None
    outcome: Outcome | None = Field(description="as what it is proposed to be closed, or was")
    opened_at: Time
    opened_by: str
    updated_at: Time
    updated_by: str
    closed_at: Time | None
    snoozed_until: Time | None
    snooze_used_days: float


class JournalLine(Answer):
    """One change of a case; ``version`` is the one that the case had after it."""

    case_id: int
    version: int
    at: Time
    person: str
    role: Role
    action: Action
    from_state: State | None
    to_state: State
    note: str
    details: dict[str, Any]


class Changed(Answer):
    """A case after a change, and the line that its journal got."""

    case: CaseLine
    entry: JournalLine


class RunFacts(Answer):
    """What every member knows of a run."""

    run_id: str
    policy: str
    agreement: str
    at: Time
    since: Time | None
    until: Time | None
    previous_run: str | None


class Pair(Answer):
    """A result and the one before."""

    value: float
    previous: float | None


class Told(Answer):
    """What the analyses said of an account."""

    account: str
    held: Count = Field(description="how many conditions of the rule held")
    lead: str = Field(description="the analysis that gives the reason")
    values: dict[str, Pair]


class Sighting(Answer):
    """What a run said about an alert."""

    run_id: str
    at: Time
    reason: str
    accounts: list[Told]
    count: Count
    runs: dict[str, RunFacts]


def alert_line(view: AlertView) -> AlertLine:
    """Return an alert as it is answered."""
    told: dict[str, Any] = vars(view) | {
        "severity": level_of(view.severity),
        "created_at": time_of(view.created_at),
        "updated_at": time_of(view.updated_at),
    }
    return AlertLine(**told)


def case_line(view: CaseView) -> CaseLine:
    """Return a case as it is answered."""
    told: dict[str, Any] = vars(view) | {"severity": level_of(view.severity)}
    for name in ("opened_at", "updated_at", "closed_at", "snoozed_until"):
        told[name] = time_of(told[name])
    told["snooze_used_days"] = told.pop("snooze_used") / _DAY
    return CaseLine(**told)


def journal_line(entry: Entry) -> JournalLine:
    """Return a line of a journal as it is answered."""
    told: dict[str, Any] = vars(entry) | {"at": time_of(entry.at)}
    return JournalLine(**told)


def changed(change: Change) -> Changed:
    """Return a change as it is answered."""
    return Changed(case=case_line(change.case), entry=journal_line(change.entry))


def run_facts(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, RunFacts]:
    """Return the facts of the runs that a rule looked at, by analysis."""
    times = ("at", "since", "until")
    return {
        analysis: RunFacts(**{**facts, **{name: time_of(facts[name]) for name in times}})
        for analysis, facts in runs.items()
    }


def sighting(seen: Seen) -> Sighting:
    """Return what a run said as it is answered."""
    figures = seen.figures
    return Sighting(
        run_id=seen.run_id,
        at=time_of(seen.at) or "",
        reason=seen.reason,
        accounts=figures["accounts"],
        count=figures["count"],
        runs=run_facts(figures["runs"]),
    )
