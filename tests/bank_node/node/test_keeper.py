"""What a node does with a run, from the proposal to its end, with the real keeper and database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bank_node.errors import DataError
from bank_node.node import keeper
from bank_node.node.config import PolicySection, RunsSection
from bank_node.node.errors import RunStateError, UnknownRunError
from bank_node.node.open_run import OpenRun
from bank_node.node.statement import Progress
from tests.bank_node.consortium.consortium import HOUR, SECOND
from tests.bank_node.node.world import BANDS, Maker, World

COST = {"A": 214, "B": 236, "C": 260}
"""Bits of four bands for each padded account."""
WAY = ["run.proposed", "run.consented", "run.ready", "run.running", "run.computed", "run.stored"]


async def made(maker: Maker, folder: Path, names: str = "ABC", **terms: Any) -> World:
    """A world that a test sets up further before it starts it."""
    return World(maker, folder, names, **terms)


async def test_a_proposal_is_stored_at_all(world: World) -> None:
    """All consent, compute and store; each node has each move on record and charged all banks."""
    run_id = await world.begin()
    assert await world.until_over(run_id) == ["stored"] * 3
    for name in "ABC":
        member = world[name]
        assert member.actions(run_id) == WAY
        assert await member.stored(run_id) == [[f"{name}-1", 1.0]]
        assert member.spent() == COST
        assert member.disk.staged == {}


async def test_a_standing_is_shown_when_it_is_on_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a step is being saved the node still shows where it stood before."""
    seen: list[tuple[str, str]] = []
    node = world["A"]
    save = node.records.save

    async def watched(run: OpenRun, *rest: Any, **more: Any) -> None:
        if run.run_id in node.keeper.open:
            seen.append((run.own.phase, node.keeper.open[run.run_id].own.phase))
        await save(run, *rest, **more)

    monkeypatch.setattr(node.records, "save", watched)
    run_id = await world.begin()
    assert await world.until_over(run_id) == ["stored"] * 3
    assert ("stored", "computed") in seen
    assert not [pair for pair in seen if pair[0] == pair[1] == "stored"]


async def test_runs_that_are_over_for_all_are_forgotten(world: World) -> None:
    """Neither memory nor the broker keeps anything of five runs that have ended."""
    ids = [await world.begin("ABC"[i % 3]) for i in range(5)]
    for run_id in ids:
        assert await world.until_over(run_id) == ["stored"] * 3
    await world.forget()
    for member in world.members.values():
        assert member.keeper.open == {}
        assert member.retained == {}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"policy": "exact"}, "consortium.policy"),
    ({"parameters": {"delta": "0.9"}}, "consortium.bounds"),
    ({"agreement": "ab" * 32}, "consortium.other-agreement"),
    ({"version": "2"}, "consortium.analysis"),
    ({"members": ({"id": "A", "role": "bank"},)}, "consortium.other-members"),
]


@pytest.mark.parametrize(("changes", "code"), REFUSED)
async def test_what_was_not_agreed_is_refused_by_each_node(
    world: World, changes: dict[str, Any], code: str
) -> None:
    """Whatever the proposer says to it: the others judge for themselves, and compute nothing."""
    manifest = world.propose(**changes)
    for name in "BC":
        await world.say("A", name, manifest, world.signed_by("A", manifest, "consented"))
        own = world[name].keeper.open[manifest.run_id].own
        assert (own.phase, own.code, own.signature) == ("refused", code, "")
        assert world[name].workers.started == []


async def test_a_run_over_budget_is_refused_by_every_node(maker: Maker, tmp_path: Path) -> None:
    """Also by those whose own budget would do: not only by the one that asks."""
    budgets = {"period": "month", "bits": 100_000, "banks": {"C": 259}}
    world = await made(maker, tmp_path, budgets=budgets)
    await world.start()
    manifest = world.propose()
    for name in "BC":
        await world.say("A", name, manifest, world.signed_by("A", manifest, "consented"))
    for name in "BC":
        own = world[name].keeper.open[manifest.run_id].own
        assert (own.phase, own.code) == ("refused", "store.budget")
        assert "C could learn 260 bits, and 259 are left" in own.reason
        assert world[name].spent() == {}
    await world.end()


