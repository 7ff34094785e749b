"""Secure PageRank against networkx over the pooled graph."""

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.errors import ParameterError
from graph_mpc.policy import EXACT
from graph_mpc.program import OwnerInput
from pagerank import (
    PAGERANK,
    PageRankParameters,
    PooledGraph,
    networkx_pagerank,
    plain_pagerank,
    secure_pagerank,
)
from tests.graph_mpc.graphs import Payments, TrustedScalars, split
from tests.graph_mpc.local import contexts, roster_of, run_all

OUTSIDE = -1
LARGEST_ERROR = 1e-5
FINE = {"tolerance": 1e-9}


def payments(bank, *edges) -> Payments:
    """Payments (source, target, amount) between accounts of the banks listed."""
    source, target, amount = np.array(edges, np.int64).reshape(-1, 3).T
    return Payments(len(bank), np.array(bank), source, target, amount)


def risk_of(graph: Payments) -> np.ndarray:
    """Risk scores between 0.05 and 1."""
    return np.random.default_rng(graph.accounts).uniform(0.05, 1, graph.accounts)


def run(graph: Payments, owners=3, parties=None, risk=None, omit=None, change=None, **parameters):
    """Outcome of every party; ``change`` edits the owners' parts."""
    parts = split(graph, owners, omit)
    if change:
        change(parts)
    parties = parties or max(3, owners)
    risk = risk_of(graph) if risk is None else risk
    scalars = TrustedScalars(parties)
    chosen = PageRankParameters(**{**FINE, **parameters})

    async def program(ctx):
        own = None
        if ctx.me < owners:
            own = OwnerInput(parts[ctx.me], {"risk_score": risk[graph.bank == ctx.me]})
        return await secure_pagerank(ctx, scalars, chosen, EXACT, own)

    return asyncio.run(run_all(contexts(roster_of(parties, owners)), program))


def expected(graph: Payments, owners=3, risk=None, omit=None, **parameters):
    """networkx over the payments inside the consortium that both banks know, by bank."""
    inside = (graph.bank >= 0) & (graph.bank < owners)
    number = np.cumsum(inside) - 1
    missing = {payment for _, payment in omit or ()}
    listed = [
        (number[s], number[t], a)
        for p, (s, t, a) in enumerate(zip(graph.source, graph.target, graph.amount, strict=True))
        if inside[s] and inside[t] and p not in missing
    ]
    kind = parameters.get("weight", "amount")
    if kind == "none":
        listed = [(s, t, 1) for s, t in {(s, t) for s, t, _ in listed}]
    if kind == "count":
        listed = [(s, t, 1) for s, t, _ in listed]
    source, target, weight = np.array(listed, np.int64).reshape(-1, 3).T
    pooled = PooledGraph(int(inside.sum()), source, target, weight.astype(float))
    personal = None
    if parameters.get("personalisation") == "risk_score":
        personal = (risk_of(graph) if risk is None else risk)[inside]
    scores = networkx_pagerank(pooled, parameters.get("alpha", 0.85), personal)
    return [scores[graph.bank[inside] == b] for b in range(owners)]


def assert_agrees(graph: Payments, owners=3, parties=None, **options):
    """Every account's score is within the largest relative error of networkx's."""
    outcomes = run(graph, owners, parties, **options)
    options.pop("change", None)
    scores = expected(graph, owners, **options)
    for outcome, reference in zip(outcomes, scores, strict=False):
        assert outcome.result.values.shape == reference.shape
        error = np.abs(outcome.result.values - reference)
        assert np.all(error <= LARGEST_ERROR * reference + 1e-15), (
            outcome.result.values,
            reference,
        )
    assert all(outcome.result is None for outcome in outcomes[owners:])
    return outcomes


