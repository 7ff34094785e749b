r"""A simulator as executable proof: a party's view from its inputs and outputs only.

The party's real program runs in one ``Context``, with streams freshly drawn, against a transport
that answers every message it waits for from ``Knowledge``: the party's ideal outputs and what is
public.  Nothing of another party's input reaches it.  If the result cannot be told from a real
view, the real view shows nothing more than ``Knowledge``: this is the security argument, and the
lines below are its only moving parts.  Which rule answers a message follows from its label
(``RULES``); a label without a rule raises, so a new message cannot slip in.

*Uniform words* (``masked``): every ``Network.send``, whatever the step (``permutation``,
``scaling``, ``truncation``, ``product``, ``binary``, ``imports``, ``steps``, ``push``, ``pull``,
``placement``).  By the mask rule each contains a word of a stream of the sender with a third party
that no other message to this party contains; so all of them together are uniform, given all that
the party draws itself.  What a party can recompute (its own half of an opening, the mask u that it
knows as a helper) enters messages to others, never what it receives.

*Uniform injections* (``permutation``): pi2 = pi1^-1 o pi, pi1 uniform and known to the owner and
the other helper; domain and image are public sizes.

*Openings* (``opening``, the message "c" of ``truncation``): uniform but for the low f bits.  The
ideal functionality of a truncation draws a uniform *offset* o < 2^f, gives y = floor((x + o) /
2^f), tells the *dealer* o and the *two holders* the *coin* k = (x + o) mod 2^f.  Each alone is
uniform and independent of x; together with the party's later outputs they are not free, so the
simulator makes the low bits of own + received equal k, and at the dealer those of r_b + r_h equal
o.

*Published sizes* (``published``): public.  *Tags* (``tags``, ``reconcile``) at the third party of
a pair: two lists of random strings that share as many as the ideal functionality says, at random
places (AES-CBC-MAC under a key of the pair is taken for a random function).  *Answers*
(``answer``): which of the own tags match, in the order of the own shuffle; of the dummies, as many
as both banks have, which is size - max(edges of one, edges of the other): **the bank with fewer
edges of the pair learns how many the other has**.

*Release* (``release``): the ideal output minus the own share.  *Parts of an opened sum*
(``part``, ``sums``): uniform with the sum as it must be.  *Joint scalars* (``scalars``): the total
from the ideal functionality, shares of rho uniform: MPyC is taken for ideal here.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np

import pagerank.secure
from graph_mpc.context import Context
from graph_mpc.labels import Label, message_tag
from graph_mpc.layout import MapShape
from graph_mpc.network import Network
from graph_mpc.precision import FixedPoint
from graph_mpc.ring import RING64
from graph_mpc.roster import Roster
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask, SeededStreams

Rules = dict[tuple[Any, ...], str]

RULES: Rules = {
    ("sizes",): "published",
    ("reconcile", "sizes"): "published",
    ("reconcile", int, int, str, "tags"): "tags",
    ("reconcile", int, int, str, "answer"): "answer",
    ("system", int, "P1", "pi2"): "permutation",
    ("system", int, "P2", "pi2"): "permutation",
    ("system", int, "P3", "pi2"): "permutation",
    ("system", int, "w", "w+u"): "masked",
    ("prepare", int, int, "P1", "m"): "masked",
    ("prepare", int, int, "P2", "m"): "masked",
    ("prepare", int, int, "w", "z+s"): "masked",
    ("prepare", int, int, "w", "us-r", int): "masked",
    ("prepare", int, int, "P3", int, "m"): "masked",
    ("prepare", int, int, "limb", int, "P1", "m"): "masked",
    ("prepare", int, int, "limb", int, "P2", "m"): "masked",
    ("prepare", int, "truncate", int, "dealt"): "masked",
    ("prepare", int, "apply", int, "own", int): "masked",
    ("prepare", int, "apply", int, "rows", int, int, int): "masked",
    ("prepare", int, "apply", int, "truncate", int, "c"): "opening",
    ("fold", "place", int, "Q1", "pi2"): "permutation",
    ("fold", "place", int, "Q2", "pi2"): "permutation",
    ("fold", "place", int, "Q1", "m"): "masked",
    ("fold", "place", int, "Q2", "m"): "masked",
    ("fold", "own", int): "masked",
    ("fold", "rows", int, int, int): "masked",
    ("normalise", int, "multiply", "dealt"): "masked",
    ("normalise", int, "multiply", "open", "a"): "masked",
    ("normalise", int, "multiply", "open", "k"): "masked",
    ("normalise", int, "truncate", "dealt"): "masked",
    ("normalise", int, "truncate", "c"): "opening",
    ("release", int, "release"): "release",
}
"""Every message of ``secure_pagerank``, and how the simulator makes it."""

METHODS = {
    "published": "publish",
    "tags": "send_tags",
    "answer": "answer_tags",
    "permutation": "send_permutation",
    "masked": "send",
    "opening": "send",
    "release": "release",
    "released bits": "release_bits",
    "masked bits": "send_bits",
    "part": "open_masked_sum",
}
"""The method of ``Network`` by which a message of each kind must leave its sender."""


class NoRule(Exception):
    """A message that the simulator does not know."""


def rule_of(label: Label, rules: Rules = RULES) -> tuple[Any, ...]:
    """Return the one pattern of a label, or raise ``NoRule``."""
    found = [pattern for pattern in rules if _matches(label, pattern)]
    if len(found) != 1:
        raise NoRule(f"{len(found)} rules for message {label}")
    return found[0]


def _matches(label: Label, pattern: tuple[Any, ...]) -> bool:
    return len(label) == len(pattern) and all(
        isinstance(part, known) if isinstance(known, type) else part == known
        for part, known in zip(label, pattern, strict=True)
    )


@dataclass(frozen=True)
class Knowledge:
    """What the ideal functionality gives one party, and what is public.

    Attributes:
        accounts: number of all accounts.
        published: published arrays by label and party.
        shapes: public shape of each owner's matrix.
        form: fixed-point format.
        answers: by label without its end, (own tags that match, dummies that match).
        matches: by label without its end, number of tags that match, at the third party.
        offsets: by label of a dealing, the offsets, at the dealer.
        coins: by label of a truncation, the coins, at the two holders.
        released: own padded scores as ring elements, None at a compute party.
    """

    accounts: int
    published: dict[Label, dict[int, np.ndarray]]
    shapes: dict[int, MapShape]
    form: FixedPoint
    answers: dict[Label, tuple[np.ndarray, int]]
    matches: dict[Label, int]
    offsets: dict[Label, np.ndarray]
    coins: dict[Label, np.ndarray]
    released: np.ndarray | None


@dataclass
class View:
    """Everything that one party has: what it drew, received and sent, and its shares, in order."""

    entries: dict[tuple[str, int, Label], np.ndarray] = field(default_factory=dict)

    def add(self, kind: str, peer: int, label: Label, values: np.ndarray) -> None:
        """Note an entry; each occurs once."""
        assert (kind, peer, label) not in self.entries, (kind, peer, label)
        self.entries[kind, peer, label] = values.copy()

    def of(self, kind: str) -> dict[tuple[int, Label], np.ndarray]:
        """Return the entries of a kind."""
        return {key[1:]: values for key, values in self.entries.items() if key[0] == kind}

    def shape(self) -> list[tuple[Any, ...]]:
        """Return what is seen of a view without its content: kind, peer, label, shape, type."""
        return [(*key, v.shape, v.dtype.str) for key, v in self.entries.items()]


class RecordingStreams(SeededStreams):
    """Streams that keep what a party drew."""

    def __init__(self, me: int, seeds: dict[int, bytes], view: View) -> None:
        super().__init__(me, {p: s for p, s in seeds.items() if p != me}, "simulator")
        # A party's own seed is fresh in real life; a deterministic test fixes it as well.
        self._seeds[me] = seeds[me]
        self.view = view

    def draw(self, peer: int, label: Label, shape: tuple[int, ...]) -> Mask:
        mask = self.choose(super().draw(peer, label, shape), peer)
        self.view.add("drew", peer, label, mask.values)
        return mask

    def choose(self, mask: Mask, peer: int) -> Mask:
        """Return what is drawn instead; the simulator and planted faults override this."""
        return mask

    def permutation(self, peer: int, label: Label, size: int) -> np.ndarray:
        drawn = super().permutation(peer, label, size)
        self.view.add("drew", peer, label, drawn)
        return drawn

    def own(self, label: Label, shape: tuple[int, ...]) -> np.ndarray:
        words = super().own(label, shape)
        self.view.add("drew", self.me, label, words)
        return words


class RecordingNetwork(Network):
    """A network that keeps what a party received and sent, and by which method."""

    def __init__(self, me: int, parties: int, transport: Any, view: View) -> None:
        super().__init__(me, parties, transport)
        self.view = view
        self.methods: dict[Label, str] = {}
        self.expected: dict[int, tuple[Label, tuple[int, ...], Any]] = {}

    def _post(self, to: int, label: Label, payload: np.ndarray) -> None:
        self.view.add("sent", to, label, payload)
        super()._post(to, label, payload)

    async def _fetch(
        self, sender: int, label: Label, shape: tuple[int, ...], dtype: Any
    ) -> np.ndarray:
        self.expected[message_tag(label)] = (label, shape, dtype)
        payload = await super()._fetch(sender, label, shape, dtype)
        self.view.add("received", sender, label, payload)
        return payload

    @classmethod
    def noting(cls, method: str) -> Callable[..., None]:
        """Return the method, noting its name for the label."""

        def noted(self: Any, *arguments: Any) -> None:
            label = next(a for a in arguments if isinstance(a, tuple))
            self.methods[label] = method
            getattr(Network, method)(self, *arguments)

        return noted


for _method in set(METHODS.values()):
    setattr(RecordingNetwork, _method, RecordingNetwork.noting(_method))


class WatchedScalars:
    """Joint scalars whose shares are part of the view."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def total(self, ctx: Context, value: int) -> int:
        return int(await self.inner.total(ctx, value))

    async def reciprocal(self, ctx: Context, label: Label, part: Any, scale: Any) -> Any:
        shares = await self.inner.reciprocal(ctx, label, part, scale)
        for owner, share in shares.items():
            if share.local is not None:
                ctx.streams.view.add("scalars", owner, label, share.local)
        return shares


