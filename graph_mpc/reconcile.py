r"""Reconciliation: which edges between two owners do both of them know?

Each pair of owners b, c shares a key that is fresh for the run.  Both tag their edges of the pair,
pad the tags with dummies from the pair's stream to a public size, shuffle, and send them to a third
party, which answers each owner which of its own tags have a partner.  A second list with a second
key tags edge and weights together, so that an owner learns whether the weights agree too.  Tags are
never exchanged between the owners: one that held both key and tags could try all counterparties.

A tag is AES-256 in CBC-MAC mode over a fixed number of blocks, a pseudorandom function for messages
of one length (Bellare, Kilian, Rogaway, 2000); on whole arrays it runs at the speed of AES, without
a loop over edges.

What each party sees: the third party sees pseudorandom tags in random order, and how many match; an
owner learns of its own edges which the other knows.

Source: protocol design, section 4 (``Reconciliation``); why not HMAC:
docs/decisions/reconciliation-tags.md.
"""

import asyncio
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.errors import ParameterError
from graph_mpc.graph import LocalGraph
from graph_mpc.labels import Label
from graph_mpc.padding import padded_size, require_padded
from graph_mpc.streams import sort_to_permutation

__all__ = ["Reconciliation", "keyed_tags", "reconcile"]

_TAG = 16
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Reconciliation:
    """What one owner learns about its own edges.

    Attributes:
        matched: bool (e,), True for edges within the owner and for edges that both owners know.
        agreed: bool (e,), True where the weights agree as well.
        shared: number of edges that lead to or come from other owners.
    """

    matched: NDArray[np.bool_]
    agreed: NDArray[np.bool_]
    shared: int

    @property
    def unmatched(self) -> int:
        """Number of edges that the other owner does not know."""
        return int(np.count_nonzero(~self.matched))

    @property
    def different(self) -> int:
        """Number of matched edges whose weights differ."""
        return int(np.count_nonzero(self.matched & ~self.agreed))

    def counts(self) -> dict[str, int]:
        """Return the counts for this owner's record of the run."""
        return {
            "cross_bank_edges": self.shared,
            "unmatched": self.unmatched,
            "different_amounts": self.different,
        }

    def require_matched(self, owner: str, limit: float) -> None:
        """Refuse the run if more than a share ``limit`` of the owner's shared edges is unknown."""
        if self.unmatched > limit * max(self.shared, 1):
            raise ParameterError(
                f"{self.unmatched} of the {self.shared} cross-bank edges of {owner} are unknown"
                f" to the other bank, above the limit of {limit:.0%}",
                "check that the banks' data cover the same days, or raise max_unmatched",
            )


async def reconcile(ctx: Context, label: Label, graph: LocalGraph | None) -> Reconciliation | None:
    """Reconcile every pair of owners; ``graph`` is None at a party without data."""
    owners = ctx.roster.owners
    neighbour = neighbour_of_edges(graph) if graph is not None else np.zeros(0, np.int64)
    counts = np.zeros(len(owners), np.int64)
    for position in range(len(owners)):
        counts[position] = padded_size(int(np.count_nonzero(neighbour == position)))
    published = await ctx.network.gather_published((*label, "sizes"), counts)
    for owner in owners:
        require_padded(ctx.roster.ids[owner], published[owner].tolist())
    pairs = [(i, j) for i in range(len(owners)) for j in range(i + 1, len(owners))]
    answers = await asyncio.gather(
        *(
            _reconcile_pair(
                ctx,
                (*label, owners[i], owners[j]),
                (owners[i], owners[j]),
                int(max(published[owners[i]][j], published[owners[j]][i])),
                _pair_edges(ctx, graph, neighbour, (i, j)),
            )
            for i, j in pairs
        )
    )
    if graph is None:
        return None
    matched = np.ones(graph.edges, np.bool_)
    agreed = np.ones(graph.edges, np.bool_)
    for answer in answers:
        if answer is not None:
            edges, is_matched, is_agreed = answer
            matched[edges] = is_matched
            agreed[edges] = is_agreed
    return Reconciliation(matched, agreed, int(np.count_nonzero(neighbour >= 0)))


def neighbour_of_edges(graph: LocalGraph) -> NDArray[np.int64]:
    """Return for each edge the position of the other owner in the roster; -1 if there is none."""
    foreign = np.minimum(graph.source, graph.target)
    owner = np.full(graph.edges, -1, np.int64)
    outward = foreign < 0
    owner[outward] = graph.neighbour_owner[~foreign[outward]]
    return owner


