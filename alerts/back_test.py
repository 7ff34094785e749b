"""A rule on stored runs, before it goes live: what it would have raised, and what became of those.

Nothing is written.  Alerts are taken to stay open, so an alert is *new* in the first run that finds
its customer.  How customers' cases were closed so far tells, as far as it is known, how many of the
alerts would have been worth the work.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.evaluate import find_hits
from alerts.local_view import LocalView
from alerts.people import Action, Person, check_permission
from alerts.results import Results, align
from alerts.rules import Rule
from alerts.states import CLOSED, State
from alerts.tables import Alert, Case

__all__ = ["BackTest", "BackTestRun", "back_test"]

_CHUNK = 5_000


@dataclass(frozen=True)
class BackTestRun:
    """What the rule found in one run: accounts, their customers, and customers not found before."""

    run_id: str
    accounts: int
    customers: int
    new: int


@dataclass(frozen=True)
class BackTest:
    """What a rule would have done.

    Attributes:
        rule: its name. runs: run by run. subjects: all customers found, to compare rules by.
        confirmed: customers found with a case closed as confirmed or reported.
        false_alarms: customers found whose closed cases were all false alarms.
        unknown: customers found with no closed case.
    """

    rule: str
    runs: tuple[BackTestRun, ...]
    subjects: frozenset[str]
    confirmed: int
    false_alarms: int
    unknown: int

    @property
    def precision(self) -> float | None:
        """Confirmed among those whose outcome is known; None if there are none."""
        known = self.confirmed + self.false_alarms
        return self.confirmed / known if known else None


def back_test(
    session: Session, person: Person, rule: Rule, runs: Iterable[Results], view: LocalView
) -> BackTest:
    """Try a rule on stored runs, the oldest first."""
    check_permission(person, Action.TEST_RULES)
    found: set[str] = set()
    steps = []
    for results in runs:
        hits = find_hits(rule, align(results), view)
        subjects = set(hits.subjects)
        fresh = len(subjects - found)
        steps.append(BackTestRun(results.run_id, len(hits.row), len(subjects), fresh))
        found |= subjects
    confirmed, false_alarms = _outcomes(session, sorted(found))
    return BackTest(
        rule=rule.name,
        runs=tuple(steps),
        subjects=frozenset(found),
        confirmed=confirmed,
        false_alarms=false_alarms,
        unknown=len(found) - confirmed - false_alarms,
    )


def _outcomes(session: Session, subjects: list[str]) -> tuple[int, int]:
    """Count customers with a confirmed case, and those with false alarms only."""
    outcomes: dict[str, set[str]] = {}
    for start in range(0, len(subjects), _CHUNK):
        query = (
            select(Alert.subject, Case.state)
            .join(Case, Alert.case_id == Case.id)
            .where(Alert.subject.in_(subjects[start : start + _CHUNK]), Case.state.in_(CLOSED))
            .distinct()
        )
        for subject, state in session.execute(query):
            outcomes.setdefault(subject, set()).add(state)
    only_false = sum(states == {State.FALSE_ALARM} for states in outcomes.values())
    return len(outcomes) - only_false, only_false
