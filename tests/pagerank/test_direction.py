"""PageRank against the payments and both ways: secure, against networkx on the turned graph."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank_node.consortium.bounds import known_parameters
from graph_mpc.errors import ParameterError
from pagerank import (
    PAGERANK,
    PageRankParameters,
    PooledGraph,
    plain_pagerank,
)
from pagerank.direction import directed
from pagerank.reference import pooled_direction
from simdata.generate import generate
from tests.graph_mpc import test_transcripts as transcripts
from tests.graph_mpc.graphs import Payments, split
from tests.pagerank.test_secure_pagerank import (
    GRAPHS,
    LARGEST_ERROR,
    THREE,
    payments,
    random_graphs,
    risk_of,
    run,
)
from tests.system.support import Watch, pool, read_scores, request_of, worst_error

TURNED = ("backward", "both")


def matrix(graph: Payments, owners: int, weight: str) -> np.ndarray:
    """What each account of the consortium paid each other one, (n, n)."""
    inside = (graph.bank >= 0) & (graph.bank < owners)
    number = np.cumsum(inside) - 1
    paid = np.zeros((int(inside.sum()),) * 2)
    for source, target, amount in zip(graph.source, graph.target, graph.amount, strict=True):
        if inside[source] and inside[target]:
            pair = number[source], number[target]
            paid[pair] = (
                1 if weight == "none" else paid[pair] + (amount if weight != "count" else 1)
            )
    return paid


def expected(graph: Payments, owners: int, direction: str, weight: str, by_risk: bool):
    """networkx on the transpose of what was paid, or on its sum with what was paid; by bank."""
    paid = matrix(graph, owners, weight)
    walked = nx.from_numpy_array(
        paid.T if direction == "backward" else paid + paid.T, create_using=nx.DiGraph
    )
    inside = (graph.bank >= 0) & (graph.bank < owners)
    start = dict(enumerate(risk_of(graph)[inside])) if by_risk else None
    scores = nx.pagerank(walked, 0.85, start, max_iter=10_000, tol=1e-14 / len(paid))
    by_number = np.array([scores[v] for v in range(len(paid))])
    return [by_number[graph.bank[inside] == b] for b in range(owners)]


def assert_agrees(graph, direction, owners=3, parties=3, weight="amount", by_risk=False):
    """Every account's score is within the largest relative error of networkx's."""
    chosen = {"personalisation": "risk_score"} if by_risk else {}
    outcomes = run(graph, owners, parties, direction=direction, weight=weight, **chosen)
    references = expected(graph, owners, direction, weight, by_risk)
    for outcome, reference in zip(outcomes, references, strict=False):
        error = np.abs(outcome.result.values - reference)
        assert np.all(error <= LARGEST_ERROR * reference + 1e-15)
    return outcomes


@pytest.mark.parametrize("direction", TURNED)
@pytest.mark.parametrize("name", GRAPHS)
def test_special_graphs(name, direction):
    """Scores agree with networkx on every graph out of the ordinary, whichever way it is walked."""
    assert_agrees(GRAPHS[name], direction)


@settings(max_examples=12, deadline=None)
@given(
    random_graphs(),
    st.integers(0, 1),
    st.sampled_from(["amount", "count", "none"]),
    st.booleans(),
    st.sampled_from(TURNED),
)
def test_random_graphs(graph, more, weight, by_risk, direction):
    """Scores agree with networkx on random graphs, with every weight and personalisation."""
    owners, paid = graph
    assert_agrees(paid, direction, owners, max(3, owners) + more, weight, by_risk)


@pytest.mark.parametrize("direction", TURNED)
def test_suspicion_reaches_the_payer_at_another_bank(direction):
    """Who paid a suspected account has a score; forward it has none."""
    graph = payments(THREE, (0, 2, 7), (4, 5, 1))
    risk = np.array([0, 0, 1.0, 0, 0, 0])
    chosen = {"risk": risk, "personalisation": "risk_score"}
    assert run(graph, direction="forward", **chosen)[0].result.values[0] < 1e-9
    assert run(graph, direction=direction, **chosen)[0].result.values[0] > 0.3


@pytest.mark.parametrize("direction", TURNED)
def test_one_sided_edges_are_told_as_paid(direction):
    """Counts and rows of one-sided payments are those of the forward run, in the same order."""
    graph = payments(THREE, (0, 2, 1), (0, 3, 2), (2, 4, 1), (4, 0, 1), (1, 5, 8), (5, 3, 1))
    omit = {(0, 1), (2, 4)}
    turned = run(graph, omit=omit, direction=direction, iterations=1, tolerance=1e-6)
    forward = run(graph, omit=omit, iterations=1, tolerance=1e-6)
    for one, other in zip(turned, forward, strict=True):
        assert one.reconciliation == other.reconciliation
        assert np.array_equal(one.unmatched, other.unmatched)


def test_a_payment_between_banks_leaves_the_one_that_walks_it():
    """Where two banks know different amounts, backward the payee's counts."""
    graph = payments(THREE, (2, 0, 10), (4, 0, 10))

    def change(parts):
        amounts = parts[0].weight.copy()
        amounts[0] = 30
        parts[0] = replace(parts[0], weight=amounts)

    outcomes = run(graph, direction="backward", change=change)
    paid = matrix(graph, 3, "amount")
    first = split(graph, 3, None)[0]
    payer = 2 if first.neighbour_owner[~first.source[0]] == 1 else 4
    paid[payer, 0] = 30
    scores = nx.pagerank(nx.from_numpy_array(paid.T, create_using=nx.DiGraph), 0.85, tol=1e-15)
    found = np.concatenate([o.result.values for o in outcomes])
    assert np.allclose(found, [scores[v] for v in range(6)], rtol=LARGEST_ERROR)


