"""Secure PageRank under output policies: what they leave of the exact scores, and no more."""

import asyncio

import numpy as np
import pytest

from graph_mpc.policy import parse_policy
from graph_mpc.program import OwnerInput
from graph_mpc.release import in_plain
from pagerank import PageRankParameters, secure_pagerank
from tests.graph_mpc.graphs import TrustedScalars, split
from tests.graph_mpc.local import contexts, roster_of, run_all
from tests.pagerank.test_secure_pagerank import GRAPHS, expected, risk_of

POLICIES = ("bands:0.02,0.1,0.3", "threshold:0.05:0.02")


def released(name: str, text: str, personalisation: str, parties: int = 3):
    """What each bank learns of its accounts, and the contexts of the run."""
    graph, made = GRAPHS[name], contexts(roster_of(parties, 3))
    parts, risk = split(graph, 3), risk_of(graph)
    chosen = PageRankParameters(tolerance=1e-9, personalisation=personalisation)
    scalars = TrustedScalars(parties)

    async def program(ctx):
        own = None
        if ctx.me < 3:
            own = OwnerInput(parts[ctx.me], {"risk_score": risk[graph.bank == ctx.me]})
        return await secure_pagerank(ctx, scalars, chosen, parse_policy(text), own)

    return asyncio.run(run_all(made, program)), made


@pytest.mark.parametrize("name", ["hub", "parallel payments", "payments outside", "an empty bank"])
@pytest.mark.parametrize("text", POLICIES)
@pytest.mark.parametrize("personalisation", ["uniform", "risk_score"])
def test_policies_apply_to_scores_that_sum_to_one(name, text, personalisation):
    """Borders and steps are in the unit of networkx's scores, whatever the scale inside."""
    policy = parse_policy(text)
    outcomes, _made = released(name, text, personalisation)
    scores = expected(GRAPHS[name], personalisation=personalisation)
    for outcome, reference in zip(outcomes, scores, strict=True):
        assert np.all(_distance(policy, reference) > 1e-7), "a score too close to a border"
        plain = in_plain(policy, reference)
        assert np.allclose(outcome.result.values, plain.values, atol=1e-12)
        assert outcome.result.released_bits() <= len(reference) * policy.bits_per_value


def _distance(policy, scores: np.ndarray) -> np.ndarray:
    """How far each score is from where the released value changes."""
    steps = 0 if policy.step is None else 1 + int(1 / policy.step)
    edges = [*policy.borders, *((k + 0.5) * (policy.step or 0) for k in range(steps))]
    return np.min(np.abs(np.subtract.outer(scores, edges)), axis=1)


@pytest.mark.parametrize("text", POLICIES)
def test_messages_have_one_shape_under_a_policy(text):
    """Two graphs of one padded size give the same messages, in label, size and order."""
    shapes = [
        [ctx.network.transcript for ctx in released(name, text, "uniform")[1]]
        for name in ("parallel payments", "only cross-bank payments")
    ]
    assert shapes[0] == shapes[1]
