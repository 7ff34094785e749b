"""Twenty analysts work on a thousand alerts over the API at once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from sqlalchemy import func, insert, select

from alerts import Person, Role, open_cases
from alerts.tables import Alert, AlertAccount, Case, JournalEntry, Sighting
from bank_node.people import add_person, hash_password
from tests.bank_node.api.world import Asking, served
from tests.bank_node.desk_world import NOW, OWN, PASSWORD, SECOND_RUN, SmallOffice

ANALYSTS = [Person(f"analyst-{i:02}", Role.ANALYST) for i in range(20)]
ALERTS = 1000
TURNS = 5


@pytest.fixture
def crowd(either: SmallOffice) -> Asking:
    """Asks an office of twenty analysts with a thousand more alerts, each in a case of its own."""
    hashed = hash_password(PASSWORD)
    common = {
        "version": 1, "status": "open", "rule": "crowd", "severity": 2, "strength": 1.0,
        "reason": "many", "first_run": SECOND_RUN, "last_run": SECOND_RUN, "created_at": NOW,
        "updated_at": NOW,
    }  # fmt: skip
    with either.records.database.begin() as session:
        for person in ANALYSTS:
            add_person(session, person.name, person.role, person.name, password_hash=hashed, at=NOW)
        rows = [common | {"subject": f"customer:K{i:04}"} for i in range(ALERTS)]
        numbers = session.scalars(insert(Alert).returning(Alert.id), rows).all()
        figures = {"accounts": [], "count": 1, "runs": {}}
        seen = {"run_id": SECOND_RUN, "at": NOW, "reason": "many", "figures": figures}
        session.execute(insert(Sighting), [seen | {"alert_id": n} for n in numbers])
        behind = [{"alert_id": n, "account": OWN[i % len(OWN)]} for i, n in enumerate(numbers)]
        session.execute(insert(AlertAccount), behind)
        open_cases(session, now=NOW)
    tokens = {p.name: either.token(p) for p in ANALYSTS}
    return Asking(either, served(either), tokens)


@pytest.mark.timeout(600)
async def test_no_case_is_taken_twice(crowd: Asking) -> None:
    """All take the next case again and again: every case that was taken has exactly one taker."""

    async def work(person: Person) -> Counter[str]:
        counted: Counter[str] = Counter()
        for _turn in range(TURNS):
            found = await crowd(person.name, "POST", "/queue/next", {"note": "mine"})
            assert found.status_code in (200, 409), found.text
            counted[person.name if found.status_code == 200 else "too late"] += 1
        return counted

    counted = sum(await asyncio.gather(*map(work, ANALYSTS)), Counter[str]())
    with crowd.made.records.database.read() as session:
        held = Counter(session.scalars(select(Case.assignee).where(Case.state == "assigned")))
        taken = session.scalars(
            select(JournalEntry.case_id).where(JournalEntry.action == "take")
        ).all()
    assert len(set(taken)) == len(taken)
    assert {p.name: counted[p.name] for p in ANALYSTS} == {p.name: held[p.name] for p in ANALYSTS}
    assert counted.total() == TURNS * len(ANALYSTS)


@pytest.mark.timeout(600)
async def test_nobody_overwrites_what_they_have_not_seen(crowd: Asking) -> None:
    """All write to the same few cases: a success is one version and one line."""
    with crowd.made.records.database.read() as session:
        query = select(Case.id).where(Case.subject.like("customer:K%")).order_by(Case.id).limit(5)
        few = session.scalars(query).all()

    async def work(person: Person) -> Counter[str]:
        chance, counted = random.Random(person.name), Counter[str]()
        for turn in range(TURNS):
            number = chance.choice(few)
            found = await crowd.act(person.name, number, "note", note=f"turn {turn}")
            assert found.status_code in (200, 409), found.text
            counted[f"case {number}" if found.status_code == 200 else "stale"] += 1
        return counted

    counted = sum(await asyncio.gather(*map(work, ANALYSTS)), Counter[str]())
    assert counted["stale"] > 0
    assert counted.total() == TURNS * len(ANALYSTS)
    with crowd.made.records.database.read() as session:
        for number in few:
            version = session.scalar(select(Case.version).where(Case.id == number))
            lines = session.scalar(select(func.count()).where(JournalEntry.case_id == number))
            assert version == lines == 1 + counted[f"case {number}"]
