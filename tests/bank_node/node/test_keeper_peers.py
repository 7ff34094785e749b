"""What other members say is believed only as far as they have signed it, and harms nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bank_node.consortium import RunManifest, sign_manifest
from bank_node.identity import SigningKey, create_signing_key
from bank_node.node import keeper
from bank_node.node.config import PolicySection
from bank_node.node.statement import Statement
from tests.bank_node.consortium.consortium import DAY, NOW, SECOND
from tests.bank_node.node.world import Maker, World

ALL = ["stored"] * 3


@pytest.fixture
async def lonely(maker: Maker, tmp_path: Path) -> Any:
    """Bank A alone is up; what B and C say is made up by the test."""
    world = World(maker, tmp_path, "ABC")
    await world.start()
    for name in "BC":
        await world[name].kill()
        world[name].seems_up = True
    yield world
    await world.end()


async def consent(world: World, manifest: RunManifest, *names: str) -> None:
    """Let these consent to A."""
    for name in names:
        await world.say(name, "A", manifest, world.signed_by(name, manifest, "consented"))


async def own(world: World, manifest: RunManifest) -> Statement:
    """Where A stands in a run."""
    return (await world["A"].kept(manifest.run_id)).own


async def test_a_run_begins_when_all_have_signed(lonely: World) -> None:
    """The measure for the tests below: with two true signatures A gets ready, with one not."""
    manifest = lonely.propose()
    await lonely["A"].keeper.begin(manifest, "ada")
    await consent(lonely, manifest, "B")
    assert (await own(lonely, manifest)).phase == "consented"
    await consent(lonely, manifest, "C")
    assert (await own(lonely, manifest)).phase == "ready"


@pytest.mark.parametrize("forgery", ["foreign", "zero", "of other bytes", "none"])
async def test_a_wrong_signature_is_no_consent(lonely: World, forgery: str) -> None:
    """Neither another member's signature nor one of another manifest makes a consent of C's."""
    manifest = lonely.propose()
    await lonely["A"].keeper.begin(manifest, "ada")
    await consent(lonely, manifest, "B")
    other = RunManifest.model_validate(manifest.model_dump() | {"nonce": "0" * 32})
    signature = {
        "foreign": sign_manifest(lonely["B"].seat.key, manifest),
        "zero": "00" * 64,
        "of other bytes": sign_manifest(lonely["C"].seat.key, other),
        "none": "",
    }[forgery]
    for phase in ("consented", "ready"):
        said = Statement(phase, 1, signature, port=9420)  # type: ignore[arg-type]
        await lonely.say("C", "A", manifest, said)
    assert (await own(lonely, manifest)).phase == "consented"
    assert lonely["A"].keeper.open[manifest.run_id].peers["C"] is None
    await consent(lonely, manifest, "C")
    assert (await own(lonely, manifest)).phase == "ready"


async def test_other_bytes_under_the_same_id_end_the_run(lonely: World) -> None:
    """A does not compute what C may take for something else."""
    manifest = lonely.propose()
    await lonely["A"].keeper.begin(manifest, "ada")
    await consent(lonely, manifest, "B")
    other = RunManifest.model_validate(manifest.model_dump() | {"policy": "exact"})
    await lonely.say("C", "A", other, lonely.signed_by("C", other, "consented"))
    ended = await own(lonely, manifest)
    assert (ended.phase, ended.code) == ("abandoned", "node.other-bytes")
    assert ended.reason == "C refused: C has another manifest under the same id"


async def test_who_is_no_member_is_not_heard(maker: Maker, tmp_path: Path) -> None:
    """D is in the consortium's keys but not in this agreement: no statement of its counts."""
    world = World(maker, tmp_path, "ABC")
    await world.start()
    manifest = world.propose("B")
    signature = sign_manifest(maker.consortium.seats["D"].key, manifest)
    said = Statement("consented", signature=signature).content()
    content = said | {"manifest": manifest.canonical().decode()}
    await world["A"].keeper.receive("D", manifest.run_id, content, 1)
    run = world["A"].keeper.open.get(manifest.run_id)
    assert run is None or "D" not in run.peers
    await world.end()


