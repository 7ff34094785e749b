"""Secure risk propagation against the plaintext formula, and that against a loop."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_tracing.reference import PooledFlows
from graph_mpc.errors import ParameterError
from graph_mpc.policy import EXACT, parse_policy
from pagerank.risk_parameters import RiskParameters, parse_risk_parameters
from pagerank.risk_propagation import secure_risk_propagation
from pagerank.risk_reference import SlicedGraph, plain_risk_propagation
from tests.flow_tracing.split import World, inputs, random_world
from tests.graph_mpc.local import contexts, roster_of, run_all


def parameters(world: World, **others) -> RiskParameters:
    """Public parameters over the slices of the world."""
    window = {}
    if world.flows.slices > 1:
        window = {
            "since": "1970-01-01T00:00:00Z",
            "until": f"1970-01-01T00:00:{world.flows.slices:02}Z",
            "slice": "1s",
        }
    return RiskParameters(**window, **others)


def secure(
    world: World,
    risk: np.ndarray,
    chosen: RiskParameters,
    parties=3,
    policy=EXACT,
    change=None,
    made=None,
):
    """The outcomes of all parties; the banks hold the risk scores of their accounts.

    ``change`` edits what the banks bring, ``made`` are contexts to be looked at afterwards.
    """
    own = inputs(world)
    for b, given_ in enumerate(own):
        given_.vertex["risk_score"] = risk[world.own(b)]
    if change:
        change(own)

    async def program(ctx):
        mine = own[ctx.me] if ctx.me < world.banks else None
        return await secure_risk_propagation(ctx, chosen, policy, mine)

    made = made or contexts(roster_of(parties, world.banks))
    return asyncio.run(run_all(made, program))


def sliced(flows: PooledFlows) -> SlicedGraph:
    """The payments between accounts of the consortium."""
    inside = (flows.source >= 0) & (flows.target >= 0)
    return SlicedGraph(
        flows.accounts,
        flows.source[inside],
        flows.target[inside],
        flows.amount[inside].astype(np.float64),
        flows.slice[inside],
        flows.slices,
    )


def by_hand(flows: PooledFlows, risk: np.ndarray, deltas: list[float]) -> list[float]:
    """The formula as it is written, payment by payment."""
    s = [float(r) for r in risk]
    rows = list(zip(flows.source, flows.target, flows.slice, flows.amount, strict=True))
    for t in range(flows.slices):
        for delta in deltas:
            mean = [0.0] * flows.accounts
            for i in range(flows.accounts):
                paid = [(int(j), int(a)) for j, k, u, a in rows if k == i and u == t and j >= 0]
                total = sum(a for _, a in paid)
                if total:
                    mean[i] = sum(a * s[j] for j, a in paid) / total
            s = [(1 - delta) * x + delta * m for x, m in zip(s, mean, strict=True)]
    return s


def assert_equal(world: World, risk: np.ndarray, chosen: RiskParameters, outcomes) -> None:
    """Every bank has the scores of its accounts, within the bound that the run states."""
    expected = plain_risk_propagation(sliced(world.flows), risk, chosen.deltas())
    for b in range(world.banks):
        error = np.abs(outcomes[b].result.values - expected[world.own(b)])
        assert error.max(initial=0.0) <= min(outcomes[b].accuracy["bound"], 1e-5)
    assert all(o.result is None for o in outcomes[world.banks :])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([(1, 3), (2, 3), (3, 3), (3, 5), (4, 4), (5, 5)]),
    st.sampled_from([{"delta": 0.3}, {"a": 0.3, "b": 0.8}, {"delta": 1.0}, {"delta": 0.0}]),
    st.sampled_from(["high", "standard"]),
)
def test_scores_are_those_of_the_formula(seed, slices, iterations, who, delta, precision):
    """On random graphs with hubs, self-payments and outside banks, every score is within 1e-5.

    Some banks have no account or no payment in a slice; some parties hold no data.
    """
    banks, parties = who
    rng = np.random.default_rng(seed)
    world = random_world(rng, slices=slices, banks=banks)
    risk = rng.random(world.flows.accounts)
    chosen = parameters(world, iterations=iterations, precision=precision, **delta)
    assert_equal(world, risk, chosen, secure(world, risk, chosen, parties))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_reference_is_the_formula(seed, slices):
    """The reference equals the formula written out payment by payment."""
    rng = np.random.default_rng(seed)
    world = random_world(rng, slices=slices)
    risk = rng.random(world.flows.accounts)
    deltas = [0.3, 0.2]
    expected = by_hand(world.flows, risk, deltas)
    assert np.allclose(plain_risk_propagation(sliced(world.flows), risk, deltas), expected)


@pytest.mark.parametrize("precision", ["high", "standard"])
def test_a_hundred_iterations(precision):
    """Errors do not grow: after 100 iterations the scores are still within 1e-5."""
    rng = np.random.default_rng(2)
    world = random_world(rng, accounts=20, payments=80, slices=1)
    risk = rng.random(20)
    chosen = parameters(world, iterations=100, delta=0.5, precision=precision)
    assert_equal(world, risk, chosen, secure(world, risk, chosen))


def test_repeated_equal_payments_count_each():
    """Two equal payments of one sender weigh as much as one of twice the amount."""
    world = three_accounts([(0, 1, 10), (0, 1, 10), (2, 1, 20)])
    outcomes = secure(world, np.array([1.0, 0.0, 0.0]), parameters(world, iterations=1, delta=1.0))
    assert abs(outcomes[1].result.values[0] - 0.5) < 1e-8


def test_amounts_beyond_32_bits():
    """Amounts above 2^31 and up to 2^62 minor units are exact."""
    world = three_accounts(
        [(0, 1, 2**62), (2, 1, 2**61), (0, 2, 2**31 + 1), (1, 2, 3 * (2**31 + 1))]
    )
    risk = np.array([0.9, 0.0, 0.3])
    outcomes = secure(world, risk, parameters(world, iterations=1, delta=1.0))
    assert abs(outcomes[1].result.values[0] - (2 * 0.9 + 0.3) / 3) < 1e-8
    assert abs(outcomes[2].result.values[0] - 0.9 / 4) < 1e-8


def three_accounts(payments: list[tuple[int, int, int]]) -> World:
    """Three accounts at three banks."""
    source, target, amount = (np.array(column, np.int64) for column in zip(*payments, strict=True))
    zeros = np.zeros(len(payments), np.int64)
    flows = PooledFlows(
        3, 1, source, target, zeros, amount, np.zeros(3, np.int64), np.zeros(3, np.bool_)
    )
    return World(flows, np.arange(3), 3)


@pytest.mark.parametrize("text", ["bands:0.2,0.5,0.8", "threshold:0.3:0.1"])
def test_policies(text):
    """Under a policy the banks learn what it leaves of the exact scores."""
    rng = np.random.default_rng(8)
    world = random_world(rng, accounts=60, payments=200, slices=2)
    risk = rng.random(60)
    chosen = parameters(world, iterations=2, delta=0.3)
    exact = secure(world, risk, chosen)
    limited = secure(world, risk, chosen, policy=parse_policy(text))
    for whole, part in zip(exact, limited, strict=True):
        scores = whole.result.values
        if text.startswith("bands"):
            assert np.array_equal(part.result.values, np.digitize(scores, [0.2, 0.5, 0.8]))
        else:
            assert np.array_equal(part.result.above, scores >= 0.3)
            shown = np.where(scores >= 0.3, np.floor(scores / 0.1 + 0.5) * 0.1, 0.0)
            assert np.allclose(part.result.values, shown)


def test_sizes_are_the_most_over_the_slices():
    """A slice with few payments has the sizes of the one with most: daily volumes do not show."""
    rng = np.random.default_rng(3)
    world = random_world(rng, accounts=20, payments=100, slices=3)
    busy = secure(world, rng.random(20), parameters(world, iterations=1, delta=0.3))
    sizes = busy[0].padded_sizes
    assert sizes["slices"] == 3
    edges = {
        (int(s), int(t), int(k))
        for s, t, k in zip(world.flows.source, world.flows.target, world.flows.slice, strict=True)
        if s >= 0 and t >= 0
    }
    for b in range(3):
        per_slice = [sum(k == u and world.bank[t] == b for _, t, k in edges) for u in range(3)]
        assert sizes["edges"][f"p{b}"] >= max(per_slice)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"delta": "0.3", "a": "0.2"}, "both delta and a, b"),
        ({"b": "0.8"}, "b is given without a"),
        ({"delta": "1.5"}, "delta of risk-propagation"),
        ({"iterations": "0"}, "iterations of risk-propagation"),
        ({"alpha": "0.85"}, "alpha of risk-propagation"),
        ({"slice": "1x"}, "slice=1x is not a length"),
        ({"slice": "1h", "since": "2020-01-01", "until": "2021-01-01", "iterations": "9"}, "steps"),
    ],
)
def test_wrong_parameters_are_refused(raw, reason):
    """The error names the parameter."""
    with pytest.raises(ParameterError, match=reason):
        parse_risk_parameters(raw)


def test_open_number_of_slices_is_refused():
    """Slices without since and until would differ from bank to bank."""
    world = random_world(np.random.default_rng(1), slices=1)
    chosen = RiskParameters(slice="1d", delta=0.3)
    with pytest.raises(ParameterError, match="since and until"):
        secure(world, np.zeros(world.flows.accounts), chosen)
