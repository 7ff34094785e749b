"""Reconciliation and boundary lists on random payment graphs."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc import reconcile as module
from graph_mpc.boundary import order_of_keys, reached_by, reaches
from graph_mpc.padding import padded_size
from graph_mpc.reconcile import keyed_tags, reconcile, vertex_keys
from tests.graph_mpc.graphs import Payments, split
from tests.graph_mpc.local import roster_of, run_all
from tests.graph_mpc.seeded import seeded_contexts


def random_payments(owners: int, seed: int, edges: int = 40) -> Payments:
    """Payments among a few accounts of all owners and a bank outside."""
    rng = np.random.default_rng(seed)
    accounts = 3 * owners + 2
    bank = np.append(np.repeat(np.arange(owners), 3), [-1, -1])
    source, target = rng.integers(0, accounts, (2, edges))
    return Payments(accounts, bank, source, target, rng.integers(1, 1000, edges))


def ids_of(graph) -> list[bytes]:
    """Source key, target key and slice of each edge."""
    keys = np.concatenate([vertex_keys(graph, graph.source), vertex_keys(graph, graph.target)], 1)
    return [k.tobytes() + bytes([s]) for k, s in zip(keys, graph.slice.tolist(), strict=True)]


def reconciled(graphs, parties: int, seed: int = 0):
    """Run the reconciliation; return contexts and what each owner learned."""
    contexts = seeded_contexts(roster_of(parties, len(graphs)), seed)

    async def program(ctx):
        graph = graphs[ctx.me] if ctx.me < len(graphs) else None
        return await reconcile(ctx, ("r",), graph)

    return contexts, asyncio.run(run_all(contexts, program))


def change_weights(graph, rng):
    """Other weights or counts for some edges."""
    some = rng.random(graph.edges) < 0.3
    others = rng.random(graph.edges) < 0.2
    return replace(graph, weight=graph.weight + some, count=graph.count + others)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_reconciliation(parties, owners, seed):
    """An owner learns which of its edges the other knows, and where the weights differ."""
    rng = np.random.default_rng(seed)
    owners = min(owners, parties)
    payments = random_payments(owners, seed)
    omit = {(int(b), int(p)) for b, p in rng.integers(0, (owners, 40), (10, 2))}
    graphs = [change_weights(g, rng) for g in split(payments, owners, omit)]
    _, answers = reconciled(graphs, parties)
    weights = [
        {k: (int(w), int(c)) for k, w, c in zip(ids_of(g), g.weight, g.count, strict=True)}
        for g in graphs
    ]
    for b, (graph, answer) in enumerate(zip(graphs, answers, strict=False)):
        neighbour = module.neighbour_of_edges(graph)
        for edge, key in enumerate(ids_of(graph)):
            other = int(neighbour[edge])
            known = other < 0 or key in weights[other]
            same = other < 0 or weights[other].get(key) == weights[b][key]
            assert (answer.matched[edge], answer.agreed[edge]) == (known, same)
        assert answer.shared == np.count_nonzero(neighbour >= 0)
        assert answer.unmatched == np.count_nonzero(~answer.matched)
        assert answer.different == np.count_nonzero(answer.matched & ~answer.agreed)
    assert all(answer is None for answer in answers[owners:])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_boundary_lists_agree(owners, seed):
    """After reconciliation both owners of a pair list the same vertices in the same order."""
    rng = np.random.default_rng(seed)
    omit = {(int(b), int(p)) for b, p in rng.integers(0, (owners, 40), (10, 2))}
    graphs = split(random_payments(owners, seed), owners, omit)
    _, answers = reconciled(graphs, max(3, owners))
    for b in range(owners):
        for c in range(owners):
            if b == c:
                continue
            there = reaches(graphs[b], answers[b].matched, c)
            here = reached_by(graphs[c], answers[c].matched, b)
            keys = graphs[b].neighbour_key[there.vertices]
            assert len(there) == len(here)
            assert np.array_equal(keys, graphs[c].vertex_key[here.vertices])
            assert np.array_equal(order_of_keys(keys), np.arange(len(keys)))


def test_keys_are_ordered_as_numbers():
    """Keys sort from their first byte on, all 32 bytes count."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 256, (50, 32)).astype(np.uint8)
    keys[:25, :31] = 7
    order = order_of_keys(keys)
    listed = [k.tobytes() for k in keys]
    assert [listed[i] for i in order] == sorted(listed)


