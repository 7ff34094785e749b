r"""Exact simulators of the primitives over tiny rings: simulated and real views are equal.

The party runs alone: every stream word that it shares, its shares of the inputs, and every word
that the simulator makes up are enumerated.  What a party is not told is set to ``UNKNOWN`` before
its program starts, so the simulated view cannot depend on it.  The real view is that of all parties
with all of their randomness enumerated.  Compared are the exact probabilities of all values of the
view, together with the outputs of *all* parties where the output is random (truncation).
"""

import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
import pytest

from graph_mpc.binary import XorShared
from graph_mpc.context import Context
from graph_mpc.labels import Label, message_tag
from graph_mpc.network import Network
from graph_mpc.ring import Ring, Words
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask, word_type
from tests.graph_mpc import test_views as real
from tests.graph_mpc import test_views_map as maps
from tests.graph_mpc.local import Memory, MemoryTransport, roster_of
from tests.graph_mpc.views import (
    _DISCOVERY,
    Run,
    Setting,
    Tape,
    TapeStreams,
    View,
    _choices,
    _view,
    enumerate_runs,
    sorted_rows,
    without,
)

NOBODY = (-1, -1)
"""Pair of the simulator's own words: no party draws them."""

Answer = Callable[["AloneNetwork", int, Label, tuple[int, ...]], np.ndarray]


class AloneTape(Tape):
    """The tape of a simulated run: an owner's share is a word of the simulator's."""

    def share(self, ctx: Context, name: str, holders: tuple[int, int], secret: Any) -> Shared:
        owner, helper = holders
        shape = (*np.shape(secret), self.lanes)
        local = None
        if ctx.me == owner:
            local = self.draw((NOBODY, ("input", name)), shape)
            self.shares[owner, name] = local.reshape(-1, self.lanes)
        elif ctx.me == helper:
            local = self.draw(((helper, helper), ("input", name)), shape)
        return Shared(owner, helper, shape, local)

    def xor_share(
        self, ctx: Context, name: str, holders: tuple[int, int], secret: Any, width: int
    ) -> XorShared:
        owner, helper = holders
        shape = (*np.shape(secret), self.lanes)
        local = None
        if ctx.me == owner:
            local = self.draw((NOBODY, ("input", name)), shape, width)
            self.shares[owner, name] = local.reshape(-1, self.lanes)
        elif ctx.me == helper:
            local = self.draw(((helper, helper), ("input", name)), shape, width)
        return XorShared(shape, width, None if local is None else local.astype(word_type(width)))


class AloneNetwork(Network):
    """A network on which the simulator answers."""

    def __init__(self, me: int, parties: int, ring: Ring, tape: Tape, answer: Answer) -> None:
        super().__init__(me, parties, MemoryTransport(me, Memory()), ring)
        self.tape = tape
        self.answer = answer
        self.width = ring.bits
        self.types: dict[int, Any] = {}
        self.sent: dict[Label, np.ndarray] = {}

    def _post(self, to: int, label: Label, payload: np.ndarray) -> None:
        self.sent[label] = payload

    async def _fetch(self, sender: int, label: Label, shape: tuple[int, ...], dtype: Any):
        # Words of a circuit are narrower than the ring; its labels say by how much.
        widths = [part for part in label if isinstance(part, int)]
        narrow = widths[-1] if widths else 1 if "b" in label else self._ring.bits
        self.width = self._ring.bits if dtype == np.uint64 else narrow
        message = np.ascontiguousarray(self.answer(self, sender, label, shape).astype(dtype))
        assert message.shape == shape
        payload = message.reshape(-1).view(np.uint8)
        self._transport.memory.types[sender, self.me, message_tag(label)] = message.dtype
        self._transport.received.append((sender, message_tag(label), payload))
        return message.copy()


def uniform(net: AloneNetwork, sender: int, label: Label, shape: tuple[int, ...]) -> np.ndarray:
    """Masked words."""
    return net.tape.draw((NOBODY, (sender, *label)), shape, net.width)


def placed_uniformly(size: int) -> Answer:
    """A factor of a permutation of ``size`` elements: a uniform injection; else uniform words."""

    def answer(net: AloneNetwork, sender: int, label: Label, shape: tuple[int, ...]) -> np.ndarray:
        if label[-1] != "pi2":
            return uniform(net, sender, label, shape)
        return net.tape.permutation((NOBODY, label), size)[: shape[0]]

    return answer


