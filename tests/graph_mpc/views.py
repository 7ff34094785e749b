"""Exact views: what each party sees of the real engine code, over all randomness of a tiny ring.

The primitives act on each column of their arrays alike, so all values of all random words are
enumerated side by side: lane number i of an array belongs to assignment i of the words.  What has
no such axis (permutations, masks of weights) is enumerated in an outer loop.  A first run with
``_DISCOVERY`` lanes finds out which words are drawn.

The view of a party is every word of every stream that it shares (drawn or not), its shares of the
inputs, and every message that it received.  A protocol is private if parties cannot tell apart
secrets that agree in their own input and output: ``tellers`` returns the parties that can.
"""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graph_mpc.binary import XorShared
from graph_mpc.context import Context
from graph_mpc.errors import LabelReused
from graph_mpc.labels import Label
from graph_mpc.ring import Ring, Words
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask, word_type
from tests.graph_mpc.local import MemoryTransport, contexts, roster_of, run_all

_DISCOVERY = 101
_MOST_LANES = 1 << 20
_CHECKS = 16

Key = tuple[tuple[int, int], Label]
WordSource = Callable[[int, int], Words]
Program = Callable[[Context, "Tape", Any], Awaitable[Any]]


@dataclass
class Tape:
    """The randomness of one run.

    ``source(i, width)`` gives the lanes of the random word of ``width`` bits that begins with the
    i-th random bit.
    """

    ring: Ring
    lanes: int
    source: WordSource
    outer: dict[Key, Any] = field(default_factory=dict)
    options: dict[Key, list[Any]] = field(default_factory=dict)
    words: dict[Key, Words] = field(default_factory=dict)
    widths: dict[Key, int] = field(default_factory=dict)
    shares: dict[tuple[int, str], Words] = field(default_factory=dict)
    bits: int = 0

    def draw(self, key: Key, shape: tuple[int, ...], width: int | None = None) -> Words:
        """Return the words of a stream, with lanes if the shape has that axis."""
        width = self.ring.bits if width is None else width
        if self.lanes not in shape:
            size = int(np.prod(shape))
            options = itertools.product(range(1 << width), repeat=size)
            return np.array(self._choose(key, options), np.uint64).reshape(shape)
        axis = shape.index(self.lanes)
        rest = shape[:axis] + shape[axis + 1 :]
        if key not in self.words:
            elements = int(np.prod(rest, dtype=int))
            drawn = [self.source(self.bits + i * width, width) for i in range(elements)]
            self.words[key] = np.array(drawn, np.uint64).reshape(elements, self.lanes)
            self.widths[key] = width
            self.bits += elements * width
        words = self.words[key].reshape(*rest, self.lanes)
        return np.moveaxis(words, -1, axis).copy()

    def permutation(self, key: Key, size: int) -> np.ndarray:
        """Return the permutation of a stream."""
        return np.array(self._choose(key, itertools.permutations(range(size))), np.uint32)

    def _choose(self, key: Key, options: Iterable[Any]) -> Any:
        if key not in self.outer:
            self.options[key] = list(options)
            self.outer[key] = self.options[key][0]
        return self.outer[key]

    def share(self, ctx: Context, name: str, holders: tuple[int, int], secret: Any) -> Shared:
        """Share an input at random: ``secret`` has one element per row, all lanes alike."""
        owner, helper = holders
        secret = np.asarray(secret, np.int64).astype(np.uint64)
        shape = (*secret.shape, self.lanes)
        word = self.draw(((helper, helper), ("input", name)), shape)
        rest = self.ring.reduce(secret[..., None] - word)
        self.shares[owner, name] = rest.reshape(-1, self.lanes)
        local = {owner: rest, helper: word}.get(ctx.me)
        return Shared(owner, helper, shape, local)

    def xor_share(
        self, ctx: Context, name: str, holders: tuple[int, int], secret: Any, width: int
    ) -> XorShared:
        """XOR-share words of some bits at random."""
        owner, helper = holders
        secret = np.asarray(secret, np.uint64)
        shape = (*secret.shape, self.lanes)
        word = self.draw(((helper, helper), ("input", name)), shape, width)
        rest = secret[..., None] ^ word
        self.shares[owner, name] = rest.reshape(-1, self.lanes)
        local = {owner: rest, helper: word}.get(ctx.me)
        return XorShared(shape, width, None if local is None else local.astype(word_type(width)))


