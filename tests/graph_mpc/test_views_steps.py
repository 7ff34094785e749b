r"""Whole steps of push, pull and folding: all that a party receives is jointly uniform.

The real code runs over Z_2^64, one prepared column for each lane, without the truncation (which
is proven in ``test_views``; its messages have masks of their own).  With permutations, matrices and
masks of weights fixed, a party's view V (all words of the streams that it shares, its shares of the
inputs, and every message received) is then M words + offset, with M over Z_2^64 found from unit
lanes and checked on random ones.  Fact: if M modulo 2 has full row rank, words -> M words is onto
over Z_2^64 (a right inverse modulo 2 lifts), so V is *exactly uniform*, whatever the secrets: the
simulator draws it at random.  What was fixed is independent of the words: own permutations and
factors pi2, uniform by ``test_views``.
"""

import itertools
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest

from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.layout import Entries
from graph_mpc.placement import fold_imports
from graph_mpc.precision import FixedPoint
from graph_mpc.pull import PullSystem, prepare_pull, pull, pull_shapes, set_up_pull
from graph_mpc.push import PushSystem, prepare_push, push, push_shapes, set_up_push
from graph_mpc.ring import RING64
from graph_mpc.shares import Shared
from tests.graph_mpc.local import Memory, MemoryTransport, roster_of, run_all
from tests.graph_mpc.simulator import RecordingNetwork, View
from tests.graph_mpc.views import Tape, TapeStreams, confusing, reduced_basis, without

FORM = FixedPoint(value_bits=20, weight_bits=10, limbs=1, bound=1.0)
CHECKS = 8
_DISCOVERY = 101


@dataclass(frozen=True)
class Graph:
    """Sizes and the randomness of matrices and imports."""

    parties: int
    owners: int
    vertices: int = 2
    entries: int = 2
    rows: int = 1

    def boundary(self) -> dict[tuple[int, int], int]:
        pairs = itertools.permutations(range(self.owners), 2)
        return dict.fromkeys(pairs, self.rows)


Step = Callable[[Context, Tape, Graph, np.random.Generator], Awaitable[None]]


class LoopedTape(Tape):
    """A tape on which permutations and masks of weights are drawn at random, once."""

    def draw(self, key: Any, shape: tuple[int, ...], width: int | None = None) -> np.ndarray:
        if self.lanes in shape:
            return super().draw(key, shape, width)
        pair, label = key
        lane = looped(label)
        if lane is None:
            drawn = self.outer["rng"].integers(0, 2**64, shape, np.uint64)
            return self.outer.setdefault(key, drawn)
        return super().draw((pair, without_lane(label)), (*shape, self.lanes))[..., lane]

    def permutation(self, key: Any, size: int) -> np.ndarray:
        place = (key[0], without_lane(key[1]))
        return self.outer.setdefault(place, self.outer["rng"].permutation(size)).astype(np.uint32)


def looped(label: Label) -> int | None:
    """Return the lane of a label that belongs to one lane."""
    for name in ("apply", "fold"):
        if name in label:
            return int(label[label.index(name) + 1])
    return None


def without_lane(label: Label) -> Label:
    """Return the label without its lane."""
    for name in ("apply", "fold"):
        if name in label:
            at = label.index(name) + 1
            return (*label[:at], *label[at + 1 :])
    return label


def in_lanes(view: View, lanes: int) -> dict[tuple[int, Label], np.ndarray]:
    """Return the received words with a lane axis; messages of single columns are put together."""
    whole: dict[tuple[int, Label], np.ndarray] = {}
    columns: dict[tuple[int, Label], list[np.ndarray]] = {}
    for (sender, label), values in view.of("received").items():
        if values.dtype != np.uint64 or values.size == 0:
            continue
        if looped(label) is not None:
            columns.setdefault((sender, without_lane(label)), []).append(values)
        elif values.shape[-1] == lanes:
            whole[sender, label] = values.reshape(-1, lanes)
        elif label[-1] != "w+u":
            raise AssertionError(f"message {label} of shape {values.shape} has no lanes")
    for key, values in columns.items():
        assert len(values) == lanes
        whole[key] = np.stack([v.ravel() for v in values], axis=1)
    return whole