async def test_what_waits_to_be_charged_counts_as_spent(maker: Maker, tmp_path: Path) -> None:
    """Of two runs that fit into the budget one by one, the second is refused while the first waits.

    It would be over budget when it is charged.
    """
    world = await made(maker, tmp_path, budgets={"period": "month", "bits": 300, "banks": {}})
    await world.start()
    world["C"].workers.ports = 0
    first = await world.begin()
    await world.quiet()
    assert [world[name].phase(first) for name in "ABC"] == ["ready", "ready", "consented"]
    assert [world[name].spent() for name in "ABC"] == [{}] * 3
    second = await world.begin("B")
    assert await world.until_over(second) == ["refused"] * 3
    world["C"].workers.ports = 4
    assert await world.until_over(first) == ["stored"] * 3
    await world.end()


async def test_the_own_policy_refuses(maker: Maker, tmp_path: Path) -> None:
    """An analysis that one node refuses, or too many bits for it, is computed by nobody."""
    world = await made(maker, tmp_path)
    world.policies = {
        "B": PolicySection(refuse=("risk-propagation",)),
        "C": PolicySection(max_bits_per_run=250),
    }
    await world.start()
    run_id = await world.begin()
    assert await world.until_over(run_id) == ["abandoned", "refused", "refused"]
    b, c = (await world["B"].kept(run_id)).own, (await world["C"].kept(run_id)).own
    assert (b.code, b.reason) == ("node.policy", "B does not take part in risk-propagation")
    assert c.reason == "C could learn 260 bits; C allows 250 per run"
    assert (await world["A"].kept(run_id)).own.reason.startswith("B refused: B does not")
    assert all(world[name].workers.started == [] for name in "ABC")
    await world.end()


async def test_a_version_that_is_not_installed_is_refused(maker: Maker, tmp_path: Path) -> None:
    """The agreement may be ahead of the program."""
    world = await made(maker, tmp_path)
    ahead = [r | {"version": "9"} for r in world.consortium.terms["analyses"]]
    world.signed = world.consortium.signed(analyses=ahead)
    await world.start()
    run_id = await world.begin()
    assert await world.until_over(run_id) == ["refused"] * 3
    own = (await world["C"].kept(run_id)).own
    assert own.code == "node.version"
    assert own.reason == "risk-propagation has version 1 at C, the run asks for 9"
    await world.end()


@pytest.fixture
async def asking(maker: Maker, tmp_path: Path) -> Any:
    """Three banks of which A and B let a person decide."""
    world = await made(maker, tmp_path)
    world.policies = {"A": PolicySection(approve=()), "B": PolicySection(approve=("pagerank",))}
    await world.start()
    yield world
    await world.end()


async def test_a_person_is_asked_and_approves(asking: World) -> None:
    """The run waits for B's person; A's has consented by proposing it; both are on record."""
    run_id = await asking.begin("A")
    for _second in range(5):
        await asking.tick()
    assert [asking[n].phase(run_id) for n in "ABC"] == ["consented", "judging", "consented"]
    assert asking["B"].keeper.open[run_id].waiting_for == "a person's approval"
    await asking["B"].keeper.approve(run_id[:8], "bo")
    assert await asking.until_over(run_id) == ["stored"] * 3
    assert asking["B"].persons(run_id)["run.consented"] == "bo"
    assert asking["A"].persons(run_id)["run.consented"] == "ada"
    assert asking["C"].persons(run_id)["run.consented"] == "policy"


async def test_a_person_rejects(asking: World) -> None:
    """The others give the run up with the person's words, and nothing was charged."""
    run_id = await asking.begin("A")
    await asking.quiet()
    await asking["B"].keeper.reject(run_id, "not on a Friday", "bo")
    assert await asking.until_over(run_id) == ["abandoned", "refused", "abandoned"]
    assert (await asking["C"].kept(run_id)).own.reason == "B refused: not on a Friday"
    assert asking["B"].persons(run_id)["run.refused"] == "bo"
    assert asking["C"].spent() == {}


async def test_only_what_waits_can_be_approved(world: World) -> None:
    """A run that is computed needs no approval any more, and an unknown one has its own error."""
    world["B"].workers.auto = False
    run_id = await world.begin("A")
    await world.quiet()
    assert world["B"].phase(run_id) == "running"
    with pytest.raises(RunStateError, match="is running here"):
        await world["B"].keeper.approve(run_id, "bo")
    with pytest.raises(UnknownRunError, match="no open runs"):
        await world["B"].keeper.approve("zz", "bo")