class TapeStreams:
    """The streams of one party, read from the tape (``graph_mpc.streams.Streams``)."""

    def __init__(self, me: int, tape: Tape) -> None:
        self.me = me
        self.tape = tape
        self.used: set[Key] = set()

    def same_words(self, label: Label) -> Label:
        """Return the label whose words are used; a planted fault overrides this."""
        return label

    def draw(self, peer: int, label: Label, shape: tuple[int, ...]) -> Mask:
        key = self._use(peer, label)
        return Mask(key[0], label, self.tape.draw((key[0], self.same_words(label)), shape))

    def draw_bits(self, peer: int, label: Label, shape: tuple[int, ...], width: int) -> Mask:
        key = self._use(peer, label)
        words = self.tape.draw((key[0], self.same_words(label)), shape, width)
        return Mask(key[0], label, words.astype(word_type(width)))

    def permutation(self, peer: int, label: Label, size: int) -> np.ndarray:
        return self.tape.permutation(self._use(peer, label), size)

    def key(self, peer: int, label: Label) -> bytes:
        raise NotImplementedError("byte keys are not enumerated")

    def own(self, label: Label, shape: tuple[int, ...]) -> Words:
        return self.draw(self.me, label, shape).values

    def _use(self, peer: int, label: Label) -> Key:
        key = ((min(self.me, peer), max(self.me, peer)), label)
        if key in self.used:
            raise LabelReused(f"{label} was drawn before", "a fault of the test's program")
        self.used.add(key)
        return key


class ZeroMasks(TapeStreams):
    """Planted fault: the named masks are zero, as if they had been left out."""

    missing: tuple[str, ...] = ()

    def draw(self, peer: int, label: Label, shape: tuple[int, ...]) -> Mask:
        mask = super().draw(peer, label, shape)
        if any(name in label for name in self.missing):
            return Mask(mask.pair, label, np.zeros(shape, np.uint64))
        return mask

    def draw_bits(self, peer: int, label: Label, shape: tuple[int, ...], width: int) -> Mask:
        mask = super().draw_bits(peer, label, shape, width)
        if any(name in label for name in self.missing):
            return Mask(mask.pair, label, np.zeros_like(mask.values))
        return mask


def without(*names: str) -> type[ZeroMasks]:
    """Return streams whose masks with these names are zero."""
    return type("Without", (ZeroMasks,), {"missing": names})


def confusing(labels: Callable[[Label], Label]) -> type[TapeStreams]:
    """Return streams that give the same words for labels that ``labels`` maps to one."""
    return type("Confusing", (TapeStreams,), {"same_words": lambda self, label: labels(label)})


@dataclass(frozen=True)
class View:
    """What one party saw: the same in all lanes, and lane by lane (columns, lanes)."""

    fixed: Hashable
    columns: Words
    messages: int


@dataclass(frozen=True)
class Run:
    """One run of all parties."""

    tape: Tape
    views: list[View]
    results: list[Any]


@dataclass(frozen=True)
class Setting:
    """Ring, number of parties, and the streams (faulty ones in the tests of the tests)."""

    ring: Ring
    parties: int = 3
    streams: type[TapeStreams] = TapeStreams


async def _run(program: Program, secret: Any, setting: Setting, tape: Tape) -> Run:
    parties = contexts(
        roster_of(setting.parties), setting.ring, lambda me: setting.streams(me, tape)
    )
    results = await run_all(parties, lambda ctx: program(ctx, tape, secret))
    return Run(tape, [_view(ctx, tape) for ctx in parties], results)


