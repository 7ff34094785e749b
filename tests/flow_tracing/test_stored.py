"""Columns prepared ahead: the same answers, bound to their purpose, each used once."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

import flow_tracing.stored
from bank_node.columns import ColumnStore
from bank_node.errors import PreparedColumnsError
from flow_tracing.stored import prepare_trace, prepared_trace
from graph_mpc.errors import ParameterError
from graph_mpc.policy import EXACT
from tests.flow_tracing.split import World, inputs, random_world, run_secure
from tests.flow_tracing.test_secure_trace import assert_equal, parameters
from tests.graph_mpc.local import contexts, roster_of
from tests.graph_mpc.test_rounds import Post, run_counted


class Recorded(ColumnStore):
    """A store that notes which columns it gives out."""

    used: list[tuple[str, int, str]]

    def get(self, run, name):
        if run is not None:
            self.used.append((self.folder.name, run, name))
        return super().get(run, name)


@pytest.fixture
def world() -> World:
    """Three banks, three slices."""
    return random_world(np.random.default_rng(12), accounts=24, payments=90, slices=3)


def prepare(folder: Path, world: World, chosen, runs: int = 3, preparation: str = "prep") -> None:
    """Let all parties prepare columns; each has a folder of its own."""

    async def program(ctx, own):
        peers = [p for p in range(3) if p != ctx.me]
        seeds = {str(p): ctx.streams._seeds[p] for p in peers}
        # The streams of the preparation are those of its id.
        ctx.streams._run = preparation.encode()
        about = {"preparation": preparation, "runs": runs, "seeds": seeds}
        store = ColumnStore.create(folder / str(ctx.me), about)
        outcome = await prepare_trace(ctx, chosen, own, store)
        store.complete()
        return outcome

    run_secure(world, 3, program)


def answer(folder: Path, world: World, chosen, sources, used=None):
    """Ask with the columns of a folder."""

    async def program(ctx, own):
        store = Recorded.open(folder / str(ctx.me))
        store.used = [] if used is None else used
        return await prepared_trace(ctx, chosen, EXACT, own, store)

    private = {b: {"sources": questions} for b, questions in sources.items()}
    return run_secure(world, 3, program, private)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("depth", ["off", "3"])
def test_prepared_columns_give_the_same_answers(tmp_path, world, direction, depth):
    """Two runs with different questions have the reference's amounts."""
    chosen = parameters(world, "p0=2", hops=3, direction=direction, depth=depth)
    prepare(tmp_path, world, chosen, runs=2)
    for sources in ({0: [world.own(0)[:1]]}, {0: [world.own(0)[:2], world.own(0)[2:3]]}):
        assert_equal(world, chosen, sources, answer(tmp_path, world, chosen, sources))


def test_each_run_uses_its_own_columns(tmp_path, world):
    """Over several runs no column is given out twice; then there are none left."""
    chosen = parameters(world, "p0=1", hops=2)
    prepare(tmp_path, world, chosen, runs=3)
    used: list[tuple[str, int, str]] = []
    sources = {0: [world.own(0)[:1]]}
    for _ in range(3):
        answer(tmp_path, world, chosen, sources, used)
    assert len(used) == len(set(used)) > 0
    assert {run for _party, run, _name in used} == {0, 1, 2}
    assert not list(tmp_path.glob("*/run-*"))
    with pytest.raises(PreparedColumnsError, match="all 3 prepared runs are used"):
        answer(tmp_path, world, chosen, sources, used)


def test_a_run_that_dies_has_used_its_columns(tmp_path, world, monkeypatch):
    """Between advancing the index and the first message: the next run takes other columns."""
    chosen = parameters(world, "p0=1", hops=2)
    prepare(tmp_path, world, chosen, runs=3)
    sources = {0: [world.own(0)[:1]]}
    used: list[tuple[str, int, str]] = []
    with monkeypatch.context() as patch:

        def dying(*_arguments):
            raise SystemError("the machine dies here")

        patch.setattr(flow_tracing.stored, "_restore_topology", dying)
        with pytest.raises(SystemError):
            answer(tmp_path, world, chosen, sources)
    outcomes = answer(tmp_path, world, chosen, sources, used)
    assert {run for _party, run, _name in used} == {1}
    assert_equal(world, chosen, sources, outcomes)


def test_a_restored_store_skips_to_the_others(tmp_path, world):
    """One party's store is put back to an earlier state: all skip to the largest index."""
    chosen = parameters(world, "p0=1", hops=2)
    prepare(tmp_path, world, chosen, runs=3)
    shutil.copytree(tmp_path / "1", tmp_path / "backup")
    sources = {0: [world.own(0)[:1]]}
    used: list[tuple[str, int, str]] = []
    answer(tmp_path, world, chosen, sources, used)
    shutil.rmtree(tmp_path / "1")
    (tmp_path / "backup").rename(tmp_path / "1")
    outcomes = answer(tmp_path, world, chosen, sources, used)
    assert len(used) == len(set(used))
    assert {run for _party, run, _name in used} == {0, 1}
    assert [int((tmp_path / str(p) / "next").read_text()) for p in range(3)] == [2, 2, 2]
    assert_equal(world, chosen, sources, outcomes)


def test_parties_with_different_indices_skip_to_the_largest(tmp_path, world):
    """A party that has used more than the others decides where all go on."""
    chosen = parameters(world, "p0=1", hops=2)
    prepare(tmp_path, world, chosen, runs=3)
    ColumnStore.open(tmp_path / "2").take(1)
    used: list[tuple[str, int, str]] = []
    sources = {0: [world.own(0)[:1]]}
    assert_equal(world, chosen, sources, answer(tmp_path, world, chosen, sources, used))
    assert {run for _party, run, _name in used} == {2}


def test_columns_of_different_preparations_are_refused(tmp_path, world):
    """Stores that were not filled together would give wrong answers: refused."""
    chosen = parameters(world, "p0=1", hops=2)
    prepare(tmp_path / "first", world, chosen, preparation="first")
    prepare(tmp_path / "second", world, chosen, preparation="second")
    shutil.rmtree(tmp_path / "first" / "1")
    (tmp_path / "second" / "1").rename(tmp_path / "first" / "1")
    with pytest.raises(ParameterError, match="different preparations"):
        answer(tmp_path / "first", world, chosen, {0: [world.own(0)[:1]]})


def test_other_payments_than_prepared_are_refused(tmp_path, world):
    """Columns are bound to the topology: a changed amount is noticed by its bank."""
    chosen = parameters(world, "p0=1", hops=2)
    prepare(tmp_path, world, chosen)
    world.flows.amount[0] += 1
    with pytest.raises(ParameterError, match="not those that the columns were prepared for"):
        answer(tmp_path, world, chosen, {0: [world.own(0)[:1]]})


def test_a_hop_takes_two_rounds(tmp_path, world):
    """With prepared columns each further hop in each slice costs two rounds of messages."""

    def rounds(hops: int) -> int:
        chosen = parameters(world, "p0=1", hops=hops)
        prepare(tmp_path / str(hops), world, chosen, runs=1)
        own = inputs(world, {0: {"sources": [world.own(0)[:1]]}})
        post = Post()

        async def program(ctx):
            store = ColumnStore.open(tmp_path / str(hops) / str(ctx.me))
            return await prepared_trace(ctx, chosen, EXACT, own[ctx.me], store)

        asyncio.run(run_counted(contexts(roster_of(3)), post, program))
        return post.rounds

    assert rounds(4) - rounds(3) == 2 * world.flows.slices