def without_truncation() -> AbstractContextManager[Any]:
    """Leave out what is not linear: with nothing dealt, a step returns its products uncut."""

    async def no_dealing(*_arguments: Any) -> None:
        return None

    return mock.patch("graph_mpc.steps.deal", no_dealing)


async def views_of(step: Step, graph: Graph, tape: Tape, streams: type[TapeStreams], seed: int):
    """Run a step at all parties; return each one's view as (words, lanes)."""
    memory, roster = Memory(), roster_of(graph.parties, graph.owners)
    contexts = []
    for me in range(graph.parties):
        network = RecordingNetwork(me, graph.parties, MemoryTransport(me, memory), View())
        contexts.append(Context(me, roster, network, streams(me, tape), RING64))
    with without_truncation():
        await run_all(contexts, lambda ctx: step(ctx, tape, graph, np.random.default_rng(seed)))
    seen = []
    for ctx in contexts:
        parts = [tape.words[key] for key in sorted(tape.words, key=repr) if ctx.me in key[0]]
        parts += [tape.shares[key] for key in sorted(tape.shares) if key[0] == ctx.me]
        received = in_lanes(ctx.network.view, tape.lanes)
        parts += [received[key] for key in sorted(received, key=repr)]
        seen.append(np.concatenate([np.zeros((0, tape.lanes), np.uint64), *parts]))
    return seen