def watched_shares() -> AbstractContextManager[Any]:
    """Note the shares that a party holds after each step of PageRank."""
    steps = {name: getattr(pagerank.secure, name) for name in ("push", "fold_imports")}
    normalise = pagerank.secure._normalise

    def watched(name: str) -> Callable[..., Awaitable[dict[int, Shared]]]:
        async def step(ctx: Context, *arguments: Any) -> dict[int, Shared]:
            shares: dict[int, Shared] = await steps[name](ctx, *arguments)
            column = arguments[2] if name == "push" else 0
            system = arguments[0 if name == "push" else 1]
            for owner, share in shares.items():
                if share.local is not None:
                    n = system.vertices[owner]
                    ctx.streams.view.add("share", owner, (name, column), share.local[:n])
                    if len(share.local) > n:
                        ctx.streams.view.add("share", owner, (name, column, "rows"), share.local)
            return shares

        return step

    async def watched_normalise(ctx: Context, form: FixedPoint, z: Shared, rho: Shared) -> Shared:
        share = await normalise(ctx, form, z, rho)
        if share.local is not None:
            ctx.streams.view.add("share", share.owner, ("normalise",), share.local)
        return share

    changed = {name: watched(name) for name in steps}
    return mock.patch.multiple(pagerank.secure, _normalise=watched_normalise, **changed)