THREE = [0, 0, 1, 1, 2, 2]
GRAPHS = {
    "no payments": payments(THREE),
    "one account": payments([0]),
    "one account that pays itself": payments([1], (0, 0, 5)),
    "payments to oneself": payments(THREE, (0, 0, 5), (2, 2, 7), (0, 2, 3), (4, 4, 1)),
    "hub": payments([0, *[1] * 6, *[2] * 6], *[(0, v, v) for v in range(1, 13)], (3, 0, 9)),
    "everybody pays one": payments([0, *[1] * 6, *[2] * 6], *[(v, 0, v) for v in range(1, 13)]),
    "payees are dangling": payments(THREE, (0, 2, 3), (0, 4, 1), (1, 4, 2), (1, 5, 1)),
    "a bank without cross-bank payments": payments(THREE, (0, 1, 2), (2, 4, 1), (5, 3, 4)),
    "only cross-bank payments": payments(THREE, (0, 2, 1), (2, 4, 1), (4, 0, 1), (1, 5, 8)),
    "parallel payments": payments(THREE, *[(0, 2, 3)] * 5, (0, 3, 1), *[(2, 0, 2)] * 3, (2, 4, 1)),
    "an empty bank": payments([0, 0, 2, 2], (0, 2, 3), (2, 1, 4), (1, 0, 5)),
    "two empty banks": payments([1, 1], (0, 1, 3)),
    "payments outside": payments(
        [0, 1, 2, OUTSIDE], (0, 3, 9), (3, 1, 2), (0, 1, 1), (1, 3, 1), (2, 0, 1)
    ),
    "zero amounts": payments(THREE, (0, 2, 0), (0, 3, 5), (1, 4, 0), (4, 1, 0), (2, 5, 1)),
    "large and small amounts": payments(
        THREE, (0, 2, 1), (0, 3, 10**12), (3, 0, 10**13), (2, 4, 1), (4, 5, 10**15), (4, 0, 1)
    ),
    "ring": payments(THREE, *[(v, (v + 1) % 6, 1) for v in range(6)]),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_special_graphs(name):
    """Scores agree with networkx on every graph out of the ordinary."""
    assert_agrees(GRAPHS[name])


@pytest.mark.parametrize("name", ["no payments", "hub", "parallel payments", "payments outside"])
def test_special_graphs_personalised(name):
    """Teleporting in proportion to risk agrees with networkx's personalisation."""
    assert_agrees(GRAPHS[name], personalisation="risk_score")


@pytest.mark.parametrize("weight", ["amount", "count", "none"])
def test_weights(weight):
    """Edges weigh their amount, their number of payments, or 1."""
    assert_agrees(GRAPHS["parallel payments"], weight=weight)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.85, 0.95])
def test_damping(alpha):
    """The damping factor is networkx's."""
    assert_agrees(GRAPHS["hub"], alpha=alpha)


@pytest.mark.parametrize(("owners", "parties"), [(1, 3), (2, 3), (3, 4), (4, 4), (4, 5), (5, 5)])
def test_numbers_of_parties(owners, parties):
    """Three to five parties, some of which only compute."""
    rng = np.random.default_rng(owners)
    source, target = rng.integers(0, 3 * owners, (2, 30))
    bank = np.repeat(np.arange(owners), 3)
    graph = Payments(3 * owners, bank, source, target, rng.integers(1, 1000, 30))
    assert_agrees(graph, owners, parties)


@st.composite
def random_graphs(draw):
    """A random graph of two to four banks and a bank outside, with up to ten accounts."""
    owners = draw(st.integers(2, 4))
    bank = [*draw(st.lists(st.integers(-1, owners - 1), min_size=1, max_size=9)), 0]
    account = st.integers(0, len(bank) - 1)
    amount = st.integers(0, 1000) | st.sampled_from([0, 1, 10**6])
    return owners, payments(bank, *draw(st.lists(st.tuples(account, account, amount), max_size=25)))


@settings(max_examples=12, deadline=None)
@given(
    random_graphs(),
    st.integers(0, 1),
    st.sampled_from(["amount", "count", "none"]),
    st.sampled_from(["uniform", "risk_score"]),
)
def test_random_graphs(graph, more, weight, personalisation):
    """Scores agree with networkx on random graphs, in every mode."""
    owners, paid = graph
    parties = max(3, owners) + more
    assert_agrees(paid, owners, parties, weight=weight, personalisation=personalisation)