async def uneven(
    step: Step, graph: Graph, streams: type[TapeStreams] = TapeStreams, seed: int = 0
) -> set[int]:
    """Return the parties whose view is not uniform."""
    rng = np.random.default_rng(seed)
    outer = {"rng": rng}
    found = LoopedTape(
        RING64, _DISCOVERY, lambda _bit, _width: np.zeros(_DISCOVERY, np.uint64), outer
    )
    await views_of(step, graph, found, streams, seed)
    words = found.bits // 64
    lanes = 1 + words + CHECKS
    values = np.zeros((words, lanes), np.uint64)
    values[:, 1 : 1 + words] = np.eye(words, dtype=np.uint64)
    values[:, 1 + words :] = rng.integers(0, 2**64, (words, CHECKS), np.uint64)
    tape = LoopedTape(RING64, lanes, lambda bit, _width: values[bit // 64], outer)
    result = set()
    for party, view in enumerate(await views_of(step, graph, tape, streams, seed)):
        linear = view[:, 1 : 1 + words] - view[:, :1]
        predicted = linear @ values[:, 1 + words :] + view[:, :1]
        assert np.array_equal(predicted, view[:, 1 + words :]), "the step is not affine"
        rows = (linear & np.uint64(1)).astype(int)
        if len(reduced_basis(int("".join(map(str, row)), 2) for row in rows)) < len(view):
            result.add(party)
    return result


def matrix(graph: Graph, inputs: int, outputs: int, placed: int, rng) -> Entries:
    """A random private matrix."""
    return Entries(
        rng.integers(0, inputs, graph.entries),
        rng.integers(0, outputs, graph.entries),
        rng.integers(0, 2**64, (1, graph.entries), np.uint64),
        rng.integers(0, graph.vertices, placed),
    )


async def push_system(ctx: Context, graph: Graph, rng) -> PushSystem:
    """Set up random matrices."""
    vertices = dict.fromkeys(ctx.roster.owners, graph.vertices)
    entries = dict.fromkeys(ctx.roster.owners, graph.entries)
    shapes = push_shapes(ctx, vertices, graph.boundary(), entries, 1)
    drawn = [matrix(graph, s.inputs, s.outputs, s.placed, rng) for s in shapes.values()]
    own = drawn[ctx.me] if ctx.me in ctx.roster.owners else None
    return await set_up_push(ctx, ("system",), shapes, graph.boundary(), FORM, own)


def inputs(ctx: Context, tape: Tape, rows: dict[int, int], rng) -> dict[int, Shared]:
    """Secrets of all owners, shared at random in every lane."""
    return {
        b: tape.share(
            ctx, f"x{b}", (b, ctx.roster.helpers(b)[0]), rng.integers(-(2**40), 2**40, count)
        )
        for b, count in rows.items()
    }


def column_of(x: dict[int, Shared], column: int) -> dict[int, Shared]:
    """Return one lane of shared values."""
    return {b: v.map(lambda a: a[:, column].copy(), v.shape[:1]) for b, v in x.items()}


async def push_once(ctx: Context, tape: Tape, graph: Graph, rng) -> None:
    """Set up, prepare, and take one step in each lane."""
    system = await push_system(ctx, graph, rng)
    x = inputs(ctx, tape, {b: m.shape.outputs for b, m in system.maps.items()}, rng)
    block = await prepare_push(ctx, ("prepare",), system, tape.lanes)
    for column in range(tape.lanes):
        await push(ctx, system, block, column, column_of(x, column))


async def push_twice(ctx: Context, tape: Tape, graph: Graph, rng) -> None:
    """Two steps in each lane, the second on the result of the first."""
    system = await push_system(ctx, graph, rng)
    x = inputs(ctx, tape, {b: m.shape.outputs for b, m in system.maps.items()}, rng)
    first = await prepare_push(ctx, ("prepare", 0), system, tape.lanes)
    second = await prepare_push(ctx, ("prepare", 1), system, tape.lanes)
    for column in range(tape.lanes):
        y = await push(ctx, system, first, column, column_of(x, column))
        await push(ctx, system, second, column, y)


async def fold_once(ctx: Context, tape: Tape, graph: Graph, rng) -> None:
    """Fold the imports in each lane; every lane has its own labels but the same permutations."""
    system = await push_system(ctx, graph, rng)
    x = inputs(ctx, tape, {b: m.shape.outputs for b, m in system.maps.items()}, rng)
    for lane in range(tape.lanes):
        await fold_imports(ctx, ("fold", lane), system, column_of(x, lane))


async def pull_once(ctx: Context, tape: Tape, graph: Graph, rng) -> None:
    """Set up, prepare, and take one step of a pull system in each lane."""
    vertices = dict.fromkeys(ctx.roster.owners, graph.vertices)
    entries = dict.fromkeys(ctx.roster.owners, graph.entries)
    shapes = pull_shapes(ctx, vertices, graph.boundary(), entries, 1)
    drawn = [matrix(graph, s.inputs, s.outputs, 0, rng) for s in shapes.values()]
    exports = {
        b: {c: rng.integers(-1, graph.vertices, graph.rows) for c in shapes if c != b}
        for b in shapes
    }
    owner = ctx.me in ctx.roster.owners
    system: PullSystem = await set_up_pull(
        ctx, ("system",), shapes, graph.boundary(), FORM,
        drawn[ctx.me] if owner else None, exports.get(ctx.me, {}),
    )  # fmt: skip
    x = inputs(ctx, tape, vertices, rng)
    block = await prepare_pull(ctx, ("prepare",), system, tape.lanes)

    for column in range(tape.lanes):
        await pull(ctx, system, block, column, column_of(x, column))


THREE_BANKS = Graph(3, 3)
TWO_BANKS = Graph(3, 2, vertices=1, entries=1)
COMPUTE_PARTY = Graph(4, 3)
GRAPHS = pytest.mark.parametrize(
    "graph", [TWO_BANKS, THREE_BANKS, COMPUTE_PARTY, Graph(4, 2), Graph(5, 4, 1, 1)]
)


@GRAPHS
@pytest.mark.parametrize("step", [push_once, pull_once, fold_once])
async def test_views_of_whole_steps_are_uniform(step, graph):
    """Preparation and step with the real exchange of inputs and imports show nobody anything."""
    assert await uneven(step, graph) == set()


async def test_views_of_two_steps_are_uniform():
    """A second step on the result of the first shows nothing more, in all roles at once."""
    assert await uneven(push_twice, TWO_BANKS) == set()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("step", [push_once, push_twice, pull_once, fold_once])
@pytest.mark.parametrize("seed", range(8))
async def test_views_of_whole_steps_are_uniform_for_many_matrices(step, seed):
    """The same for other matrices, permutations and masks of weights, and bigger boundaries."""
    assert await uneven(step, Graph(3, 3, 2, 3, 2), seed=seed) == set()


def again(name: str) -> type[TapeStreams]:
    """Streams whose masks ``name`` of the second block are those of the first."""
    return confusing(
        lambda label: (
            ("prepare", 0, *label[2:]) if label[:2] == ("prepare", 1) and name in label else label
        )
    )


FAULTS = {
    "push: inputs not masked": (push_once, without("R"), {0, 1}),
    "push: imports not masked": (push_once, without("import"), {0, 1}),
    "push: column of the inputs used twice": (push_twice, again("R"), {0, 1}),
    "push: column of the imports used twice": (push_twice, again("import"), {0, 1}),
    "push: z + s not masked": (push_once, without("s"), {0, 1}),
    "pull: inputs not masked": (pull_once, without("R"), {0, 1}),
    "pull: exports not masked": (pull_once, without("import"), {0, 1}),
    "pull: selection of masks not masked": (pull_once, without("Sel"), {0, 1}),
    "fold: own rows not masked": (fold_once, without("T"), {0, 1}),
    "fold: imports not masked": (fold_once, without("import"), {0, 1}),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_in_a_whole_step_is_seen(fault):
    """A fault planted in a whole step makes the view of the parties named uneven."""
    step, streams, informed = FAULTS[fault]
    assert await uneven(step, TWO_BANKS, streams) == informed


async def test_push_in_lanes_computes_the_product():
    """The harness itself: a step in lanes multiplies every lane's values by the matrices."""
    graph, lanes = TWO_BANKS, 101
    opened = []

    async def step(ctx: Context, tape: Tape, graph: Graph, rng) -> None:
        system = await push_system(ctx, graph, rng)
        rows = {b: m.shape.outputs for b, m in system.maps.items()}
        x = inputs(ctx, tape, rows, rng)
        block = await prepare_push(ctx, ("prepare",), system, tape.lanes)
        y = await push(ctx, system, block, 7, column_of(x, 7))
        opened.append((ctx.me, system, column_of(x, 7), y))

    words = np.random.default_rng(1)
    outer = {"rng": np.random.default_rng(2)}
    tape = LoopedTape(
        RING64, lanes, lambda _bit, _width: words.integers(0, 2**64, lanes, np.uint64), outer
    )
    memory, roster = Memory(), roster_of(3, 2)
    contexts = []
    for me in range(3):
        network = RecordingNetwork(me, 3, MemoryTransport(me, memory), View())
        contexts.append(Context(me, roster, network, TapeStreams(me, tape), RING64))
    with without_truncation():
        await run_all(contexts, lambda ctx: step(ctx, tape, graph, np.random.default_rng(0)))
    by_party = {me: rest for me, *rest in opened}

    def value(position: int, b: int) -> np.ndarray:
        return by_party[b][position][b].local + by_party[b + 1][position][b].local

    for b in (0, 1):
        system, x = by_party[b][0], {c: value(1, c) for c in (0, 1)}
        d = x[b][:1] + x[1 - b][1:]
        assert np.array_equal(value(2, b), system.maps[b].apply_plain(d)[0])
