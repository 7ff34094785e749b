"""A node that is killed comes back to what it last said, in each phase of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bank_node.node.config import PolicySection
from bank_node.store.errors import UnavailableError
from tests.bank_node.consortium.consortium import HOUR
from tests.bank_node.node.world import Maker, World

SECRET = {"sources": ["account 1"]}
ALL = ["stored"] * 3
NONE = [[]] * 3


async def stored(world: World, run_id: str) -> list[list[list[Any]]]:
    """What each has stored."""
    return [await world[name].stored(run_id) for name in "ABC"]


@pytest.fixture
async def asking(maker: Maker, tmp_path: Path) -> Any:
    """Three banks of which B lets a person decide."""
    world = World(maker, tmp_path, "ABC")
    world.policies = {"B": PolicySection(approve=())}
    await world.start()
    yield world
    await world.end()


async def half_computed(world: World, *, last: str = "B", private: bool = False) -> str:
    """A run that all have computed but one, which is computing."""
    world[last].workers.auto = False
    manifest = world.propose()
    await world["A"].keeper.begin(manifest, "ada", SECRET if private else None)
    await world.quiet()
    for name in "ABC":
        assert world[name].phase(manifest.run_id) == ("running" if name == last else "computed")
    return manifest.run_id


async def test_while_judging(asking: World) -> None:
    """It still waits for its person, who then approves."""
    run_id = await asking.begin()
    await asking.quiet()
    await asking["B"].restart()
    await asking.quiet()
    run = asking["B"].keeper.open[run_id]
    assert (run.own.phase, run.waiting_for) == ("judging", "a person's approval")
    await asking["B"].keeper.approve(run_id, "bo")
    assert await asking.until_over(run_id) == ALL


async def test_while_consented(asking: World) -> None:
    """Its consent stands, with its signature; whoever approved is not asked again."""
    run_id = await asking.begin()
    await asking.quiet()
    before = asking["C"].keeper.open[run_id].own
    for name in "AC":
        await asking[name].restart()
    assert asking["C"].keeper.open[run_id].own == before
    assert asking["A"].keeper.open[run_id].approved_by == "ada"
    await asking["B"].keeper.approve(run_id, "bo")
    assert await asking.until_over(run_id) == ALL


async def test_while_ready(world: World) -> None:
    """Its port is gone, so the attempt has failed; it cost nothing, and the next one ends well."""
    world["C"].workers.ports = 0
    run_id = await world.begin()
    await world.quiet()
    assert world["A"].phase(run_id) == "ready"
    await world["A"].restart()
    own = world["A"].keeper.open[run_id].own
    assert (own.phase, own.code, own.attempt) == ("failed", "node.restarted", 1)
    world["C"].workers.ports = 4
    assert await world.until_over(run_id) == ALL
    assert world["A"].charges(run_id) == [(2, bank) for bank in "ABC"]


async def test_while_running(world: World) -> None:
    """The attempt has failed for all and stays charged; the next one is stored."""
    run_id = await half_computed(world)
    await world["B"].restart()
    assert world["B"].keeper.open[run_id].own.code == "node.restarted"
    world["B"].workers.auto = True
    assert await world.until_over(run_id) == ALL
    assert await stored(world, run_id) == [[[f"{name}-1", 2.0]] for name in "ABC"]
    for name in "ABC":
        assert world[name].charges(run_id) == [(a, b) for a in (1, 2) for b in "ABC"]


async def test_while_failed(world: World) -> None:
    """It tries again when its pause is over, and the attempts before the restart count."""
    world["B"].workers.auto = False
    run_id = await world.begin()
    for attempt in (1, 2, 3):
        while (run_id, attempt) not in world["B"].workers.started:
            await world.tick()
        world["B"].workers.fail(run_id, UnavailableError("away", ""))
        await world.quiet()
        if attempt < 3:
            assert world["B"].phase(run_id) == "failed"
            await world["B"].restart()
            assert world["B"].phase(run_id) == "failed"
    assert await world.until_over(run_id) == ["abandoned"] * 3


async def test_while_computed(world: World) -> None:
    """Its vote and its result stand; it stores the result when the last one has voted."""
    run_id = await half_computed(world)
    await world["A"].restart()
    assert world["A"].phase(run_id) == "computed"
    world["B"].workers.finish(run_id)
    assert await world.until_over(run_id) == ALL
    assert await stored(world, run_id) == [[[f"{name}-1", 1.0]] for name in "ABC"]
    assert world["A"].workers.started == []


async def test_while_computed_and_the_result_is_gone(world: World) -> None:
    """Then it gives the run up, and nobody stores it."""
    run_id = await half_computed(world)
    await world["A"].kill()
    world["A"].disk.staged.clear()
    await world["A"].up()
    await world["A"].connect()
    assert await world.until_over(run_id) == ["abandoned"] * 3
    assert (await world["A"].kept(run_id)).own.code == "node.result-lost"
    assert await stored(world, run_id) == NONE


async def all_but_b(world: World) -> str:
    """A run that A and C have stored while B, which voted for it, was dead."""
    run_id = await half_computed(world, last="C")
    await world["B"].kill()
    world["C"].workers.finish(run_id)
    await world.quiet()
    assert (await world["A"].kept(run_id)).peers["B"] is not None
    assert [(await world[name].kept(run_id)).own.phase for name in "AC"] == ["stored"] * 2
    return run_id


async def test_when_the_others_have_stored(world: World) -> None:
    """It hears of it from what the broker keeps, and stores too; then all forget the run."""
    run_id = await all_but_b(world)
    await world.tick(60)
    assert run_id in world["A"].keeper.open
    await world["B"].up()
    assert world["B"].phase(run_id) == "computed"
    await world["B"].connect()
    assert await world.until_over(run_id) == ALL
    await world.forget()
    assert [world[name].keeper.open for name in "ABC"] == [{}] * 3


async def test_when_the_others_have_stored_and_forgotten(world: World) -> None:
    """It asks by saying where it stands, and is answered from their databases."""
    run_id = await all_but_b(world)
    await world.tick(3 * 3600)
    assert [world[name].keeper.open for name in "AC"] == [{}] * 2
    assert [world[name].retained for name in "AC"] == [{}] * 2
    await world["B"].up()
    await world["B"].connect()
    assert await world.until_over(run_id) == ALL
    assert await world["B"].stored(run_id) == [["B-1", 1.0]]


async def test_a_node_whose_database_was_put_back_is_answered(world: World) -> None:
    """What it says anew of a run that is over brings it to the same end."""
    run_id = await world.begin()
    await world.until_over(run_id)
    await world.forget()
    assert run_id not in world["A"].keeper.open
    manifest = (await world["A"].kept(run_id)).manifest
    spoken = world["A"].spoken
    await world.say("B", "A", manifest, world.signed_by("B", manifest, "computed", attempt=1))
    assert world["A"].spoken == spoken + 1
    assert world["A"].phase(run_id) == "stored"


async def judging(world: World) -> None:
    """C has not told its size."""
    for name in "ABC":
        world[name].sizes.pop("C")


async def consented(world: World) -> None:
    """C cannot judge yet."""
    world["C"].sizes.pop("C")


async def failed(world: World) -> None:
    """C's worker does not end well."""
    world["C"].workers.auto = False