def test_one_sided_edges_are_left_out():
    """A payment that only one of its banks knows is left out, counted and listed."""
    graph = payments(THREE, (0, 2, 1), (0, 3, 2), (2, 4, 1), (4, 0, 1), (1, 5, 8), (5, 3, 1))
    omit = {(0, 1), (2, 4)}
    outcomes = assert_agrees(graph, omit=omit)
    assert [o.reconciliation["unmatched"] for o in outcomes] == [1, 1, 0]
    assert [int(np.count_nonzero(o.unmatched)) for o in outcomes] == [1, 1, 0]
    assert [o.reconciliation["cross_bank_edges"] for o in outcomes] == [3, 4, 3]


def test_too_many_one_sided_edges_are_refused():
    """A bank refuses when more of its cross-bank payments are unknown than is configured."""
    graph = payments(THREE, (0, 2, 1), (0, 3, 2), (2, 4, 1), (4, 0, 1))
    with pytest.raises(ParameterError, match="above the limit"):
        run(graph, omit={(1, 0)}, max_unmatched=0.1)
    run(graph, omit={(1, 0)}, max_unmatched=0.5, iterations=1)


def test_payer_decides_where_amounts_differ():
    """Where two banks know different amounts, the payer's counts, and both are told."""
    graph = payments(THREE, (0, 2, 10), (0, 3, 20), (2, 4, 5), (4, 0, 5))

    def change(parts):
        at_payee = parts[1].weight.copy()
        at_payee[parts[1].source < 0] += 7
        parts[1] = replace(parts[1], weight=at_payee)

    outcomes = assert_agrees(graph, change=change)
    assert [o.reconciliation["different_amounts"] for o in outcomes] == [2, 2, 0]


def test_small_risk_scores_are_as_accurate():
    """Only the proportions of the risk scores count, not their size."""
    graph = GRAPHS["hub"]
    risk = risk_of(graph) * 1e-4
    assert_agrees(graph, risk=risk, personalisation="risk_score")


def test_promised_accuracy_is_kept_with_small_risk():
    """The error bound that the outcome states holds for risk scores of any size."""
    graph = GRAPHS["hub"]
    risk = risk_of(graph) * 1e-6
    outcomes = run(graph, risk=risk, personalisation="risk_score")
    bound = outcomes[0].accuracy["bound"]
    scores = expected(graph, risk=risk, personalisation="risk_score")
    plain = expected(graph)
    for outcome, reference, uniform in zip(outcomes, scores, plain, strict=True):
        error = np.abs(outcome.result.values - reference) * risk.mean()
        assert np.all(error <= (bound + 1e-8 * risk.mean()) * uniform)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("wrong", [1e6, -0.5, math.nan, math.inf])
def test_risk_outside_zero_and_one_is_refused(wrong):
    """A risk score above 1 breaks the bound of the run, so it is refused, not computed with."""
    risk = risk_of(GRAPHS["hub"])
    risk[0] = wrong
    with pytest.raises(ParameterError):
        run(GRAPHS["hub"], risk=risk, personalisation="risk_score", iterations=1)


def test_accounts_without_risk_have_a_score():
    """An account without risk has the score that payments bring it, or none."""
    graph = payments(THREE, (0, 2, 1), (0, 3, 2), (2, 4, 1), (4, 0, 1), (1, 5, 8))
    risk = np.array([0.5, 0, 0, 0, 0, 0])
    assert_agrees(graph, risk=risk, personalisation="risk_score")


def test_all_zero_risk_is_refused():
    """Without any risk there is nothing to teleport to."""
    with pytest.raises(ParameterError, match="add up to zero"):
        run(GRAPHS["ring"], risk=np.zeros(6), personalisation="risk_score", iterations=1)


def test_no_accounts_at_all_are_refused():
    """A run over empty banks ends with an error, not with a division by zero."""
    with pytest.raises(ParameterError, match="no bank has an account"):
        run(payments([]))