@dataclass(frozen=True)
class Case:
    """A primitive and its simulator.

    Attributes:
        program: of the real run.
        secrets: all that the parties bring.
        told: from (secret, party), the party's own input, the rest set to 0.
        bits: of the ring.
        answer: from a secret, the simulator's answers; it may use outputs of the secret only.
        fault: a mask that is missing in the control, and the party that this informs.
    """

    program: Any
    secrets: list[Any]
    told: Callable[[Any, int], Any]
    bits: int
    answer: Callable[[Any], Answer]
    fault: tuple[str, int]


async def alone(
    case: Case, secret: Any, party: int, parties: int, known: dict[Any, tuple[int, int]]
) -> list[Run]:
    """Enumerate one party's simulated runs.

    ``known`` are words that it shares, drawn or not: their number and width.
    """
    ring = Ring(case.bits)

    async def run(tape: Tape) -> Run:
        for key, (elements, width) in known.items():
            tape.draw(key, (elements, tape.lanes), width)
        net = AloneNetwork(party, parties, ring, tape, case.answer(secret))
        ctx = Context(party, roster_of(parties), net, TapeStreams(party, tape), ring)
        result = await case.program(ctx, tape, case.told(secret, party))
        return Run(tape, [_view(ctx, tape)], [result])

    found = AloneTape(ring, _DISCOVERY, lambda _bit, _width: np.zeros(_DISCOVERY, np.uint64))
    await run(found)
    lanes = max(1 << found.bits, 64)
    number = np.arange(lanes, dtype=np.uint64)

    def digit(bit: int, width: int) -> Words:
        return number >> np.uint64(bit) & np.uint64((1 << width) - 1)

    return [await run(AloneTape(ring, lanes, digit, outer)) for outer in _choices(found)]