@pytest.mark.parametrize("hold", [judging, consented, failed])
async def test_a_question_of_its_own_is_lost_with_the_node(
    world: World, hold: Callable[[World], Awaitable[None]]
) -> None:
    """Its accounts are in memory only, so the run is given up rather than asked without them."""
    await hold(world)
    manifest = world.propose()
    await world["A"].keeper.begin(manifest, "ada", SECRET)
    await world.quiet()
    if hold is failed:
        world["C"].workers.fail(manifest.run_id, UnavailableError("away", ""))
        await world.quiet()
    assert world["A"].phase(manifest.run_id) == hold.__name__
    await world["A"].restart()
    own = world["A"].keeper.open[manifest.run_id].own
    assert (own.phase, own.code) == ("abandoned", "node.question-lost")
    for name in "BC":
        world[name].sizes["C"] = 130
    ended = await world.until_over(manifest.run_id)
    assert "stored" not in ended
    assert ended[0] == "abandoned"


async def test_a_computed_question_is_not_lost(world: World) -> None:
    """Its result needs the accounts no more."""
    run_id = await half_computed(world, private=True)
    await world["A"].restart()
    world["B"].workers.finish(run_id)
    assert await world.until_over(run_id) == ALL


async def test_a_question_is_known_as_one_from_its_first_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that dies right after it has opened it does not compute it without its accounts."""
    manifest, save = world.propose(), world["A"].records.save

    async def once(*args: Any, **kwargs: Any) -> None:
        await save(*args, **kwargs)
        world["A"].records.away = True

    monkeypatch.setattr(world["A"].records, "save", once)
    with pytest.raises(UnavailableError):
        await world["A"].keeper.begin(manifest, "ada", SECRET)
    await world["A"].restart()
    own = (await world["A"].kept(manifest.run_id)).own
    assert (own.phase, own.code) == ("abandoned", "node.question-lost")


async def test_a_restart_answers_for_runs_of_the_last_days_only(world: World) -> None:
    """Runs that ended lately may be asked for; older ones do not fill the memory."""
    run_id = await world.begin()
    await world.until_over(run_id)
    await world.forget()
    await world["A"].restart()
    assert run_id in world["A"].keeper.open
    world.now += 49 * HOUR
    await world["A"].restart()
    assert world["A"].keeper.open == {}


async def test_a_step_is_done_whole_though_its_caller_is_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that is stored while the bus is taken down is stored once, and known to be."""
    run_id = await half_computed(world)
    world["B"].workers.finish(run_id)
    await asyncio.sleep(0.05)
    entered, save = asyncio.Event(), world["A"].records.save

    async def slow(*args: Any, **kwargs: Any) -> None:
        entered.set()
        await asyncio.sleep(0.01)
        await save(*args, **kwargs)

    monkeypatch.setattr(world["A"].records, "save", slow)
    handling = asyncio.create_task(world.deliver_all())
    await asyncio.wait_for(entered.wait(), 5)
    handling.cancel()
    await asyncio.gather(handling, return_exceptions=True)
    await asyncio.sleep(0.1)
    for name in "ABC":
        await world[name].connect()
    assert await world.until_over(run_id) == ALL
    assert world["A"].actions(run_id).count("run.stored") == 1
