"""All store a run's result or none does, whatever is lost, late, doubled, away or killed.

Real keepers and databases; messages, workers, crashes and faults of the database are drawn at
random.  After a while the world calms down, and then every run has to come to an end.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bank_node.errors import DataError
from bank_node.node import keeper
from bank_node.node.config import RunsSection
from tests.bank_node.consortium.consortium import SECOND
from tests.bank_node.node.world import Maker, Member, World

_STEPS = 120


async def disturb(world: World, member: Member) -> None:
    """Do one thing at random to a member."""
    dice = world.random.random()
    if not member.is_up:
        if dice < 0.3:
            await member.up()
            await member.connect()
        return
    if dice < 0.04:
        await member.kill()
    elif dice < 0.10:
        member.records.away = not member.records.away
    elif dice < 0.30:
        await end_a_worker(world, member)
    elif dice < 0.40:
        await member.connect()
    else:
        world.now += world.random.randrange(3 * SECOND)
        await member.keeper.tick()


async def end_a_worker(world: World, member: Member) -> None:
    """Let one of a member's workers end, well or not."""
    running = [i for i, end in member.workers.ending.items() if not end.done()]
    if not running:
        return
    run_id = world.random.choice(running)
    if world.random.random() < 0.7:
        member.workers.finish(run_id)
    else:
        member.workers.fail(run_id, DataError("away", "Again"))
    await asyncio.sleep(0)


async def calm(world: World) -> None:
    """Let nothing go wrong any more."""
    world.lossy = False
    for member in world.members.values():
        if not member.is_up:
            await member.up()
        member.records.away = False
        member.workers.auto = True
        for end in member.workers.ending.values():
            if not end.done():
                end.set_result(None)
    for member in world.members.values():
        await member.connect()


def check(world: World, run_id: str, ends: list[str], rows: list[list[list[float]]]) -> None:
    """Hold that a run was stored by all from one attempt that was charged, or by none."""
    assert ends == ["stored"] * len(ends) or "stored" not in ends, ends
    if ends[0] != "stored":
        assert rows == [[]] * len(rows)
        return
    values = {row[1] for stored in rows for row in stored}
    assert len(values) == 1, "all store the result of the same attempt"
    assert all(len(stored) == 1 for stored in rows)
    attempt = int(next(iter(values)))
    for member in world.members.values():
        charged = [bank for number, bank in member.charges(run_id) if number == attempt]
        assert charged == sorted(world.names)


@pytest.mark.parametrize("seed", range(4))
async def test_all_store_or_none_does(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Three or four members and three runs, over a bus that loses one statement in seven."""
    monkeypatch.setattr(keeper, "_AGAIN", SECOND // 100)
    world = World(maker, tmp_path, "ABC" if seed % 2 else "ABCD", seed)
    world.runs = RunsSection(retry_after=1)
    world.auto, world.lossy = False, True
    await world.start()
    ids = [await world.begin(name) for name in "ABC"]
    for _step in range(_STEPS):
        for _message in range(3):
            if world.under_way:
                await world.deliver()
        await disturb(world, world.random.choice(list(world.members.values())))
    await calm(world)
    stored = 0
    for run_id in ids:
        ends = await world.until_over(run_id, 600, step=10)
        rows = [await member.stored(run_id) for member in world.members.values()]
        check(world, run_id, ends, rows)
        stored += ends[0] == "stored"
    assert stored, "a world in which nothing succeeds shows nothing"
    await world.forget()
    assert [member.keeper.open for member in world.members.values()] == [{}] * len(world.names)
    await world.end()
