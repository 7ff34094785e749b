"""Random people in random roles try random actions; what may happen is written down here again.

The tables of this test are its own, not the program's: an action must succeed exactly where they
say so, and whatever was refused must have changed nothing.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from alerts import SYSTEM, Change, Outcome, Person, Role, auto_assign, open_cases
from alerts.cases import MOST_SNOOZE, add_note, assign, begin, escalate, snooze, take, wake
from alerts.errors import AlertsError
from alerts.opening import add_alert, open_case
from alerts.review import approve, reopen, send_back, submit
from alerts.tables import Alert, Base, Case, JournalEntry
from tests.alerts.world import DAY, NOW, memory_engine, raise_for, transactions_on

WORKERS = {"analyst", "supervisor"}
CHIEF = {"supervisor"}
OPEN = {"new", "assigned", "investigating", "escalated", "pending-review"}
CLOSED = {"closed-false-alarm", "closed-confirmed", "closed-reported"}
AT_WORK = {"assigned", "investigating", "escalated"}

# action: roles, states in which it exists, state after it (None: the same), is it the assignee's,
# is it work on the case, may the case sleep
ALLOWED: dict[str, tuple[set[str], set[str], str | None, bool, bool, bool]] = {
    "take": (WORKERS, {"new"}, "assigned", False, True, True),
    "assign": (CHIEF, AT_WORK | {"new"}, "assigned", False, False, True),
    "begin": (WORKERS, {"assigned"}, "investigating", True, True, False),
    "note": (WORKERS, OPEN, None, False, True, True),
    "escalate": (WORKERS, {"assigned", "investigating"}, "escalated", True, True, False),
    "submit": (WORKERS, {"investigating"}, "pending-review", True, True, False),
    "send-back": (CHIEF, {"pending-review"}, "investigating", False, False, True),
    "approve": (CHIEF, {"pending-review"}, "closed", False, False, True),
    "reopen": (CHIEF, CLOSED, "new", False, False, True),
    "snooze": (WORKERS, AT_WORK, None, True, True, False),
    "wake": (WORKERS, AT_WORK, None, True, True, True),
    "add-alert": (WORKERS, AT_WORK | {"new"}, None, False, True, True),
}
EDGES = (
    {(None, "new"), ("new", "assigned"), ("assigned", "investigating"), ("assigned", "escalated")}
    | {("investigating", s) for s in ("assigned", "escalated", "pending-review")}
    | {("escalated", "assigned"), ("pending-review", "investigating")}
    | {("pending-review", s) for s in CLOSED}
    | {(s, "new") for s in CLOSED}
    | {(s, s) for s in OPEN}
)
NAMES = ["ann", "ben", "sue", "sam", "audrey", "otto"]
ROLES = dict(
    zip(
        NAMES,
        ["analyst", "analyst", "supervisor", "supervisor", "auditor", "operator"],
        strict=True,
    )
)
NOTES = st.sampled_from(["because", "because", "because", "because", "", " . "])
_ATTEMPTS = st.tuples(st.sampled_from(list(Outcome)), st.sampled_from(NAMES), st.integers(-1, 200))
# What leads on to a closing from each state, what leads back, and what stays.
_ON = {
    "new": "take",
    "assigned": "begin",
    "investigating": "submit",
    "escalated": "assign",
    "pending-review": "approve",
} | dict.fromkeys(CLOSED, "reopen")
_BACK = _ON | {"assigned": "assign", "investigating": "escalate", "pending-review": "send-back"}
_ASIDE = _ON | dict.fromkeys(AT_WORK, "snooze") | {"new": "note", "pending-review": "note"}
_WAYS = {"on": _ON, "back": _BACK, "aside": _ASIDE}


@dataclass
class Model:
    """What this test knows about one case."""

    state: str = "new"
    version: int = 1
    assignee: str | None = None
    outcome: str | None = None
    worked: set[str] = field(default_factory=set)
    asleep_since: int | None = None
    asleep_until: int | None = None
    slept: int = 0

    def asleep(self, now: int) -> bool:
        """Whether it sleeps."""
        return self.asleep_until is not None and self.asleep_until > now

    def settle(self, now: int) -> None:
        """Count a sleep that is over."""
        if self.asleep_since is not None and self.asleep_until is not None:
            self.slept += min(now, self.asleep_until) - self.asleep_since
        self.asleep_since = self.asleep_until = None


class CaseMachine(RuleBasedStateMachine):
    """Everything people and the node do, in any order."""

    engine: Engine
    done: Counter[str]
    """How often each action was done, over all sequences; refused ones with their error's code."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = transactions_on(self.engine)
        with self.begin() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
        self.now = NOW
        self.runs = 0
        self.roles = dict(ROLES)
        self.cases: dict[int, Model] = {}

    def person(self, name: str) -> Person:
        """A person in their present role."""
        return Person(name, Role(self.roles[name]))

    @initialize()
    def there_is_work(self) -> None:
        """Every sequence begins with two cases that the node opened."""
        self.joint_run({"K1": 2.0, "K2": 3.0})
        self.node_opens_cases()

    @rule(name=st.sampled_from(NAMES[:4]), role=st.sampled_from(sorted(WORKERS)))
    def change_role(self, name: str, role: str) -> None:
        """People are promoted, and sometimes the other way."""
        self.roles[name] = role

    @rule(days=st.integers(1, 120))
    def time_passes(self, days: int) -> None:
        """The clock goes on."""
        self.now += days * DAY

    @rule(
        bands=st.dictionaries(
            st.sampled_from(["K1", "K2", "K3"]), st.integers(1, 3).map(float), max_size=3
        )
    )
    def joint_run(self, bands: dict[str, float]) -> None:
        """A run raises alerts, or sees them again; risen ones wake their cases."""
        self.runs += 1
        with self.begin() as session:
            raise_for(session, f"r{self.runs}", bands)
            session.flush()
            self.see_what_the_node_did(session)

    @rule()
    def node_opens_cases(self) -> None:
        """The node brings open alerts into cases."""
        with self.begin() as session:
            open_cases(session, now=self.now)
            self.see_what_the_node_did(session)

    def see_what_the_node_did(self, session: Session) -> None:
        """Only what the node may do by itself: open, join, and say that an alert rose."""
        for case in session.scalars(select(Case).execution_options(populate_existing=True)):
            model = self.cases.setdefault(case.id, Model(version=0))
            lines = session.scalars(
                select(JournalEntry)
                .where(JournalEntry.case_id == case.id, JournalEntry.version > model.version)
                .order_by(JournalEntry.version)
            ).all()
            assert {e.action for e in lines} <= {"auto-open", "joined", "risen"}
            assert all(e.person == "system" for e in lines)
            model.version += len(lines)
            if any(e.action in ("joined", "risen") for e in lines):
                for entry in lines:
                    model.settle(entry.at)

    @rule(name=st.sampled_from(NAMES), among=st.lists(st.sampled_from(NAMES), max_size=3))
    def share_out(self, name: str, among: list[str]) -> None:
        """New cases are given out by load, to those who work."""
        people = [self.person(n) for n in among]
        may = self.roles[name] in CHIEF | {"operator"}
        workers = [p.name for p in people if p.role in WORKERS]
        new = [c for c, model in self.cases.items() if model.state == "new"]
        try:
            with self.begin() as session:
                changes = auto_assign(session, self.person(name), people, now=self.now)
        except AlertsError:
            assert not (may and workers)
            return
        assert may
        assert workers
        assert sorted(c.case.id for c in changes) == sorted(new)
        for change in changes:
            model = self.cases[change.case.id]
            assert change.case.assignee in workers
            model.state, model.assignee = "assigned", change.case.assignee
            model.version += 1
            model.worked.add(str(change.case.assignee))

    @rule(name=st.sampled_from(NAMES), note=NOTES, stale=st.booleans())
    def open_by_hand(self, name: str, note: str, stale: bool) -> None:
        """Somebody opens a case from all open alerts."""
        with self.begin() as session:
            free = session.scalars(select(Alert).where(Alert.status == "open")).all()
            alerts = {a.id: a.version - stale for a in free}
        expected = bool(alerts) and note == "because" and not stale
        expected &= self.roles[name] in WORKERS
        try:
            with self.begin() as session:
                change = open_case(session, self.person(name), alerts, note, now=self.now)
        except AlertsError:
            assert not expected
            return
        assert expected
        self.cases[change.case.id] = Model(worked={name})

    @rule(
        data=st.data(),
        action=st.sampled_from(sorted(ALLOWED)),
        name=st.sampled_from(NAMES),
        note=NOTES,
        stale=st.sampled_from([0, 0, 0, 1]),
        attempt=_ATTEMPTS,
    )
    def try_anything(
        self,
        data: st.DataObject,
        action: str,
        name: str,
        note: str,
        stale: int,
        attempt: tuple[Outcome, str, int],
    ) -> None:
        """Anybody tries anything on any case."""
        number = data.draw(st.sampled_from(sorted(self.cases)))
        self.act(number, action, name, note, stale, attempt)

    @rule(data=st.data(), attempt=_ATTEMPTS)
    def try_what_exists(self, data: st.DataObject, attempt: tuple[Outcome, str, int]) -> None:
        """Somebody of the right role tries an action that exists in the state of the case."""
        number = data.draw(st.sampled_from(sorted(self.cases)))
        model = self.cases[number]
        action = data.draw(
            st.sampled_from(sorted(a for a, row in ALLOWED.items() if model.state in row[1]))
        )
        names = [n for n in NAMES if self.roles[n] in ALLOWED[action][0]]
        if ALLOWED[action][3] and model.assignee is not None:
            names = [model.assignee]
        if names:
            self.act(number, action, data.draw(st.sampled_from(names)), "because", 0, attempt)

    @rule(
        data=st.data(),
        steps=st.lists(
            st.sampled_from(["on", "on", "on", "on", "back", "aside"]), min_size=3, max_size=9
        ),
        attempt=_ATTEMPTS,
    )
    def work_on(
        self, data: st.DataObject, steps: list[str], attempt: tuple[Outcome, str, int]
    ) -> None:
        """Some steps on one case, mostly on the way to its closing, by whoever can be found."""
        number = data.draw(st.sampled_from(sorted(self.cases)))
        model = self.cases[number]
        for step in steps:
            self.go_on(data, number, _WAYS[step][model.state], attempt)

    @rule(data=st.data(), attempt=_ATTEMPTS)
    def approve_own(self, data: st.DataObject, attempt: tuple[Outcome, str, int]) -> None:
        """Somebody brings a case to its review, becomes a supervisor, and tries to approve it."""
        number = data.draw(st.sampled_from(sorted(self.cases)))
        model = self.cases[number]
        for _step in range(4):
            if model.state != "pending-review":
                self.go_on(data, number, _ON[model.state], attempt)
        name = data.draw(st.sampled_from(sorted(model.worked) or NAMES))
        if name in self.roles:
            self.roles[name] = "supervisor"
            self.act(number, "approve", name, "because", 0, attempt)

    @rule(data=st.data(), days=st.integers(1, 90), early=st.booleans(), outcome=_ATTEMPTS)
    def sleep(
        self, data: st.DataObject, days: int, early: bool, outcome: tuple[Outcome, str, int]
    ) -> None:
        """Who has a case lets it sleep, and perhaps wakes it before its time."""
        number = data.draw(st.sampled_from(sorted(self.cases)))
        name = self.cases[number].assignee or "ann"
        attempt = (outcome[0], outcome[1], days)
        self.act(number, "snooze", name, "because", 0, attempt)
        self.now += DAY // 2
        if early:
            self.act(number, "wake", name, "because", 0, attempt)

    @rule(data=st.data(), attempt=_ATTEMPTS, name=st.sampled_from(NAMES))
    def add_more(self, data: st.DataObject, attempt: tuple[Outcome, str, int], name: str) -> None:
        """A run finds a new customer, and somebody adds the alert to a case."""
        self.joint_run({f"N{self.runs}": 2.0})
        number = data.draw(st.sampled_from(sorted(self.cases)))
        self.act(number, "add-alert", name, "because", 0, attempt)

    def go_on(
        self, data: st.DataObject, number: int, action: str, attempt: tuple[Outcome, str, int]
    ) -> None:
        """Do an action by whoever may, if there is anybody."""
        model = self.cases[number]
        names = [n for n in NAMES if self.allowed(action, n, model, attempt, None)]
        name = data.draw(st.sampled_from(names or NAMES))
        self.act(number, action, name, "because", 0, attempt)

    def act(
        self,
        number: int,
        action: str,
        name: str,
        note: str,
        stale: int,
        attempt: tuple[Outcome, str, int],
    ) -> None:
        """Try an action; it must succeed exactly where the tables of this test say so."""
        outcome, other, days = attempt
        model = self.cases[number]
        person, until = self.person(name), self.now + days * DAY
        alert = self.any_open_alert()
        step: dict[str, Callable[..., Any]] = {
            "take": take,
            "assign": lambda *a, **k: assign(*a[:4], self.person(other), a[4], **k),
            "begin": begin,
            "note": add_note,
            "escalate": escalate,
            "submit": lambda *a, **k: submit(*a[:4], outcome, a[4], **k),
            "send-back": send_back,
            "approve": approve,
            "reopen": reopen,
            "snooze": lambda *a, **k: snooze(*a[:4], until, a[4], **k),
            "wake": wake,
            "add-alert": lambda *a, **k: add_alert(*a[:4], alert or (999, 1), a[4], **k),
        }
        expected = self.allowed(action, name, model, attempt, alert)
        expected &= note == "because" and not stale
        seen = model.version - stale
        change = self.tried(
            lambda session: step[action](session, person, number, seen, note, now=self.now)
        )
        if isinstance(change, AlertsError):
            assert not expected, f"{action} was refused: {change}"
            self.done[change.code] += 1
            return
        assert expected, f"{action} was not refused"
        self.happened(action, name, model, outcome, other, until)
        self.done[action] += 1
        self.done[model.state] += 1
        assert (change.case.state, change.case.assignee) == (model.state, model.assignee)
        assert (change.entry.person, change.entry.at) == (name, self.now)

    def tried(self, call: Callable[[Session], Change]) -> Change | AlertsError:
        """Do something in one transaction; return the error if it was refused."""
        try:
            with self.begin() as session:
                return call(session)
        except AlertsError as error:
            return error

    def any_open_alert(self) -> tuple[int, int] | None:
        """An alert in no case."""
        with self.begin() as session:
            row = session.scalars(select(Alert).where(Alert.status == "open").limit(1)).first()
            return None if row is None else (row.id, row.version)

    def allowed(
        self,
        action: str,
        name: str,
        model: Model,
        attempt: tuple[Outcome, str, int],
        alert: tuple[int, int] | None,
    ) -> bool:
        """Whether the tables of this test allow it."""
        _outcome, other, days = attempt
        roles, states, _after, assignee_only, _work, may_sleep = ALLOWED[action]
        asleep = model.asleep(self.now)
        slept = model.slept
        if model.asleep_until is not None and model.asleep_since is not None and not asleep:
            slept += model.asleep_until - model.asleep_since
        special = {
            "assign": self.roles[other] in WORKERS,
            "approve": name not in model.worked,
            "snooze": days > 0 and slept + days * DAY <= 180 * DAY,
            "wake": asleep,
            "add-alert": alert is not None,
        }
        return (
            self.roles[name] in roles
            and model.state in states
            and (not assignee_only or model.assignee == name)
            and (may_sleep or not asleep)
            and special.get(action, True)
        )

    def happened(
        self, action: str, name: str, model: Model, outcome: Outcome, other: str, until: int
    ) -> None:
        """Keep the books of this test."""
        _roles, _states, after, _assignee, work, _sleep = ALLOWED[action]
        model.version += 1
        if not model.asleep(self.now) or action in ("assign", "wake"):
            model.settle(self.now)
        if work:
            model.worked.add(name)
        if action in ("take", "assign"):
            model.assignee = name if action == "take" else other
            model.worked.add(model.assignee)
        if action == "snooze":
            model.asleep_since, model.asleep_until = self.now, until
        if action == "submit":
            model.outcome = outcome.value
        if action == "reopen":
            model.assignee, model.outcome, model.slept = None, None, 0
        if after is not None:
            model.state = f"closed-{model.outcome}" if after == "closed" else after

    @invariant()
    def no_case_is_where_it_must_not_be(self) -> None:
        """State, version and assignee are what this test knows; sleep is bounded."""
        with self.begin() as session:
            cases = session.scalars(select(Case)).all()
        assert {c.id for c in cases} == set(self.cases)
        for case in cases:
            model = self.cases[case.id]
            assert (case.state, case.assignee) == (model.state, model.assignee)
            assert case.version == model.version
            planned = (case.snoozed_until or 0) - (case.snoozed_since or 0)
            assert 0 <= case.snooze_used + planned <= MOST_SNOOZE == 180 * DAY

    @invariant()
    def the_journal_is_complete(self) -> None:
        """One line for each version, each with a note, linked, along known edges only."""
        with self.begin() as session:
            cases = session.scalars(select(Case)).all()
            lines = session.scalars(
                select(JournalEntry).order_by(JournalEntry.case_id, JournalEntry.version)
            ).all()
        for case in cases:
            own = [e for e in lines if e.case_id == case.id]
            assert [e.version for e in own] == list(range(1, case.version + 1))
            states = [None, *(e.to_state for e in own)]
            assert [e.from_state for e in own] == states[:-1]
            assert states[-1] == case.state
            assert {(e.from_state, e.to_state) for e in own} <= EDGES
            assert all(e.note.strip() and e.person and e.at >= NOW for e in own)

    @invariant()
    def nobody_approved_their_own(self) -> None:
        """Read from the journal alone: who closed a case did no work on it and never had it."""
        work = {a for a, row in ALLOWED.items() if row[4]} | {"open"}
        with self.begin() as session:
            lines = session.scalars(select(JournalEntry).order_by(JournalEntry.version)).all()
        worked: dict[int, set[str]] = {}
        for entry in lines:
            people = worked.setdefault(entry.case_id, set())
            if entry.action == "approve":
                assert entry.person not in people
            if entry.action in work:
                people.add(entry.person)
            if "assignee" in entry.details:
                people.add(entry.details["assignee"])

    @invariant()
    def alerts_go_with_their_cases(self) -> None:
        """Open alerts are in no case; those of closed cases are closed; none is open twice."""
        with self.begin() as session:
            alerts = session.scalars(select(Alert)).all()
        for alert in alerts:
            state = self.cases[alert.case_id].state if alert.case_id else None
            if alert.status == "closed":
                assert state is not None
            else:
                assert (alert.status == "in-case") == (state in OPEN)
        unclosed = [(a.subject, a.rule) for a in alerts if a.status != "closed"]
        assert len(unclosed) == len(set(unclosed))