@pytest.mark.parametrize("direction", TURNED)
async def test_transcripts_have_one_shape(direction):
    """Inputs of the same padded sizes give the same messages, sizes and order everywhere."""
    parameters = PageRankParameters(iterations=3, direction=direction)
    shapes = []
    # Both ways has twice the entries: six payments still have the least padded size.
    for seed, edges in ((1, 6), (2, 5), (3, 0)):
        contexts = await transcripts.run(transcripts.payments_of(seed, edges), 3, seed, parameters)
        shapes.append([ctx.network.transcript for ctx in contexts])
    assert shapes[0] == shapes[1] == shapes[2]
    assert all(len(transcript) > 0 for transcript in shapes[0])


async def test_backward_is_the_forward_run_of_turned_payments():
    """Every message has the sender, receiver, label and size of that run: no step is added."""
    paid = transcripts.payments_of(4, 12)
    turned = replace(paid, source=paid.target, target=paid.source)
    runs = [
        await transcripts.run(graph, 3, 4, PageRankParameters(iterations=3, direction=direction))
        for graph, direction in ((paid, "backward"), (turned, "forward"))
    ]
    backward, forward = ([ctx.network.transcript for ctx in run] for run in runs)
    assert backward == forward


@pytest.mark.parametrize("direction", TURNED)
def test_workers_agree_with_the_pooled_graph(direction, tmp_path):
    """``lab run`` of three banks as processes, by risk: within 1e-5 of networkx on that graph."""
    generate(tmp_path / "data", banks=3, accounts=90, days=10, seed=8, payments_per_account=4)
    parameters = {"direction": direction, "personalisation": "risk_score", "alpha": "0.7"}
    record = Watch(request_of(tmp_path / "data", tmp_path / "out", parameters=parameters)).run()
    assert record["parameters"]["direction"] == direction
    pooled = pool(tmp_path / "data")
    turned = replace(pooled, graph=pooled_direction(pooled.graph, direction))
    assert worst_error(read_scores(tmp_path / "out"), turned.truth(0.7, by_risk=True)) <= 1e-5


def test_both_holds_each_edge_twice():
    """Edges as paid come first, then the same turned round, with what both banks know of each."""
    part = split(GRAPHS["hub"], 3, None)[0]
    matched = np.arange(part.edges) % 2 == 0
    twice, kept = directed(part, matched, "both")
    assert np.array_equal(twice.source, np.concatenate([part.source, part.target]))
    assert np.array_equal(twice.target, np.concatenate([part.target, part.source]))
    assert np.array_equal(kept, np.concatenate([matched, matched]))
    assert directed(part, matched, "forward")[0] is part


def test_the_pooled_graph_is_turned_as_the_secure_one():
    """The plain reference on the turned pooled graph is networkx's on the turned matrix."""
    graph = GRAPHS["parallel payments"]
    pooled = PooledGraph(6, graph.source, graph.target, graph.amount.astype(float))
    for direction in TURNED:
        found = plain_pagerank(pooled_direction(pooled, direction))
        reference = np.concatenate(expected(graph, 3, direction, "amount", False))
        assert np.allclose(found, reference, rtol=1e-9)


def test_an_agreement_can_bound_the_direction():
    """It is a public parameter that an agreement knows by name; another value is refused."""
    assert "direction" in known_parameters(PAGERANK)
    assert PAGERANK.public(PAGERANK.parse({}))["direction"] == "forward"
    with pytest.raises(ParameterError, match="direction"):
        PAGERANK.parse({"direction": "sideways"})