def _view(ctx: Context, tape: Tape) -> View:
    columns = [tape.words[key] for key in sorted(tape.words, key=repr) if ctx.me in key[0]]
    columns += [tape.shares[key] for key in sorted(tape.shares) if key[0] == ctx.me]
    outer = [(key, tape.outer[key]) for key in sorted(tape.outer, key=repr) if ctx.me in key[0]]
    fixed: list[Hashable] = [*outer]
    transport = ctx.network._transport
    assert isinstance(transport, MemoryTransport)
    received = sorted(transport.received, key=lambda message: message[:2])
    for sender, tag, payload in received:
        words = payload.view(transport.type_of(sender, tag))
        if len(words) and len(words) % tape.lanes and len(words) * 8 % tape.lanes == 0:
            # Released bits travel eight to a byte.
            words = np.unpackbits(words.view(np.uint8))
        if len(words) and len(words) % tape.lanes == 0:
            columns.append(words.reshape(-1, tape.lanes).astype(np.uint64))
        else:
            fixed.append((sender, tag, payload.tobytes()))
    empty = np.zeros((0, tape.lanes), np.uint64)
    return View(tuple(fixed), np.concatenate([empty, *columns]), len(received))


async def _discover(program: Program, secret: Any, setting: Setting) -> Tape:
    tape = Tape(setting.ring, _DISCOVERY, lambda _bit, _width: np.zeros(_DISCOVERY, np.uint64))
    await _run(program, secret, setting, tape)
    return tape


def _choices(found: Tape) -> Iterable[dict[Key, Any]]:
    """All assignments of what has no lanes."""
    for values in itertools.product(*found.options.values()):
        yield dict(zip(found.options, values, strict=True))


async def enumerate_runs(program: Program, secret: Any, setting: Setting) -> list[Run]:
    """Run the program once per outer choice, with a lane for each assignment of all words."""
    found = await _discover(program, secret, setting)
    lanes = 1 << found.bits
    assert lanes <= _MOST_LANES, f"{found.bits} random bits are too many"
    # More lanes than any array without lanes has elements: repeat the enumeration if need be.
    lanes = max(lanes, 64)
    number = np.arange(lanes, dtype=np.uint64)

    def digit(bit: int, width: int) -> Words:
        return number >> np.uint64(bit) & np.uint64((1 << width) - 1)

    return [
        await _run(program, secret, setting, Tape(setting.ring, lanes, digit, outer))
        for outer in _choices(found)
    ]


async def sample_run(program: Program, secret: Any, setting: Setting, lanes: int, seed: int) -> Run:
    """Run the program with random words in each lane."""
    rng = np.random.default_rng(seed)

    def random(_bit: int, width: int) -> Words:
        return rng.integers(0, 1 << width, lanes, dtype=np.uint64)

    return await _run(program, secret, setting, Tape(setting.ring, lanes, random))


def sorted_rows(columns: Words, bits: int) -> Words:
    """Return the lanes' rows, packed and sorted: equal arrays are equal multisets."""
    per_word = 63 // bits
    packed = []
    for start in range(0, max(len(columns), 1), per_word):
        word = np.zeros(columns.shape[1], np.uint64)
        for column in columns[start : start + per_word]:
            word = (word << np.uint64(bits)) | column
        packed.append(word)
    if len(packed) == 1:
        return np.sort(packed[0])
    return np.stack(packed)[:, np.lexsort(packed)]


def distribution(runs: list[Run], party: int) -> dict[Hashable, bytes]:
    """Return the party's view over all randomness, in a form that can be compared."""
    grouped: dict[Hashable, list[Words]] = {}
    for run in runs:
        view = run.views[party]
        grouped.setdefault(view.fixed, []).append(view.columns)
    bits = runs[0].tape.ring.bits
    return {
        fixed: sorted_rows(np.concatenate(columns, axis=1), bits).tobytes()
        for fixed, columns in grouped.items()
    }