def _machine(engine: Engine) -> type[CaseMachine]:
    return type("CaseMachineOnEngine", (CaseMachine,), {"engine": engine, "done": Counter()})


def _run(engine: Engine, sequences: int, wanted: set[str]) -> None:
    """Run sequences of 30 steps, and see that what is wanted happened: else they prove nothing."""
    machine = _machine(engine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    missing = wanted - set(machine.done)
    assert not missing, f"never happened: {sorted(missing)}"


@pytest.mark.timeout(300)
def test_any_sequence_of_actions_keeps_the_rules() -> None:
    """No forbidden state, a complete journal, nobody approves their own; on SQLite."""
    engine = memory_engine()
    refusals = {"alerts.four-eyes", "alerts.not-permitted", "alerts.wrong-state", "alerts.snooze"}
    _run(engine, 60, set(ALLOWED) | refusals | {"alerts.not-assignee"})
    engine.dispose()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_any_sequence_of_actions_keeps_the_rules_on_postgresql(engine: Engine) -> None:
    """The same on PostgreSQL, with fewer sequences."""
    _run(engine, 20, {"take", "submit", "approve", "reopen", "alerts.four-eyes"})


def test_the_system_is_no_one_s_role() -> None:
    """The node acts as operator, who can change no case by hand."""
    assert SYSTEM.role.value not in set().union(*(row[0] for row in ALLOWED.values()))