def low_bits(shifts: np.ndarray) -> np.ndarray:
    """Return words with the low ``shifts`` bits set."""
    return (np.uint64(1) << shifts) - np.uint64(1)


class SimulatedStreams(RecordingStreams):
    """Fresh streams; at a dealer, the low bits of r are the offset that it was given."""

    def __init__(self, me: int, seeds: dict[int, bytes], view: View, known: Knowledge) -> None:
        super().__init__(me, seeds, view)
        self.known = known

    def choose(self, mask: Mask, peer: int) -> Mask:
        place = mask.label[:-1]
        if mask.label[-1] != "rh" or place not in self.known.offsets:
            return mask
        (rb,) = (
            values
            for (kind, _peer, label), values in self.view.entries.items()
            if kind == "drew" and label == (*place, "rb")
        )
        low = low_bits(shifts_of(place, self.known.form))
        chosen = (mask.values & ~low) | ((self.known.offsets[place] - rb) & low)
        return Mask(mask.pair, mask.label, chosen)


def shifts_of(label: Label, form: FixedPoint) -> np.ndarray:
    """Return the bits that a truncation cuts, (limbs, 1)."""
    if label[0] == "normalise":
        return np.array([[form.weight_bits], [2 * form.weight_bits]], np.uint64)
    return form.shift_column()