@pytest.mark.parametrize("blocks", [1, 4, 6])
def test_keyed_tags_are_cbc_mac(blocks):
    """The tag of a message is the last block of its AES-CBC encryption."""
    rng = np.random.default_rng(blocks)
    messages = rng.integers(0, 256, (5, 16 * blocks)).astype(np.uint8)
    key = bytes(range(32))
    for message, tag in zip(messages, keyed_tags(key, messages), strict=True):
        encryptor = Cipher(algorithms.AES256(key), modes.CBC(bytes(16))).encryptor()
        assert tag.tobytes() == encryptor.update(message.tobytes())[-16:]
    assert keyed_tags(key, messages[:0]).shape == (0, 16)


def uniform_tags():
    """A double of ``keyed_tags``: the i-th new message under a key gets the key's i-th word."""
    known: dict[bytes, dict[bytes, bytes]] = {}

    def tags(key, messages):
        seen = known.setdefault(key, {})
        rng = np.random.default_rng(list(key))
        fresh = rng.integers(0, 256, (500, 16)).astype(np.uint8)
        out = [seen.setdefault(m.tobytes(), fresh[len(seen)].tobytes()) for m in messages]
        return np.frombuffer(b"".join(out), np.uint8).reshape(-1, 16)

    return tags


def other_accounts(graph):
    """The same graph among other accounts, with other weights."""
    return replace(
        graph,
        vertex_key=graph.vertex_key ^ 0x5A,
        neighbour_key=graph.neighbour_key ^ 0x5A,
        weight=graph.weight * 3 + 1,
        count=graph.count + 5,
    )


def test_third_party_sees_nothing_of_the_accounts(monkeypatch):
    """With uniform tags, all that a third party receives is the same for other accounts."""
    payments = random_payments(2, 11)
    graphs = split(payments, 2, {(0, 3), (1, 8)})
    received = []
    for version in (graphs, [other_accounts(g) for g in graphs]):
        monkeypatch.setattr(module, "keyed_tags", uniform_tags())
        contexts, _ = reconciled(version, 3, seed=5)
        messages = contexts[2].network._transport.received
        received.append(sorted((s, tag, payload.tobytes()) for s, tag, payload in messages))
    assert received[0] == received[1]


def test_third_party_sees_how_many_match():
    """Tags that a third party can pair are the common edges and common dummies, no more."""
    graphs = split(random_payments(2, 13), 2, {(0, p) for p in range(10)})
    contexts, answers = reconciled(graphs, 3)
    own = [int(np.count_nonzero(module.neighbour_of_edges(g) >= 0)) for g in graphs]
    size = padded_size(max(own))
    tags = [p for _, _, p in contexts[2].network._transport.received if len(p) == 16 * size]
    common = own[0] - answers[0].unmatched
    agreed = common - answers[0].different
    lists = [{t[16 * i : 16 * i + 16].tobytes() for i in range(size)} for t in tags]
    edges_of = {(i, j): len(lists[i] & lists[j]) for i in range(4) for j in range(i)}
    dummies = size - max(own)
    assert sorted(edges_of.values()) == [0, 0, 0, 0, dummies + agreed, dummies + common]
    assert all(len(found) == size for found in lists)


def test_owners_never_exchange_tags():
    """Tags go to a third party only, and their number is the padded one."""
    contexts, _ = reconciled(split(random_payments(3, 17), 3), 3)
    for ctx in contexts:
        for sent in ctx.network.transcript:
            if sent.label[-1] == "tags":
                pair = sent.label[1:3]
                assert ctx.me in pair
                assert sent.to not in pair
                assert padded_size(sent.nbytes // 16) * 16 == sent.nbytes