async def test_a_person_stops_a_run_that_is_computed(world: World) -> None:
    """Before its vote each member may leave: the worker ends, all give up, nobody stores."""
    for name in "ABC":
        world[name].workers.auto = False
    run_id = await world.begin("A")
    await world.quiet()
    task = world["A"].keeper.open[run_id].task
    assert task is not None
    await world["A"].keeper.reject(run_id, "asked by mistake", "ada")
    assert task.cancelled()
    assert await world.until_over(run_id) == ["abandoned"] * 3
    assert (await world["C"].kept(run_id)).own.reason == "A gave up: asked by mistake"


async def test_a_vote_is_not_taken_back(world: World) -> None:
    """Who has stated that its part is computed may not leave: another may have stored already."""
    for name in "AC":
        world[name].workers.auto = False
    run_id = await world.begin("A")
    await world.quiet()
    assert world["B"].phase(run_id) == "computed"
    with pytest.raises(RunStateError, match="is computed here"):
        await world["B"].keeper.reject(run_id, "", "bo")
    for name in "AC":
        world[name].workers.finish(run_id)
    assert await world.until_over(run_id) == ["stored"] * 3


async def test_two_run_at_a_time_and_the_rest_in_one_order(maker: Maker, tmp_path: Path) -> None:
    """All nodes take the same two of five, people's runs before scheduled ones, then the oldest."""
    world = await made(maker, tmp_path)
    world.auto = False
    await world.start()
    ids = [await world.begin(name) for name in "ABCAB"]
    await world.quiet()
    waiting = list(ids)
    while waiting:
        for _second in range(4):
            await world.tick()
        running = {
            tuple(i for i in ids if i in m.keeper.open and m.phase(i) == "running")
            for m in world.members.values()
        }
        assert running == {tuple(waiting[:2])}
        for member in world.members.values():
            member.workers.finish(waiting[0])
        await world.quiet()
        waiting.pop(0)
    for name in "ABC":
        assert [run_id for run_id, _attempt in world[name].workers.started] == ids
    await world.end()


async def test_a_run_that_always_fails_is_given_up(world: World) -> None:
    """After three attempts, each of them charged in full to all banks."""
    world["C"].workers.auto = False
    run_id = await world.begin()
    for attempt in (1, 2, 3):
        for _second in range(60):
            await world.tick()
            if (run_id, attempt) in world["C"].workers.started:
                break
        world["C"].workers.fail(run_id, DataError("the disk of DE89370400440532013000", "Buy"))
        await world.quiet()
    ended = await world.until_over(run_id)
    assert ended == ["abandoned"] * 3
    for name in "ABC":
        member = world[name]
        assert member.charges(run_id) == [(a, b) for a in (1, 2, 3) for b in "ABC"]
        assert member.spent() == {bank: 3 * bits for bank, bits in COST.items()}
        own = (await member.kept(run_id)).own
        assert "DE89" not in own.reason, "words of a worker that may hold data stay at home"
        assert await member.stored(run_id) == []


async def test_one_failure_is_made_good_by_the_next_attempt(world: World) -> None:
    """All drop the first attempt, also those that have its result, and store the second."""
    world["B"].workers.auto = False
    run_id = await world.begin()
    await world.quiet()
    assert [world[n].phase(run_id) for n in "ABC"] == ["computed", "running", "computed"]
    world["B"].workers.fail(run_id, DataError("away", "Again"))
    world["B"].workers.auto = True
    assert await world.until_over(run_id) == ["stored"] * 3
    for name in "ABC":
        assert await world[name].stored(run_id) == [[f"{name}-1", 2.0]]
        assert world[name].disk.staged == {}


async def test_who_does_not_get_ready_costs_nothing(maker: Maker, tmp_path: Path) -> None:
    """A node that may not compute holds the run up; the others try again, and charge nobody."""
    world = await made(maker, tmp_path)
    await world.start()
    world["C"].workers.ports = 0
    run_id = await world.begin()
    await world.quiet()
    assert world["A"].phase(run_id) == "ready"
    await world.tick(31)
    own = world["A"].keeper.open[run_id].own
    assert (own.phase, own.code) == ("failed", "node.not-ready")
    assert own.reason == "C did not get ready in time"
    assert world["A"].spent() == {}
    world["C"].workers.ports = 4
    assert await world.until_over(run_id) == ["stored"] * 3
    assert world["A"].spent() == COST
    await world.end()


