"""Twenty analysts act on a thousand alerts at once: no lost update, no double assignment."""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select

from alerts import Change, Person, Role, open_cases, take_next
from alerts.cases import add_note, take
from alerts.errors import StaleVersion, WrongState
from alerts.opening import open_case
from alerts.tables import Alert, Case, JournalEntry
from tests.alerts.world import NOW, Begin, raise_for

ANALYSTS = [Person(f"analyst-{i:02}", Role.ANALYST) for i in range(20)]
ALERTS = 1000


@pytest.fixture
def alerts(begin: Begin) -> list[int]:
    """A thousand open alerts."""
    with begin() as session:
        raise_for(session, "r1", {f"K{i:04}": 2.0 + i % 2 for i in range(ALERTS)})
    with begin() as session:
        return list(session.scalars(select(Alert.id).order_by(Alert.id)))


@pytest.fixture
def cases(begin: Begin, alerts: list[int]) -> list[int]:
    """A thousand new cases, one for each alert."""
    with begin() as session:
        assert open_cases(session, now=NOW).opened == len(alerts)
        return list(session.scalars(select(Case.id).order_by(Case.id)))


def at_once(work: Callable[[Person], Counter[str]]) -> Counter[str]:
    """Let everybody work at the same time, from the same moment; add up what they counted."""
    start = Barrier(len(ANALYSTS))

    def one(person: Person) -> Counter[str]:
        start.wait(30)
        return work(person)

    with ThreadPoolExecutor(len(ANALYSTS)) as pool:
        return sum(pool.map(one, ANALYSTS), Counter[str]())


@pytest.mark.timeout(300)
def test_nobody_overwrites_what_they_have_not_seen(begin: Begin, cases: list[int]) -> None:
    """All write to the same few cases: each success is one version and one line, no more no less.

    Reading and writing are two transactions, as with a person before a screen, so that most
    attempts come too late; those are refused as stale and leave nothing behind.
    """
    few = cases[:5]

    def write(person: Person) -> Counter[str]:
        chance, counted = random.Random(person.name), Counter[str]()
        for turn in range(30):
            number = chance.choice(few)
            with begin() as session:
                seen = session.scalar(select(Case.version).where(Case.id == number)) or 0
            try:
                with begin() as session:
                    add_note(session, person, number, seen, f"turn {turn}", now=NOW + turn)
            except StaleVersion:
                counted["stale"] += 1
            else:
                counted[f"case {number}"] += 1
        return counted

    counted = at_once(write)
    assert counted["stale"] > 0
    assert counted.total() == 30 * len(ANALYSTS)
    with begin() as session:
        for number in few:
            version = session.scalar(select(Case.version).where(Case.id == number))
            lines = session.scalars(
                select(JournalEntry.version)
                .where(JournalEntry.case_id == number)
                .order_by(JournalEntry.version)
            ).all()
            assert version == 1 + counted[f"case {number}"]
            assert list(lines) == list(range(1, version + 1))


@pytest.mark.timeout(300)
def test_no_case_is_taken_twice(begin: Begin, cases: list[int]) -> None:
    """All take the same thousand cases, each in their own order: every case has one taker."""

    def take_all(person: Person) -> Counter[str]:
        chance, counted = random.Random(person.name), Counter[str]()
        order = cases.copy()
        chance.shuffle(order)
        for number in order[: len(cases) // 4]:
            try:
                with begin() as session:
                    take(session, person, number, 1, "mine", now=NOW)
            except (StaleVersion, WrongState):
                counted["too late"] += 1
            else:
                counted[person.name] += 1
        return counted

    counted = at_once(take_all)
    assert counted["too late"] > 0
    with begin() as session:
        held = Counter(session.scalars(select(Case.assignee).where(Case.state == "assigned")))
        lines = session.execute(
            select(JournalEntry.case_id, JournalEntry.person).where(JournalEntry.action == "take")
        ).all()
    assert len({case for case, _person in lines}) == len(lines)
    assert Counter(person for _case, person in lines) == held
    assert {p.name: counted[p.name] for p in ANALYSTS} == {p.name: held[p.name] for p in ANALYSTS}


@pytest.mark.timeout(300)
def test_the_next_case_is_somebody_s_alone(begin: Begin, cases: list[int]) -> None:
    """All ask for the next case until none is left: a thousand cases, a thousand takings."""

    def work(person: Person) -> Counter[str]:
        counted = Counter[str]()
        while True:
            change: Change | None
            try:
                with begin() as session:
                    change = take_next(session, person, "next", now=NOW)
            except StaleVersion:
                counted["stale"] += 1
                continue
            if change is None:
                return counted
            counted[str(change.case.id)] += 1

    counted = at_once(work)
    del counted["stale"]
    assert counted == Counter(map(str, cases))


@pytest.mark.timeout(300)
def test_an_alert_comes_into_one_case_only(begin: Begin, alerts: list[int]) -> None:
    """All open cases from the same hundred alerts: a hundred cases, each alert in one."""
    hundred = alerts[:100]

    def open_all(person: Person) -> Counter[str]:
        chance, counted = random.Random(person.name), Counter[str]()
        order = hundred.copy()
        chance.shuffle(order)
        for number in order:
            try:
                with begin() as session:
                    open_case(session, person, {number: 1}, "mine", now=NOW)
            except (StaleVersion, WrongState):
                counted["too late"] += 1
            else:
                counted["opened"] += 1
        return counted

    counted = at_once(open_all)
    assert (counted["opened"], counted["too late"]) == (100, 1900)
    with begin() as session:
        assert session.scalar(select(func.count()).select_from(Case)) == 100
        linked = session.scalars(select(Alert.case_id).where(Alert.status == "in-case")).all()
    assert len(set(linked)) == 100
