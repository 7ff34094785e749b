"""Prepared columns: made by a run of all, used once each, and never by two runs at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bank_node.consortium import RunManifest, proposed_manifest
from bank_node.node.records import Entry
from flow_tracing.analysis import TRACE as ANALYSIS
from tests.bank_node.node.world import SHARE, TRACE, Maker, World


@pytest.fixture
async def world(maker: Maker, tmp_path: Path) -> AsyncIterator[World]:
    """Three banks with room for traces."""
    made = World(maker, tmp_path, "ABC", budgets={"period": "month", "bits": 10**7, "banks": {}})
    await made.start()
    yield made
    await made.end()


def trace(world: World, *, columns: str = "", prepare_runs: int = 0) -> RunManifest:
    """A trace of bank A's."""
    world.now += 1
    options = {"columns": columns, "prepare_runs": prepare_runs}
    return proposed_manifest(world.signed, "A", "trace", TRACE, SHARE, world.now, **options)


async def begun(world: World, manifest: RunManifest) -> str:
    """The id of a run that A has begun."""
    private = None if manifest.prepare_runs else {"sources": ["account 1"]}
    await world["A"].keeper.begin(manifest, "ada", private)
    return manifest.run_id


async def prepared(world: World, runs: int) -> str:
    """The id of a preparation that all have stored."""
    run_id = await begun(world, trace(world, prepare_runs=runs))
    assert await world.until_over(run_id) == ["stored"] * 3
    return run_id


async def fitting(world: World, name: str) -> str:
    """The preparation that fits a trace at a member."""
    public = ANALYSIS.public(ANALYSIS.parse(TRACE))
    return await world[name].records.prepared_for("trace", public)


async def test_a_preparation_discloses_nothing_and_is_found(world: World) -> None:
    """All have its columns, for the question that they were made for and no other."""
    assert await fitting(world, "A") == ""
    preparation = await prepared(world, 2)
    assert [await fitting(world, name) for name in "ABC"] == [preparation] * 3
    assert sum(world["A"].spent().values()) == 0
    other = ANALYSIS.public(ANALYSIS.parse(TRACE | {"hops": "3"}))
    assert await world["A"].records.prepared_for("trace", other) == ""


async def test_columns_are_used_up(world: World) -> None:
    """Columns for two runs are good for two; a third run with them is given up, uncharged."""
    preparation = await prepared(world, 2)
    for _use in range(2):
        run_id = await begun(world, trace(world, columns=preparation))
        assert await world.until_over(run_id) == ["stored"] * 3
    assert [await fitting(world, name) for name in "ABC"] == [""] * 3
    third = await begun(world, trace(world, columns=preparation))
    assert "stored" not in await world.until_over(third)
    assert (await world["A"].kept(third)).own.phase == "abandoned"
    assert world["A"].charges(third) == []
    assert "used up" in (await world["A"].kept(third)).own.reason


async def test_two_runs_do_not_use_the_same_columns_at_once(world: World) -> None:
    """The second waits for the first, though a place is free; one without columns does not."""
    preparation = await prepared(world, 2)
    for name in "ABC":
        world[name].workers.auto = False
    first = await begun(world, trace(world, columns=preparation))
    second = await begun(world, trace(world, columns=preparation))
    await world.tick(3)
    await world.tick(3)
    assert [world[name].phase(first) for name in "ABC"] == ["running"] * 3
    assert [world[name].phase(second) for name in "ABC"] == ["consented"] * 3
    for name in "ABC":
        world[name].workers.finish(first)
    await world.quiet()
    await world.tick(3)
    await world.tick(3)
    assert [world[name].phase(second) for name in "ABC"] == ["running"] * 3


async def test_discarded_columns_are_not_used(world: World) -> None:
    """A run with them is given up by the one that has discarded them, and so by all."""
    preparation = await prepared(world, 2)
    entry = Entry("B", "agreement.in-effect")
    await world["B"].records.note_agreement(2, entry, world.now, discard=True)
    assert await fitting(world, "B") == ""
    run_id = await begun(world, trace(world, columns=preparation))
    ended = await world.until_over(run_id)
    assert ended == ["abandoned"] * 3
    assert (await world["B"].kept(run_id)).own.code == "store.conflict"


async def test_each_attempt_uses_columns_of_its_own(world: World) -> None:
    """What a failed attempt has seen is not used again: two attempts use up both."""
    preparation = await prepared(world, 2)
    world["C"].workers.auto = False
    run_id = await begun(world, trace(world, columns=preparation))
    await world.quiet()
    world["C"].workers.fail(run_id, OSError("the disk"))
    world["C"].workers.auto = True
    assert await world.until_over(run_id) == ["stored"] * 3
    assert [await fitting(world, name) for name in "ABC"] == [""] * 3
