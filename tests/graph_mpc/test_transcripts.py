"""Whole runs: their shape does not depend on data, and their messages look uniform."""

import ast
import asyncio
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.special import gammaincc

from graph_mpc.labels import message_tag
from graph_mpc.permutation import set_up_permutation
from graph_mpc.policy import EXACT
from graph_mpc.program import OwnerInput
from graph_mpc.streams import Mask, SeededStreams
from pagerank import PageRankParameters, secure_pagerank
from tests.graph_mpc.graphs import Payments, TrustedScalars, split
from tests.graph_mpc.local import roster_of, run_all
from tests.graph_mpc.seeded import seeded_contexts

ROOT = Path(__file__).parents[2]
SIGNIFICANCE = 1e-6
NOT_UNIFORM = ("sizes", "pi2", "answer", "release")
"""Messages of public sizes, permutations (tested as such), answers, and the owner's results."""


def payments_of(seed: int, edges: int, per_bank: int = 8) -> Payments:
    """Payments among three banks; few enough edges for one padded size."""
    rng = np.random.default_rng(seed)
    accounts = 3 * per_bank
    bank = np.arange(accounts) % 3
    source, target = rng.integers(0, accounts, (2, edges))
    return Payments(accounts, bank, source, target, rng.integers(1, 10**6, edges))


async def run(payments: Payments, parties: int, seed: int = 0, parameters=None, spoil=None):
    """Run PageRank over three banks; return the contexts."""
    contexts = seeded_contexts(roster_of(parties, 3), seed)
    if spoil:
        for ctx in contexts:
            spoil(ctx)
    graphs = split(payments, 3)
    rng = np.random.default_rng(seed)
    scalars = TrustedScalars(parties)
    chosen = parameters or PageRankParameters(iterations=20)

    async def program(ctx):
        own = None
        if ctx.me < 3:
            graph = graphs[ctx.me]
            own = OwnerInput(graph, {"risk_score": rng.random(graph.vertices)})
        return await secure_pagerank(ctx, scalars, chosen, EXACT, own)

    await run_all(contexts, program)
    return contexts


@pytest.mark.parametrize("parties", [3, 4, 5])
@pytest.mark.parametrize("personalisation", ["uniform", "risk_score"])
async def test_transcripts_have_one_shape(parties, personalisation):
    """Inputs of the same padded sizes give the same messages, sizes and order everywhere."""
    parameters = PageRankParameters(iterations=3, personalisation=personalisation)
    shapes = []
    for seed, edges in ((1, 12), (2, 5), (3, 0)):
        contexts = await run(payments_of(seed, edges), parties, seed, parameters)
        shapes.append([ctx.network.transcript for ctx in contexts])
    assert shapes[0] == shapes[1] == shapes[2]
    assert all(len(transcript) > 0 for transcript in shapes[0][:3])


def chi_square_of_bytes(data: np.ndarray) -> float:
    """p-value of bytes being uniform."""
    counts = np.bincount(data, minlength=256)
    expected = len(data) / 256
    return float(gammaincc(255 / 2, np.sum((counts - expected) ** 2 / expected) / 2))


def masked_messages(contexts):
    """Bytes of the masked messages by (sender, receiver, kind), in the order of arrival."""
    labels = {
        (ctx.me, sent.to, message_tag(sent.label)): sent.label
        for ctx in contexts
        for sent in ctx.network.transcript
    }
    grouped: dict[tuple, list[np.ndarray]] = {}
    for ctx in contexts:
        for sender, tag, payload in ctx.network._transport.received:
            label = labels[sender, ctx.me, tag]
            if not any(part in NOT_UNIFORM for part in label):
                kind = tuple(part for part in label if isinstance(part, str))
                grouped.setdefault((sender, ctx.me, kind), []).append(payload)
    return grouped


def p_values(grouped) -> list[float]:
    """Chi-square of bytes, and of bytes of differences of messages of equal length."""
    found = []
    for messages in grouped.values():
        found.append(np.concatenate(messages))
        words = [m.view(np.uint64) for m in messages]
        pairs = [(a, b) for a, b in itertools.pairwise(words) if 0 < len(a) == len(b)]
        if pairs:
            # Disjoint pairs: differences of neighbours would not be independent.
            found.append(np.concatenate([b - a for a, b in pairs[::2]]).view(np.uint8))
    return [chi_square_of_bytes(data) for data in found if len(data) >= 256 * 8]


async def test_messages_look_uniform():
    """No masked message's bytes, nor differences of messages, are distinguishable from uniform."""
    tested = p_values(masked_messages(await run(payments_of(4, 60), 4, seed=8)))
    assert len(tested) > 30
    assert min(tested) * len(tested) > SIGNIFICANCE


class NoMask(SeededStreams):
    """Planted fault: one kind of mask is zero."""

    missing = ("P1", "r")

    def draw(self, peer, label, shape):
        mask = super().draw(peer, label, shape)
        if label[-2:] == self.missing:
            return Mask(mask.pair, label, np.zeros(shape, np.uint64))
        return mask


async def test_missing_mask_does_not_look_uniform():
    """The smoke test sees a preparation whose first permutation is not masked."""

    def spoil(ctx):
        ctx.streams.__class__ = NoMask

    tested = p_values(masked_messages(await run(payments_of(4, 60), 4, seed=8, spoil=spoil)))
    assert min(tested) * len(tested) < SIGNIFICANCE


@pytest.mark.parametrize("pi", [(0, 1, 2, 3), (3, 1, 0, 2)])
async def test_permutations_look_uniform(pi):
    """Each helper's factor of a permutation is uniform, whatever the permutation is."""
    count = 2400

    async def program(ctx):
        index = np.array(pi, np.uint32) if ctx.me == 0 else None
        ways = [
            await set_up_permutation(ctx, ("p", use), (0, 1, 2), (4, 4), index)
            for use in range(count)
        ]
        factors = [way.first if ctx.me == 1 else way.second for way in ways]
        return Counter(tuple(f.tolist()) for f in factors if f is not None)

    for seen in (await run_all(seeded_contexts(roster_of(3), 3), program))[1:]:
        statistic = sum((n - count / 24) ** 2 / (count / 24) for n in seen.values())
        assert len(seen) == 24
        assert gammaincc(23 / 2, statistic / 2) > SIGNIFICANCE


FORBIDDEN = {"random", "pickle", "numpy.random", "marshal", "shelve", "dill", "cloudpickle"}


@pytest.mark.parametrize("package", ["graph_mpc", "pagerank"])
def test_no_insecure_modules(package):
    """Neither a predictable random generator nor pickle is used by the engine."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            assert not names_in(node) & FORBIDDEN, f"{path}:{getattr(node, 'lineno', 0)}"


def names_in(node: ast.AST) -> set[str]:
    """Modules that a statement imports, or numpy.random by attribute."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        is_numpy = node.value.id in ("np", "numpy")
        return {"numpy.random"} if is_numpy and node.attr == "random" else set()
    return set()


def test_run_is_deterministic_under_fixed_seeds():
    """The seeds decide every byte, so the statistical tests above cannot fail by chance."""
    received = []
    for _ in range(2):
        contexts = asyncio.run(run(payments_of(5, 10), 3, seed=2))
        received.append(
            [
                (sender, tag, payload.tobytes())
                for ctx in contexts
                for sender, tag, payload in ctx.network._transport.received
            ]
        )
    assert received[0] == received[1]