def test_scores_sum_to_one_and_follow_the_tolerance():
    """The scores of all banks sum to 1; fewer iterations leave more error, within the promise."""
    graph = GRAPHS["hub"]
    reference = np.concatenate(expected(graph))
    for tolerance in (1e-1, 1e-3, 1e-6):
        outcomes = run(graph, tolerance=tolerance)
        scores = np.concatenate([o.result.values for o in outcomes])
        assert abs(scores.sum() - 1) < 1e-6
        assert np.abs(scores - reference).sum() <= tolerance


def test_standard_precision_ranks():
    """One limb gives the order of the accounts on a small graph."""
    graph = GRAPHS["hub"]
    scores = np.concatenate([o.result.values for o in run(graph, precision="standard")])
    reference = np.concatenate(expected(graph))
    assert np.allclose(scores, reference, rtol=1e-3)


def test_promised_accuracy_is_kept():
    """The error bound that the outcome states holds for every account."""
    graph = GRAPHS["large and small amounts"]
    outcomes = run(graph)
    bound = outcomes[0].accuracy["bound"]
    assert bound < LARGEST_ERROR
    for outcome, reference in zip(outcomes, expected(graph), strict=True):
        assert np.all(np.abs(outcome.result.values - reference) <= (bound + 1e-8) * reference)


def test_outcome_says_what_was_released():
    """The outcome has the padded sizes that all parties know, the same for all of them."""
    outcomes = run(GRAPHS["hub"], parties=4)
    assert all(o.padded_sizes == outcomes[0].padded_sizes for o in outcomes)
    assert outcomes[0].padded_sizes["accounts"] == {"p0": 8, "p1": 8, "p2": 8}
    assert outcomes[3].result is None


@pytest.mark.parametrize(
    ("parameters", "steps"),
    [
        ({}, 90),
        ({"tolerance": 1e-3}, 47),
        ({"alpha": 0.5}, 21),
        ({"alpha": 0.0}, 1),
        ({"iterations": 7}, 7),
        ({"tolerance": 0.999, "alpha": 0.01}, 1),
    ],
)
def test_iterations_from_tolerance(parameters, steps):
    """The number of iterations is the least k with 2 alpha^k <= tolerance."""
    chosen = PageRankParameters(**parameters)
    assert chosen.steps() == steps
    if "iterations" not in parameters and chosen.alpha > 0:
        assert 2 * chosen.alpha**steps <= chosen.tolerance
        assert steps == 1 or 2 * chosen.alpha ** (steps - 1) > chosen.tolerance


def test_too_many_iterations_are_refused():
    """A damping factor near 1 is refused with what would help."""
    with pytest.raises(ParameterError, match="iterations"):
        PageRankParameters(alpha=0.99999).steps()


@pytest.mark.parametrize(
    "raw",
    [
        {"alpha": "1"},
        {"alpha": "-0.1"},
        {"alpha": "nan"},
        {"tolerance": "0"},
        {"tolerance": "x"},
        {"iterations": "0"},
        {"iterations": "1.5"},
        {"iterations": "10001"},
        {"weight": "sum"},
        {"personalisation": "none"},
        {"precision": "low"},
        {"max_unmatched": "1.1"},
        {"beta": "1"},
        {"iterations": "3", "tolerance": "0.1"},
    ],
)
def test_parameter_errors(raw):
    """A wrong parameter is refused by its name."""
    with pytest.raises(ParameterError, match=next(iter(raw))):
        PAGERANK.parse(raw)


def test_parameters_of_the_command_line():
    """Strings are parsed; what is public has the defaults."""
    parameters = PAGERANK.parse({"alpha": "0.9", "iterations": "12", "weight": "count"})
    assert (parameters.alpha, parameters.iterations, parameters.weight) == (0.9, 12, "count")
    public = PAGERANK.public(parameters)
    assert public["personalisation"] == "uniform"
    assert public["precision"] == "high"


@settings(max_examples=20, deadline=None)
@given(random_graphs())
def test_references_agree(graph):
    """The two plaintext references agree."""
    _, paid = graph
    pooled = PooledGraph(paid.accounts, paid.source, paid.target, paid.amount.astype(float))
    plain, reference = plain_pagerank(pooled), networkx_pagerank(pooled)
    assert np.allclose(plain, reference, rtol=1e-10)
    assert math.isclose(plain.sum(), 1)
