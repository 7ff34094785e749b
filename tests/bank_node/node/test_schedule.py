"""Slots get one run each, at every node the same; a new agreement takes effect once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bank_node.consortium import SignedAgreement
from bank_node.consortium.canonical import moment_us
from bank_node.consortium.drafting import render
from bank_node.node.schedule import Scheduler
from bank_node.store import audit, column_sets
from bank_node.store.column_sets import ColumnSet
from bank_node.store.errors import UnavailableError
from tests.bank_node.consortium.consortium import Consortium
from tests.bank_node.node.world import Maker, World

NIGHTLY = {
    "name": "nightly-risk",
    "analysis": "risk-propagation",
    "cron": "0 2 * * *",
    "policy": "bands:0.2,0.5,0.8",
    "parameters": {"iterations": "2", "delta": "0.3"},
    "window": "30d",
    "valid": "6h",
}


def at(text: str) -> int:
    """A time of 2026-11, in microseconds."""
    return moment_us(f"2026-11-{text}:00Z")


@pytest.fixture
async def world(maker: Maker, tmp_path: Path) -> AsyncIterator[World]:
    """Three banks with a nightly schedule, an hour before its slot of the 24th."""
    made = World(maker, tmp_path, "ABC", schedules=[NIGHTLY])
    made.now = at("24T01:00")
    await made.start()
    yield made
    await made.end()


def scheduler(world: World, name: str) -> Scheduler:
    """A member's scheduler, as after a start."""
    member, removed = world[name], world[name].folder / "removed"
    made = Scheduler(
        name, world.book, member.records, member.keeper, world.clock, lambda: removed.touch()
    )
    made._looked = world.now
    return made


def entries(world: World, action: str) -> list[str]:
    """Details of A's audit entries of a kind."""
    with world["A"].database.read() as session:
        return [e.details for e in audit.entries(session) if e.action == action]


def runs(world: World, name: str) -> list[str]:
    """The slots of a member's open runs."""
    return sorted(run.manifest.slot for run in world[name].keeper.open.values())


async def test_every_node_begins_the_same_run_by_itself(world: World) -> None:
    """Nobody proposes it: one run, consented to and stored by all."""
    schedulers = [scheduler(world, name) for name in "ABC"]
    for made in schedulers:
        await made.tick()
    assert [runs(world, name) for name in "ABC"] == [[]] * 3
    world.now = at("24T02:00")
    for made in schedulers:
        await made.tick()
    ids = {run_id for name in "ABC" for run_id in world[name].keeper.open}
    assert len(ids) == 1
    assert await world.until_over(ids.pop()) == ["stored"] * 3


async def test_a_slot_is_claimed_once(world: World) -> None:
    """Neither the next tick nor a start of the node begins it again, also when its run is over."""
    made = scheduler(world, "A")
    world.now = at("24T02:00")
    for _tick in range(3):
        await made.tick()
    assert runs(world, "A") == ["2026-11-24T02:00:00Z"]
    run_id = next(iter(world["A"].keeper.open))
    await world["A"].keeper.reject(run_id, "no", "ada")
    world["A"].keeper.open.clear()
    again = scheduler(world, "A")
    again._looked = at("23T12:00")
    await again.tick()
    assert world["A"].keeper.open == {}


async def test_missed_slots_are_taken_up_while_they_are_valid(world: World) -> None:
    """A node that was down at two takes the run up at five, and not after eight."""
    world.now = at("24T05:00")
    await _fresh(world, "A").tick()
    assert runs(world, "A") == ["2026-11-24T02:00:00Z"]
    world.now = at("24T08:01")
    await _fresh(world, "B").tick()
    assert runs(world, "B") == []


def _fresh(world: World, name: str) -> Scheduler:
    """A scheduler that looks back as far as one does that has just been started."""
    member = world[name]
    return Scheduler(name, world.book, member.records, member.keeper, world.clock, lambda: None)


async def test_what_a_peer_told_first_is_the_same_run(world: World) -> None:
    """A run that came by a message before the own clock struck is not begun a second time."""
    first, second = scheduler(world, "A"), scheduler(world, "B")
    world.now = at("24T02:00")
    await first.tick()
    await world.quiet()
    assert len(world["B"].keeper.open) == 1
    await second.tick()
    assert len(world["B"].keeper.open) == 1


def follow(consortium: Consortium, before: SignedAgreement, **changes: Any) -> SignedAgreement:
    """The next version, signed by all its members."""
    number = before.agreement.version + 1
    values = {"version": number, "previous": before.hash, "schedules": []}
    values["transition"] = {"columns": "keep"}
    return consortium.signed(**(values | changes))