def probabilities(views: list[View], bits: int) -> dict[Hashable, Any]:
    """Return the distribution of a view, in a form in which equal ones are equal."""
    grouped: dict[Hashable, list[Words]] = {}
    for view in views:
        grouped.setdefault(view.fixed, []).append(view.columns)
    counted = {}
    for fixed, columns in grouped.items():
        rows = np.atleast_2d(sorted_rows(np.concatenate(columns, axis=1), bits))
        values, counts = np.unique(rows, axis=1, return_counts=True)
        counted[fixed] = (values.tobytes(), counts)
    common = gcd(*(int(n) for _, counts in counted.values() for n in counts))
    return {
        fixed: (rows, (counts // common).tobytes()) for fixed, (rows, counts) in counted.items()
    }


async def differing(case: Case, parties: int = 3, streams: Any = TapeStreams) -> set[int]:
    """Return the parties whose real view is not the simulated one, for some secret."""
    found = set()
    setting = Setting(Ring(case.bits), parties, streams)
    for secret in case.secrets:
        runs = await enumerate_runs(case.program, secret, setting)
        for party in range(parties):
            genuine = probabilities([run.views[party] for run in runs], case.bits)
            words = runs[0].tape.words
            known = {
                key: (len(word), runs[0].tape.widths[key])
                for key, word in words.items()
                if party in key[0] and key[1][0] != "input"
            }
            simulated = [r.views[0] for r in await alone(case, secret, party, parties, known)]
            if genuine != probabilities(simulated, case.bits):
                found.add(party)
    return found


def nothing(secret: Any, _party: int) -> Any:
    """Nobody is told anything: all zeros, of the public shape."""
    return np.zeros_like(secret).tolist() if np.shape(secret) else 0


def owner_told_first(secret: Any, party: int) -> Any:
    """The owner is told the first part."""
    first = secret[0] if party == 0 else tuple(range(len(secret[0])))
    return (first, *(np.zeros_like(value).tolist() for value in secret[1:]))


def owner_told_matrix(secret: maps.Secret, party: int) -> maps.Secret:
    """The owner is told its matrix."""
    x = tuple(tuple(0 for _ in row) for row in secret.x)
    if party == 0:
        return maps.Secret(secret.source, secret.target, secret.weight, secret.place, x)
    return maps.Secret(0, 0, 0, tuple(0 for _ in secret.place), x)


def told_own_part(secret: Any, party: int) -> Any:
    """A party is told its own part of a sum."""
    return tuple(part if p == party else 0 for p, part in enumerate(secret))


def holders_told_c(secret: Any, party: int) -> Any:
    """The holders are told the public word."""
    return (secret[0] if party in (0, 1) else 0, 0)


def consistent_with_sum(secret: Any) -> Answer:
    """Parts of an opened sum: uniform, the last one as the sum demands."""
    total = np.uint64(sum(secret))

    def answer(net: AloneNetwork, sender: int, label: Label, shape: tuple[int, ...]) -> np.ndarray:
        others = [p for p in range(net.parties) if p != net.me]
        if sender != others[-1]:
            return uniform(net, sender, label, shape)
        before = [uniform(net, p, label, shape) for p in others[:-1]]
        return net._ring.reduce(total - net.sent[label] - np.sum(before, axis=0, dtype=np.uint64))

    return answer


def always(answer: Answer) -> Callable[[Any], Answer]:
    """The answers need no output."""
    return lambda _secret: answer


PAIRS = list(itertools.product(range(2), repeat=2))
CASES = {
    "permutation, two uses": Case(
        real.permute_twice,
        [(pi, (1, 0), y) for pi in itertools.permutations(range(2)) for y in [(0, 1), (1, 1)]],
        owner_told_first, 1, always(placed_uniformly(2)), ("r", 0),
    ),
    "injection, two uses": Case(
        real.permute_twice,
        [(pi, (1, 0, 0), (0, 1, 1)) for pi in itertools.permutations(range(3), 2)],
        owner_told_first, 1, always(placed_uniformly(3)), ("r", 0),
    ),
    "scaling, two uses": Case(
        real.scale_twice, [((w,), z, y) for w in range(4) for z, y in PAIRS],
        owner_told_first, 2, always(uniform), ("s", 0),
    ),
    "scaling, two limbs": Case(
        real.scale_twice, [(w, 1, z) for w in PAIRS for z in range(2)],
        owner_told_first, 1, always(uniform), ("u", 2),
    ),
    "product": Case(real.multiply_once, PAIRS, nothing, 2, always(uniform), ("c", 1)),
    "AND": Case(
        real.and_once, list(itertools.product(range(2), repeat=3)), nothing, 1, always(uniform),
        ("c", 1),
    ),
    "bit to ring": Case(real.bit_once, [0, 1], nothing, 2, always(uniform), ("bit", 0)),
    "borrow": Case(real.borrow_once, PAIRS, holders_told_c, 2, always(uniform), ("c", 1)),
    "truncation without output": Case(
        real.truncate_once, [-1, 0, 1], nothing, 3, always(uniform), ("t", 1)
    ),
    "imports, from its helper too": Case(
        real.hand_over(0, 2), PAIRS, nothing, 2, always(uniform), ("import", 2)
    ),
    "imports, receiver is a holder": Case(
        real.hand_over(0, 1), PAIRS, nothing, 2, always(uniform), ("import", 1)
    ),
    "opened sum": Case(
        real.open_sum_once, list(itertools.product(range(2), repeat=3)),
        told_own_part, 2, consistent_with_sum, ("zero", 0),
    ),
    "sum to owner": Case(
        real.sum_to_owner_once, list(itertools.product(range(2), repeat=3)),
        told_own_part, 2, always(uniform), ("rho", 0),
    ),
    "preparation and application of a map": Case(
        maps.applied(maps.ONE_ROW), maps.secrets_of(maps.ONE_ROW, [((0,),), ((1,),)]),
        owner_told_matrix, 1, always(placed_uniformly(2)), ("R", 0),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_simulated_view_is_the_real_one(name):
    """Each party's simulated view has exactly the real view's distribution, for every secret."""
    assert await differing(CASES[name]) == set()


@pytest.mark.parametrize("name", [name for name in CASES if "map" not in name])
async def test_simulator_does_not_fit_a_fault(name):
    """With one mask missing, the real view of the party named is not the simulated one."""
    case = CASES[name]
    mask, informed = case.fault
    assert informed in await differing(case, streams=without(mask))


async def cut_and_release(ctx: Context, tape: Tape, secret: Any) -> Words | None:
    """Truncate by one bit and release to the owner."""
    y = await real.truncate_once(ctx, tape, secret)
    if ctx.me == 1:
        ctx.network.release(0, ("out",), y.local)
    if ctx.me == 0:
        return ctx.ring.reduce(y.local + await ctx.network.receive(1, ("out",), y.shape))
    return None


SHIFT = np.uint64(1)


class IdealTruncation:
    """The ideal functionality of one truncation by one bit: offset, coin, output."""

    def __init__(self, tape: Tape, x: int) -> None:
        ring = tape.ring
        self.offset = tape.draw((NOBODY, ("offset",)), (tape.lanes,)) & SHIFT
        word = np.uint64(x % (1 << ring.bits))
        self.coin = (word + self.offset) & SHIFT
        moved = (np.int64(x) + self.offset.astype(np.int64)) >> 1
        self.output = ring.reduce(moved.astype(np.uint64))


class DealerStreams(TapeStreams):
    """At the dealer, the low bit of r = r_b + r_h is the offset that it was given."""

    offset: Words | None = None

    def draw(self, peer: int, label: Label, shape: tuple[int, ...]) -> Mask:
        mask = super().draw(peer, label, shape)
        if label[-1] != "rh" or self.offset is None:
            return mask
        rb = self.tape.words[(0, 2), ("cut", "rb")][0]
        chosen = (mask.values & ~SHIFT) | ((self.offset - rb) & SHIFT)
        self.tape.words[mask.pair, label] = chosen.reshape(1, -1)
        return Mask(mask.pair, label, chosen)


async def truncation_alone(x: int, party: int, ring: Ring, told: bool) -> list[View]:
    """Enumerate one party's simulated truncation, with the output of all in its view's rows.

    ``told``: the party is given its offset or coin, as the ideal functionality says.
    """

    async def run(tape: Tape) -> View:
        ideal = IdealTruncation(tape, x)
        streams = DealerStreams(party, tape)
        streams.offset = ideal.offset if told and party == 2 else None

        def answer(net: AloneNetwork, sender: int, label: Label, shape: Any) -> np.ndarray:
            if label == ("out",):
                return ring.reduce(ideal.output - holder["y"])
            message = uniform(net, sender, label, shape)
            if label[-1] != "c" or not told:
                return message
            return (message & ~SHIFT) | ((ideal.coin - net.sent[label]) & SHIFT)

        holder: dict[str, Words] = {}
        net = AloneNetwork(party, 3, ring, tape, answer)
        ctx = Context(party, roster_of(3), net, streams, ring)
        y = await real.truncate_once(ctx, tape, 0)
        if party == 0:
            holder["y"] = y.local
            received = await net.receive(1, ("out",), y.shape)
            assert np.array_equal(ring.reduce(y.local + received), ideal.output)
        return with_output(_view(ctx, tape), ideal.output)

    found = AloneTape(ring, _DISCOVERY, lambda _bit, _width: np.zeros(_DISCOVERY, np.uint64))
    await run(found)
    number = np.arange(1 << found.bits, dtype=np.uint64)

    def digit(bit: int, width: int) -> Words:
        return number >> np.uint64(bit) & np.uint64((1 << width) - 1)

    return [await run(AloneTape(ring, len(number), digit))]


def with_output(view: View, output: Words) -> View:
    """Return the view with the released output as one more column."""
    return View(view.fixed, np.concatenate([view.columns, output[None]]), view.messages)


@pytest.mark.parametrize("told", [True, False])
async def test_truncation_with_output_needs_offset_and_coin(told):
    """Offset at the dealer, coin at the holders: with them simulation is exact, without it is not.

    Compared is each party's view *together with the owner's output*: it is what a party could see
    if the output, or what is computed from it, reached it later.
    """
    ring, differ = Ring(3), set()
    for x in (-1, 0, 1):
        (run,) = await enumerate_runs(cut_and_release, x, Setting(ring))
        for party in range(3):
            genuine = probabilities([with_output(run.views[party], run.results[0])], ring.bits)
            simulated = await truncation_alone(x, party, ring, told)
            if genuine != probabilities(simulated, ring.bits):
                differ.add(party)
    assert differ == (set() if told else {0, 1, 2})