async def test_no_run_begins_while_payments_are_taken_in(world: World) -> None:
    """A worker would have to wait for it, and the others for the worker."""
    world["C"].workers.is_idle = False
    run_id = await world.begin()
    await world.tick()
    assert [world[name].phase(run_id) for name in "ABC"] == ["ready", "ready", "consented"]
    world["C"].workers.is_idle = True
    assert await world.until_over(run_id) == ["stored"] * 3
    assert (await world["C"].kept(run_id)).own.attempt == 1


async def test_a_run_without_all_consents_expires(asking: World) -> None:
    """Then all give it up, and say whose consent was missing."""
    run_id = await asking.begin("A")
    await asking.quiet()
    await asking.tick(3601)
    assert await asking.until_over(run_id) == ["abandoned", "refused", "abandoned"]
    own = (await asking["C"].kept(run_id)).own
    assert own.code == "node.expired"
    assert own.reason == "not begun in time: no consent of B"


async def test_a_result_that_discloses_more_than_was_charged_is_not_stored(world: World) -> None:
    """A bank has grown since it told its size: one that sees it is enough, and nobody stores."""
    world["B"].workers.sizes = {"C": 143}
    run_id = await world.begin()
    assert await world.until_over(run_id) == ["abandoned"] * 3
    own = (await world["B"].kept(run_id)).own
    assert (own.code, own.reason) == ("node.size-changed", "C has more accounts than it told")
    assert [await world[name].stored(run_id) for name in "ABC"] == [[]] * 3


async def test_a_rehearsal_discloses_nothing_and_stores_nothing(world: World) -> None:
    """It ends well, though its made-up accounts are more than the bank has."""
    world["B"].workers.sizes = {"B": 10_000}
    run_id = await world.begin(rehearsal=True)
    assert await world.until_over(run_id) == ["stored"] * 3
    assert sum(world["A"].spent().values()) == 0
    assert await world["A"].stored(run_id) == []


async def test_a_run_waits_until_all_sizes_are_known(world: World) -> None:
    """Without them nobody could say what it discloses."""
    world["B"].sizes.pop("C")
    run_id = await world.begin()
    await world.quiet()
    assert world["B"].keeper.open[run_id].waiting_for == "C has not told its size yet"
    world["B"].sizes["C"] = 130
    assert await world.until_over(run_id) == ["stored"] * 3


async def test_nothing_is_judged_without_an_agreement(world: World) -> None:
    """The run waits for it."""
    world["B"].agreement = None
    run_id = await world.begin()
    await world.tick()
    assert world["B"].phase(run_id) == "judging"
    assert world["B"].keeper.open[run_id].waiting_for == "an agreement in effect"
    world["B"].agreement = world.signed
    assert await world.until_over(run_id) == ["stored"] * 3


async def test_a_superseded_agreement_ends_what_has_not_begun(asking: World) -> None:
    """What waits is given up, not computed under terms that nobody signed it for."""
    run_id = await asking.begin("A")
    await asking.quiet()
    for name in "ABC":
        asking[name].agreement = asking.consortium.signed(scope="Other accounts.")
    assert "stored" not in await asking.until_over(run_id)
    assert (await asking["A"].kept(run_id)).own.code == "consortium.superseded"
    assert [asking[name].workers.started for name in "ABC"] == [[]] * 3


async def test_a_superseded_agreement_starts_no_worker(world: World) -> None:
    """A run for which some are ready when the new agreement comes is not computed under either."""
    world["C"].workers.ports = 0
    run_id = await world.begin()
    await world.quiet()
    assert world["A"].phase(run_id) == "ready"
    other = world.consortium.signed(scope="Other accounts.")
    for name in "ABC":
        world[name].agreement = other
    world["C"].workers.ports = 4
    assert await world.until_over(run_id) == ["abandoned"] * 3
    assert [world[name].workers.started for name in "ABC"] == [[]] * 3