async def test_a_member_that_does_not_run_here_is_waited_for(maker: Maker, tmp_path: Path) -> None:
    """Nobody begins without the fourth member of the agreement."""
    world = World(maker, tmp_path, "ABCD")
    await world.start()
    await world["D"].kill()
    run_id = await world.begin()
    for _second in range(5):
        await world.tick()
    assert {world[name].phase(run_id) for name in "ABC"} == {"consented"}
    await world["D"].up()
    await world["D"].connect()
    assert await world.until_over(run_id) == ["stored"] * 4
    await world.end()


async def test_nobody_proposes_in_the_name_of_another(world: World) -> None:
    """A refuses what C proposes as A, though its policy consents to all that was agreed."""
    manifest = world.propose("A")
    for name in "AB":
        await world.say("C", name, manifest, world.signed_by("C", manifest, "consented"))
    await world.quiet()
    refused = await own(world, manifest)
    assert (refused.phase, refused.code) == ("refused", "node.not-proposed")
    await world.quiet()
    assert (await world["B"].kept(manifest.run_id)).own.phase == "abandoned"
    assert world["A"].spent() == world["B"].spent() == {}


async def test_the_beginning_of_an_id_is_another_run(lonely: World) -> None:
    """A run whose id is the beginning of a live one's leaves that one alone."""
    manifest = lonely.propose()
    await lonely["A"].keeper.begin(manifest, "ada", {"sources": ["x"]})
    live = lonely["A"].keeper.open[manifest.run_id]
    short = lonely.propose("C", run_id=manifest.run_id[:16])
    await lonely.say("C", "A", short, lonely.signed_by("C", short, "consented"))
    assert lonely["A"].keeper.open[manifest.run_id] is live
    assert live.peers["C"] is None
    assert lonely["A"].keeper.open[short.run_id].manifest == short


async def test_attempts_have_a_bound_that_all_share(lonely: World) -> None:
    """A peer that is far ahead ends the run; A never states what the others could not read."""
    manifest = lonely.propose()
    await lonely["A"].keeper.begin(manifest, "ada")
    await consent(lonely, manifest, "B", "C")
    for attempt in (999, 1000):
        said = lonely.signed_by("C", manifest, "failed", attempt=attempt)
        await lonely.say("C", "A", manifest, said)
        for _second in range(60):
            lonely.now += 10 * SECOND
            await lonely["A"].keeper.tick()
    assert (await own(lonely, manifest)).attempt <= 1000
    await lonely["A"].restart()
    lonely.now += DAY
    await lonely["A"].keeper.tick()
    assert (await own(lonely, manifest)).phase == "abandoned"


NONSENSE: list[dict[str, Any]] = [
    {},
    {"phase": "stored"},
    {"phase": "bankrupt"},
    {"attempt": -1},
    {"attempt": True},
    {"attempt": 10**9},
    {"signature": "xyz"},
    {"port": 70_000},
    {"code": "Not a code"},
    {"reason": "x" * 501},
    {"progress": {"phase": "DE89370400440532013000", "done": 1, "total": 2}},
    {"manifest": "{}"},
    {"manifest": 7},
    {"manifest": "x" * 60_000},
]


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_nonsense_changes_nothing(lonely: World, nonsense: dict[str, Any]) -> None:
    """A statement of a wrong form opens no run and moves none."""
    manifest = lonely.propose("B")
    content = lonely.signed_by("B", manifest, "consented").content()
    content |= {"manifest": manifest.canonical().decode()}
    content |= nonsense if nonsense else {"manifest": ""}
    await lonely["A"].keeper.receive("B", manifest.run_id, content, 1)
    if nonsense == {"phase": "stored"}:  # Of the right form, from a node that lies or was put back.
        assert (await own(lonely, manifest)).phase == "consented"
        return
    assert lonely["A"].keeper.open == {}
    assert await lonely["A"].records.run(manifest.run_id, "A") is None


async def test_words_of_a_peer_are_one_line(lonely: World) -> None:
    """They are shown to people, and stand in the audit log."""
    manifest = lonely.propose()
    await lonely["A"].keeper.begin(manifest, "ada")
    said = Statement("refused", code="node.policy", reason="no\x1b[2J\nDE89370400440532013000")
    await lonely.say("C", "A", manifest, said)
    ended = await own(lonely, manifest)
    assert ended.reason.isprintable()
    assert ended.phase == "abandoned"