async def tellers(
    program: Program,
    secrets: Iterable[Any],
    own: Callable[[Any, int], Hashable],
    setting: Setting,
) -> set[int]:
    """Return the parties that can tell apart secrets with the same ``own(secret, party)``."""
    return await _compare(
        secrets,
        own,
        setting,
        lambda secret: _exact(program, secret, setting),
    )


async def affine_tellers(
    program: Program,
    secrets: Iterable[Any],
    own: Callable[[Any, int], Hashable],
    setting: Setting,
) -> set[int]:
    """Return the same for programs over Z_2 that are affine in the words with lanes.

    With the outer choices fixed, a view is uniform over an affine subspace: the origin and one
    lane per word determine it, whatever the number of words.
    """
    assert setting.ring.bits == 1
    return await _compare(
        secrets, own, setting, lambda secret: _subspaces(program, secret, setting)
    )


async def _compare(
    secrets: Iterable[Any],
    own: Callable[[Any, int], Hashable],
    setting: Setting,
    distributions: Callable[[Any], Awaitable[list[Any]]],
) -> set[int]:
    first: dict[tuple[int, Hashable], Any] = {}
    found = set()
    for secret in secrets:
        for party, seen in enumerate(await distributions(secret)):
            if first.setdefault((party, own(secret, party)), seen) != seen:
                found.add(party)
    return found


async def _exact(program: Program, secret: Any, setting: Setting) -> list[Any]:
    runs = await enumerate_runs(program, secret, setting)
    return [distribution(runs, party) for party in range(setting.parties)]


async def _subspaces(program: Program, secret: Any, setting: Setting) -> list[Any]:
    found = await _discover(program, secret, setting)
    words = found.bits
    lanes = 1 + words + _CHECKS
    rng = np.random.default_rng(words)
    values = np.zeros((words, lanes), np.uint64)
    values[:, 1 : 1 + words] = np.eye(words, dtype=np.uint64)
    values[:, 1 + words :] = rng.integers(0, 2, (words, _CHECKS), dtype=np.uint64)
    seen: list[Counter[Hashable]] = [Counter() for _ in range(setting.parties)]
    for outer in _choices(found):
        tape = Tape(setting.ring, lanes, lambda word, _width: values[word], outer)
        run = await _run(program, secret, setting, tape)
        for party, view in enumerate(run.views):
            seen[party][view.fixed, _canonical(view.columns, values)] += 1
    return list(seen)


def _canonical(columns: Words, values: Words) -> tuple[int, ...]:
    """Return the reduced basis and the offset of the affine subspace, as bit vectors."""
    words = len(values)
    origin = columns[:, :1]
    linear = columns[:, 1 : 1 + words] ^ origin
    predicted = (linear @ values[:, 1 + words :] + origin) % np.uint64(2)
    assert np.array_equal(predicted, columns[:, 1 + words :]), "the program is not affine"
    vectors = [int("".join(map(str, row)) or "0", 2) for row in linear.T.astype(int)]
    offset = int("".join(map(str, origin[:, 0].astype(int))) or "0", 2)
    basis = _basis(vectors)
    return (*sorted(basis.values()), _reduce(offset, basis))


def reduced_basis(vectors: Iterable[int]) -> tuple[int, ...]:
    """Return the reduced basis of a space of bit vectors: equal for equal spaces."""
    return tuple(sorted(_basis(vectors).values()))


def _basis(vectors: Iterable[int]) -> dict[int, int]:
    basis: dict[int, int] = {}
    for vector in vectors:
        reduced = _reduce(vector, basis)
        if reduced:
            top = reduced.bit_length()
            basis = {b: v ^ reduced if v >> (top - 1) & 1 else v for b, v in basis.items()}
            basis[top] = reduced
    return basis


def _reduce(vector: int, basis: dict[int, int]) -> int:
    for top, element in basis.items():
        if vector >> (top - 1) & 1:
            vector ^= element
    return vector