async def test_a_run_is_begun_once(world: World) -> None:
    """To begin it again gives the same run, and one that is over is not begun again."""
    manifest = world.propose()
    first = await world["A"].keeper.begin(manifest, "ada")
    assert await world["A"].keeper.begin(manifest, "ada") is first
    assert await world.until_over(manifest.run_id) == ["stored"] * 3
    await world.forget()
    with pytest.raises(RunStateError, match="is over"):
        await world["A"].keeper.begin(manifest, "ada")
    assert world["A"].workers.started == [(manifest.run_id, 1)]


async def test_private_inputs_reach_the_own_worker_only(world: World) -> None:
    """They are in no statement, in no audit entry and in no other column of the database."""
    manifest = world.propose()
    secret = {"sources": ["DE89370400440532013000"]}
    await world["A"].keeper.begin(manifest, "ada", secret)
    assert await world.until_over(manifest.run_id) == ["stored"] * 3
    assert world["A"].workers.private[manifest.run_id] == secret
    assert world["B"].workers.private[manifest.run_id] == {}
    for file in tmp_files(world):
        assert b"DE8937" not in file.read_bytes(), file.name


def tmp_files(world: World) -> list[Path]:
    """All files of all nodes."""
    return [path for path in world.folder.rglob("*") if path.is_file()]


async def test_progress_is_told_while_a_worker_runs(world: World) -> None:
    """Every other second at most, and no longer when it has ended."""
    for name in "ABC":
        world[name].workers.auto = False
    run_id = await world.begin()
    await world.quiet()
    told = world["A"].spoken
    for step in range(10):
        world["A"].workers.progress[run_id](Progress("iterate", step, 10))
        await world.tick()
    assert 4 <= world["A"].spoken - told <= 6
    seen = world["B"].keeper.open[run_id].peers["A"]
    assert seen is not None
    assert seen.progress is not None
    assert seen.progress.total == 10
    for name in "ABC":
        world[name].workers.finish(run_id)
    assert await world.until_over(run_id) == ["stored"] * 3


async def test_a_node_that_starts_nothing_still_judges(maker: Maker, tmp_path: Path) -> None:
    """With [runs] enabled = false it consents and computes nothing."""
    world = await made(maker, tmp_path)
    world.runs = RunsSection(enabled=False)
    await world.start()
    run_id = await world.begin()
    for _second in range(5):
        await world.tick()
    assert {world[name].phase(run_id) for name in "ABC"} == {"consented"}
    await world.end()


async def test_a_worker_that_fails_in_an_unforeseen_way_fails_its_attempt(world: World) -> None:
    """No error of any kind leaves a run that is neither running nor over, or ends the node."""
    world["C"].workers.auto = False
    run_id = await world.begin()
    await world.quiet()
    world["C"].workers.fail(run_id, KeyError("D"))
    world["C"].workers.auto = True
    assert await world.until_over(run_id) == ["stored"] * 3
    assert (await world["A"].kept(run_id)).own.attempt == 2


async def test_a_database_that_is_away_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node goes on where it was when its database is back, at whatever step that was."""
    monkeypatch.setattr(keeper, "_AGAIN", SECOND // 100)
    phases = set()
    for step in range(1, 12, 2):
        run_id = await world.begin("ABC"[step % 3])
        for _message in range(step):
            if world.under_way:
                await world.deliver()
        world["B"].records.away = True
        if run_id in world["B"].keeper.open:
            phases.add(world["B"].phase(run_id))
        for _second in range(8):
            world.now += SECOND
            for name in "ABC":
                await world[name].keeper.tick()
            for _message in range(10):
                if world.under_way:
                    await world.deliver()
            await asyncio.sleep(0.01)
        world["B"].records.away = False
        ended = await world.until_over(run_id)
        assert len(set(ended)) == 1
        assert ended[0] == "stored", (await world["B"].kept(run_id)).own
    assert len(phases) >= 3
    assert world["B"].spent() == world["A"].spent()


async def test_bits_are_those_of_the_bands(world: World) -> None:
    """Four bands are two bits for each padded account."""
    run_id = await world.begin(policy=BANDS)
    await world.quiet()
    assert await world["A"].kept(run_id)
    assert (await world["A"].kept(run_id)).bits == COST
    assert world["A"].keeper.open[run_id].manifest.expires - world.now < HOUR