async def test_what_comes_too_late_opens_no_run(lonely: World) -> None:
    """Nor does the one run too many."""
    manifest = lonely.propose("B")
    lonely.now = manifest.expires + 1
    await lonely.say("B", "A", manifest, lonely.signed_by("B", manifest, "consented"))
    assert lonely["A"].keeper.open == {}


@pytest.mark.parametrize("times", [(1 << 58, 1 << 59), (NOW - DAY, NOW - 1), (NOW, NOW + 99 * DAY)])
async def test_times_that_cannot_be_meant_open_no_run(
    lonely: World, times: tuple[int, int]
) -> None:
    """Of years ahead, of the past, or of a run that could begin for months."""
    manifest = lonely.propose("B", created=times[0], expires=times[1])
    await lonely.say("B", "A", manifest, lonely.signed_by("B", manifest, "consented"))
    assert lonely["A"].keeper.open == {}
    assert await lonely["A"].records.run(manifest.run_id, "A") is None


@pytest.mark.parametrize(
    ("port", "phase"), [(9423, "ready"), (9424, "consented"), (22, "consented")]
)
async def test_workers_connect_to_agreed_ports_only(lonely: World, port: int, phase: str) -> None:
    """A peer cannot send the others' workers to other services: such a statement is not heard."""
    manifest = lonely.propose()
    await lonely["A"].keeper.begin(manifest, "ada")
    await consent(lonely, manifest, "B", "C")
    said = lonely.signed_by("C", manifest, "ready", attempt=1, port=port)
    await lonely.say("C", "A", manifest, said)
    heard = lonely["A"].keeper.open[manifest.run_id].peers["C"]
    assert heard is not None
    assert heard.phase == phase


async def test_open_runs_are_bounded(lonely: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer cannot fill the memory, and its own runs leave it in the end."""
    monkeypatch.setattr(keeper, "_MOST_OPEN", 3)
    for _number in range(5):
        manifest = lonely.propose("B", policy="exact", expires=lonely.now + 30 * DAY)
        await lonely.say("B", "A", manifest, Statement("judging"))
    assert 1 <= len(lonely["A"].keeper.open) <= 3
    assert {r.own.phase for r in lonely["A"].keeper.open.values()} == {"refused"}
    for _day in range(4):
        lonely.now += DAY
        await lonely["A"].keeper.tick()
    assert lonely["A"].keeper.open == {}


async def test_a_new_key_does_not_undo_an_old_signature(world: World, tmp_path: Path) -> None:
    """A run that is being computed when B's new key comes into effect is stored all the same."""
    world["B"].workers.auto = False
    run_id = await world.begin()
    await world.quiet()
    assert world["A"].phase(run_id) == "computed"
    rotated = SigningKey.load(create_signing_key(tmp_path / "new"))
    seat = world["B"].seat
    seats = world.consortium.seats | {
        "B": replace(seat, key=rotated, entry=seat.entry | {"key": rotated.public})
    }
    signed = replace(world.consortium, seats=seats).signed(version=2, previous=world.signed.hash)
    world["B"].seat = seats["B"]
    for name in "ABC":
        world[name].agreement = signed
    await world["A"].restart()
    world["B"].workers.finish(run_id)
    assert await world.until_over(run_id) == ALL


async def test_one_refusal_ends_the_run_for_all(maker: Maker, tmp_path: Path) -> None:
    """Whoever refuses says why, and the others repeat it by its name."""
    world = World(maker, tmp_path, "ABCDE")
    world.policies = {"D": PolicySection(refuse=("risk-propagation",))}
    await world.start()
    run_id = await world.begin()
    ended = await world.until_over(run_id)
    assert ended == ["abandoned", "abandoned", "abandoned", "refused", "abandoned"]
    reason = (await world["E"].kept(run_id)).own.reason
    assert "D" in reason
    assert "does not take part" in reason
    await world.end()


async def test_a_peer_that_votes_and_then_gives_up_takes_the_result_with_it(world: World) -> None:
    """While a vote is missing, A keeps its result; when C gives up, A drops it."""
    world["B"].workers.auto = False
    run_id = await world.begin()
    await world.quiet()
    manifest = world["A"].keeper.open[run_id].manifest
    assert (run_id, 1) in world["A"].disk.staged
    await world.say("C", "A", manifest, Statement("abandoned", 1, code="node.result-lost"))
    assert await world.until_over(run_id) == ["abandoned"] * 3
    assert world["A"].disk.staged == {}
    assert world["A"].scores(run_id) == 0