def keyed_tags(key: bytes, messages: Bytes) -> Bytes:
    """Return the tag of each message: (N, 16) of (N, 16 k), AES-256-CBC-MAC of fixed length."""
    encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305
    state = np.zeros((len(messages), _TAG), np.uint8)
    for start in range(0, messages.shape[1], _TAG):
        state ^= messages[:, start : start + _TAG]
        state = np.frombuffer(encryptor.update(state.tobytes()), np.uint8).reshape(-1, _TAG).copy()
    return state


@dataclass(frozen=True)
class _PairEdges:
    """The edges of one owner with another one, as messages to be tagged."""

    edges: NDArray[np.int64]
    messages: Bytes
    weighted: Bytes


def _pair_edges(
    ctx: Context, graph: LocalGraph | None, neighbour: NDArray[np.int64], pair: tuple[int, int]
) -> _PairEdges | None:
    owners = [ctx.roster.owners[position] for position in pair]
    if graph is None or ctx.me not in owners:
        return None
    other = pair[1] if ctx.me == owners[0] else pair[0]
    edges = np.flatnonzero(neighbour == other)
    time = np.zeros((len(edges), 2), np.int64)
    time[:, 0] = graph.slice[edges]
    messages = np.concatenate(
        [
            vertex_keys(graph, graph.source[edges]),
            vertex_keys(graph, graph.target[edges]),
            time.view(np.uint8),
        ],
        axis=1,
    )
    weights = np.stack([graph.weight[edges], graph.count[edges]], axis=1)
    weighted = np.concatenate([messages, weights.view(np.uint8).reshape(-1, _TAG)], axis=1)
    return _PairEdges(edges, messages, weighted)


def vertex_keys(graph: LocalGraph, vertices: NDArray[np.int32]) -> Bytes:
    """Return the 32-byte keys of own (v >= 0) and foreign (~i) vertices."""
    keys = np.empty((len(vertices), 32), np.uint8)
    own = vertices >= 0
    keys[own] = graph.vertex_key[vertices[own]]
    keys[~own] = graph.neighbour_key[~vertices[~own]]
    return keys


async def _reconcile_pair(
    ctx: Context, label: Label, pair: tuple[int, int], size: int, own: _PairEdges | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]] | None:
    third = ctx.roster.third(*pair)
    if ctx.me == third:
        for name in ("edges", "weights"):
            await _answer(ctx, (*label, name), pair, size)
    if own is None:
        return None
    peer = pair[1] if ctx.me == pair[0] else pair[0]
    matched, agreed = await asyncio.gather(
        _ask(ctx, (*label, "edges"), (peer, third), size, own.messages),
        _ask(ctx, (*label, "weights"), (peer, third), size, own.weighted),
    )
    return own.edges, matched, agreed


async def _ask(
    ctx: Context, label: Label, peer_and_third: tuple[int, int], size: int, messages: Bytes
) -> NDArray[np.bool_]:
    """At an owner: return which messages the other owner tagged as well."""
    peer, third = peer_and_third
    tags = keyed_tags(ctx.streams.key(peer, (*label, "key")), messages)
    words = ctx.streams.draw(peer, (*label, "dummies"), (size, 2)).values
    dummies = words[: size - len(tags)].view(np.uint8).reshape(-1, _TAG)
    padded = np.concatenate([tags, dummies])
    order = sort_to_permutation(ctx.streams.own((*label, "shuffle"), (size,)))
    if order is None:
        raise ValueError("two 64-bit keys of a shuffle are equal: start the run again")
    ctx.network.send_tags(third, (*label, "tags"), padded[order])
    answer = await ctx.network.receive_as(third, (*label, "answer"), (size,), np.uint8)
    matched = np.zeros(size, np.bool_)
    matched[order] = answer == 1
    return matched[: len(tags)]


async def _answer(ctx: Context, label: Label, pair: tuple[int, int], size: int) -> None:
    """At the third party: match the two lists of tags."""
    lists = [
        await ctx.network.receive_as(owner, (*label, "tags"), (size, _TAG), np.uint8)
        for owner in pair
    ]
    both = np.concatenate(lists).view(np.uint64)
    order = np.lexsort((both[:, 1], both[:, 0]))
    ordered, side = both[order], order >= size
    pairs = np.all(ordered[1:] == ordered[:-1], axis=1) & (side[1:] != side[:-1])
    found = np.zeros(2 * size, np.uint8)
    found[order[1:][pairs]] = 1
    found[order[:-1][pairs]] = 1
    for position, owner in enumerate(pair):
        start = position * size
        ctx.network.answer_tags(owner, (*label, "answer"), found[start : start + size])