class Simulator:
    """The transport of one party without any other party.

    Args:
        me: number of the party.
        roster: all parties.
        known: outputs of the party and what is public.
        rng: randomness of the simulator.
        view: of the party.
    """

    def __init__(
        self, me: int, roster: Roster, known: Knowledge, rng: np.random.Generator, view: View
    ) -> None:
        self.me = me
        self.roster = roster
        self.known = known
        self.rng = rng
        self.view = view
        self.network: RecordingNetwork | None = None
        self.pairs: dict[Label, tuple[np.ndarray, np.ndarray]] = {}

    def post(self, peer: int, tag: int, payload: np.ndarray) -> None:
        """Nobody is there to receive it."""

    async def fetch(self, peer: int, tag: int, nbytes: int) -> np.ndarray:
        """Make up the message that is waited for."""
        assert self.network is not None
        label, shape, dtype = self.network.expected[tag]
        make = getattr(self, RULES[rule_of(label)])
        message = np.ascontiguousarray(make(peer, label, shape))
        assert (message.dtype, message.shape) == (dtype, shape)
        return message.reshape(-1).view(np.uint8)

    def masked(self, _peer: int, _label: Label, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.integers(0, 2**64, shape, np.uint64)

    def opening(self, peer: int, label: Label, shape: tuple[int, ...]) -> np.ndarray:
        own = self.view.entries["sent", peer, label]
        low = low_bits(shifts_of(label, self.known.form))
        return (self.masked(peer, label, shape) & ~low) | (
            (self.known.coins[label[:-1]] - own) & low
        )

    def permutation(self, _peer: int, label: Label, shape: tuple[int, ...]) -> np.ndarray:
        owner = label[-3]
        m = self.known.shapes[owner]
        size = {
            "P1": m.source_rows,
            "P2": m.walk_rows,
            "P3": m.target_rows,
            "Q1": m.inputs + m.placed,
            "Q2": m.inputs + m.placed,
        }[label[-2]]
        return self.rng.permutation(size)[: shape[0]].astype(np.uint32)

    def published(self, peer: int, label: Label, _shape: tuple[int, ...]) -> np.ndarray:
        return self.known.published[label][peer]

    def tags_of_pair(self, label: Label, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        first, second = self.rng.integers(0, 256, (2, *shape), np.uint8)
        common = self.known.matches[label[:-1]]
        to, of = (self.rng.permutation(shape[0])[:common] for _ in range(2))
        second[to] = first[of]
        return first, second

    def tags(self, peer: int, label: Label, shape: tuple[int, ...]) -> np.ndarray:
        if label not in self.pairs:
            self.pairs[label] = self.tags_of_pair(label, shape)
        return self.pairs[label][0 if peer == label[1] else 1]

    def answer(self, _peer: int, label: Label, shape: tuple[int, ...]) -> np.ndarray:
        own, dummies = self.known.answers[label[:-1]]
        bits = np.zeros(shape, np.uint8)
        bits[: len(own)] = own
        bits[len(own) : len(own) + dummies] = 1
        return bits[np.argsort(self.view.entries["drew", self.me, (*label[:-1], "shuffle")])]

    def release(self, peer: int, _label: Label, _shape: tuple[int, ...]) -> np.ndarray:
        assert self.known.released is not None
        return self.known.released - self.view.entries["share", self.me, ("normalise",)]


class SimulatedScalars:
    """Joint scalars without the other parties."""

    def __init__(self, known: Knowledge, rng: np.random.Generator) -> None:
        self.known = known
        self.rng = rng

    async def total(self, _ctx: Context, _value: int) -> int:
        return self.known.accounts

    async def reciprocal(self, ctx: Context, _label: Label, _part: Any, _scale: Any) -> Any:
        shares = {}
        for owner in ctx.roster.owners:
            helper = ctx.roster.helpers(owner)[0]
            held = self.rng.integers(0, 2**64, 2, np.uint64) if ctx.me in (owner, helper) else None
            shares[owner] = Shared(owner, helper, (2,), held)
        return shares


def context_of(me: int, roster: Roster, streams: RecordingStreams, transport: Any) -> Context:
    """Return a context that records the party's view."""
    network = RecordingNetwork(me, roster.parties, transport, streams.view)
    if isinstance(transport, Simulator):
        transport.network = network
    return Context(me, roster, network, streams, RING64)


def fresh_seeds(parties: int, rng: np.random.Generator) -> dict[int, bytes]:
    """Return a seed for every pair of the party and for itself."""
    return {peer: rng.bytes(32) for peer in range(parties)}