def install(world: World, *versions: SignedAgreement) -> None:
    """Put versions into the book."""
    for signed in versions:
        path = world.folder / f"version-{signed.agreement.version}.toml"
        path.write_text(render(signed))
        world.book.install(path)


def add_columns(world: World) -> None:
    """Let A have prepared columns."""
    with world["A"].database.begin() as session:
        column_sets.add(session, ColumnSet("prepared-1", "trace", "ab", 5, 0, world.now))


def usable(world: World) -> bool:
    """Whether A may use them."""
    with world["A"].database.read() as session:
        return column_sets.usable(session, "trace", "ab") is not None


async def test_a_new_version_is_noted_once(world: World) -> None:
    """At its date, not before, and not again after a start; whoever waits for it is told."""
    install(world, follow(world.consortium, world.signed, effective="2026-11-24T06:00:00Z"))
    made = scheduler(world, "A")
    await made.tick()
    assert made.agreement is not None
    assert made.agreement.agreement.version == 1
    waiting = asyncio.create_task(made.changed.wait())
    await asyncio.sleep(0)
    world.now = at("24T06:00")
    await made.tick()
    await asyncio.wait_for(waiting, 1)
    assert made.agreement.agreement.version == 2
    await _fresh(world, "A").tick()
    assert len(entries(world, "agreement.in-effect")) == 2


@pytest.mark.parametrize(("columns", "kept"), [("keep", True), ("discard", False)])
async def test_the_transition_says_what_becomes_of_columns(
    world: World, columns: str, kept: bool
) -> None:
    """In the database and on disk."""
    changes = {"effective": "2026-11-24T06:00:00Z", "transition": {"columns": columns}}
    install(world, follow(world.consortium, world.signed, **changes))
    made = scheduler(world, "A")
    await made.tick()
    add_columns(world)
    world.now = at("24T06:00")
    await made.tick()
    assert usable(world) is kept
    assert (world["A"].folder / "removed").exists() is not kept


async def test_other_members_end_all_columns(world: World, maker: Maker) -> None:
    """Whatever the transition says: columns are bound to the members."""
    install(world, follow(maker.among("ABCD"), world.signed, effective="2026-11-24T06:00:00Z"))
    made = scheduler(world, "A")
    await made.tick()
    add_columns(world)
    world.now = at("24T06:00")
    await made.tick()
    assert not usable(world)


async def test_a_version_that_was_slept_through_counts(world: World, maker: Maker) -> None:
    """A node that was down while the members were others does not keep columns of before."""
    four = follow(maker.among("ABCD"), world.signed, effective="2026-11-24T06:00:00Z")
    same = follow(maker.among("ABCD"), four, effective="2026-11-24T09:00:00Z")
    install(world, four, same)
    await scheduler(world, "A").tick()
    add_columns(world)
    world.now = at("24T10:00")
    await _fresh(world, "A").tick()
    assert not usable(world)


async def test_a_change_that_could_not_be_recorded_is_made_up_for(
    world: World, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a database that is away at the date of effect, columns are discarded when it is back."""
    install(world, follow(maker.among("ABCD"), world.signed, effective="2026-11-24T06:00:00Z"))
    made = scheduler(world, "A")
    await made.tick()
    add_columns(world)
    world.now = at("24T06:00")
    note = world["A"].records.note_agreement

    async def away(*_args: Any, **_kwargs: Any) -> None:
        raise UnavailableError("node.db: cannot be used", "")

    monkeypatch.setattr(world["A"].records, "note_agreement", away)
    with pytest.raises(UnavailableError):
        await made.tick()
    monkeypatch.setattr(world["A"].records, "note_agreement", note)
    await made.tick()
    assert not usable(world)
    assert len(entries(world, "agreement.in-effect")) == 2


async def test_who_is_no_member_any_more_does_nothing(world: World, maker: Maker) -> None:
    """It says so instead of running under an agreement that is not its own."""
    install(world, follow(maker.among("BCD"), world.signed, effective="2026-11-24T06:00:00Z"))
    made = scheduler(world, "A")
    await made.tick()
    world.now = at("24T06:00")
    await made.tick()
    assert made.agreement is None
    assert made.why_not == "A is no member of the agreement any more (version 2)"
    world.now = at("25T02:00")
    await made.tick()
    assert world["A"].keeper.open == {}


async def test_an_agreement_ends(world: World) -> None:
    """Then nothing is begun, and its end is on record once."""
    made = scheduler(world, "A")
    await made.tick()
    world.now = moment_us("2027-11-01T02:00:00Z")
    await made.tick()
    await made.tick()
    assert made.agreement is None
    assert made.why_not == "no agreement is in effect"
    assert len(entries(world, "agreement.ended")) == 1
    assert world["A"].keeper.open == {}
