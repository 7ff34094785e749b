"""The plaintext reference: answers worked out by hand, and the definition written as loops."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_tracing.reference import PooledFlows, plain_round_trip, plain_trace
from tests.flow_tracing.cases import CASES
from tests.flow_tracing.split import random_world

WORLDS = st.tuples(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4))


def drawn(seed: int, slices: int):
    """A world and some sources in it."""
    rng = np.random.default_rng(seed)
    world = random_world(rng, slices=slices)
    return world, rng.choice(world.flows.accounts, rng.integers(1, 4), replace=False)


@pytest.mark.parametrize("name", CASES)
def test_answers_worked_out_by_hand(name):
    """Each case has its answer, exact to the cent."""
    case = CASES[name]
    trace = plain_trace(
        case.world().flows, np.array(case.sources), case.hops, direction=case.direction
    )
    own = np.array(case.banks) == 0
    for values, expected in ((trace.received, case.received), (trace.returned, case.returned)):
        found = {
            (int(t), int(v)): round(float(values[t, v]))
            for t, v in zip(*np.nonzero(values > 0.5), strict=True)
            if own[v]
        }
        assert found == expected


def by_loops(flows: PooledFlows, sources: set[int], hops: int, direction: str):
    """The definition, payment by payment and account by account."""
    n = flows.accounts
    rows = list(
        zip(
            *(a.tolist() for a in (flows.slice, flows.source, flows.target, flows.amount)),
            strict=True,
        )
    )
    caps, balance = (
        [],
        [int(b) if k else 0 for b, k in zip(flows.balance, flows.balance_known, strict=True)],
    )
    for t in range(flows.slices):
        inflow = [sum(a for u, _, v, a in rows if u == t and v == i) for i in range(n)]
        outflow = [sum(a for u, s, _, a in rows if u == t and s == i) for i in range(n)]
        after = [
            max(0, b + i - o) if k else 0
            for b, i, o, k in zip(balance, inflow, outflow, flows.balance_known, strict=True)
        ]
        if direction == "forward":
            caps.append([max(b + i, o) for b, i, o in zip(balance, inflow, outflow, strict=True)])
        else:
            caps.append([max(b + o, i) for b, i, o in zip(after, inflow, outflow, strict=True)])
        balance = after
    received, returned, held = defaultdict(float), defaultdict(float), [0.0] * n
    order = range(flows.slices) if direction == "forward" else reversed(range(flows.slices))
    for t in order:
        paid = [(s, v, a) if direction == "forward" else (v, s, a) for u, s, v, a in rows if u == t]
        out = [sum(a for s, _, a in paid if s == i) for i in range(n)]
        r = [float(caps[t][i]) if i in sources else held[i] for i in range(n)]
        held = [0.0] * n
        for _ in range(hops):
            for i in range(n):
                if i not in sources:
                    held[i] += r[i] * (1 - out[i] / caps[t][i]) if caps[t][i] else r[i]
            arrived = [0.0] * n
            for s, v, a in paid:
                if s >= 0 and v >= 0 and caps[t][s]:
                    arrived[v] += r[s] * a / caps[t][s]
            for i in range(n):
                (returned if i in sources else received)[t, i] += arrived[i]
            r = [0.0 if i in sources else arrived[i] for i in range(n)]
        held = [h + x for h, x in zip(held, r, strict=True)]
    return received, returned


@settings(max_examples=60, deadline=None)
@given(WORLDS, st.sampled_from(["forward", "backward"]))
def test_reference_is_the_definition(world, direction):
    """On random graphs every amount is that of the definition written as loops."""
    seed, slices, hops = world
    drawn_world, sources = drawn(seed, slices)
    flows = drawn_world.flows
    trace = plain_trace(flows, sources, hops, direction=direction)
    received, returned = by_loops(flows, set(sources.tolist()), hops, direction)
    for values, expected in ((trace.received, received), (trace.returned, returned)):
        for t in range(slices):
            for v in range(flows.accounts):
                assert abs(values[t, v] - expected[t, v]) <= 1e-9 * max(trace.injected, 1.0)


@settings(max_examples=40, deadline=None)
@given(WORLDS, st.integers(1, 5))
def test_depth_columns_add_up(world, depth):
    """Over all numbers of payments the amounts are those without a depth; none is negative."""
    seed, slices, hops = world
    drawn_world, sources = drawn(seed, slices)
    plain = plain_trace(drawn_world.flows, sources, hops)
    deep = plain_trace(drawn_world.flows, sources, hops, depth=depth)
    scale = max(plain.injected, 1.0)
    assert np.allclose(deep.received.sum(axis=2), plain.received, atol=1e-9 * scale)
    assert np.allclose(deep.returned.sum(axis=2), plain.returned, atol=1e-9 * scale)
    assert deep.received.min() >= 0.0
    total = plain.held.sum() + plain.returned.sum() + plain.left
    assert abs(total - plain.injected) <= 1e-9 * scale


@settings(max_examples=40, deadline=None)
@given(WORLDS)
def test_round_trip_is_a_trace_from_one_account(world):
    """The share that comes back is what a trace from the account alone returns of what it pays."""
    seed, slices, hops = world
    drawn_world, _ = drawn(seed, slices)
    flows = drawn_world.flows
    shares = plain_round_trip(flows, np.arange(flows.accounts), hops)
    for v in range(flows.accounts):
        trace = plain_trace(flows, np.array([v]), hops)
        expected = trace.returned.sum() / trace.injected if trace.injected else 0.0
        assert abs(shares[v] - expected) <= 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_backward_is_forward_of_the_reversed_payments(seed, hops):
    """In one slice without balances, backward is forward with payers and payees exchanged."""
    world, sources = drawn(seed, 1)
    flows = world.flows
    there = replace(flows, balance_known=np.zeros(flows.accounts, np.bool_))
    back = replace(there, source=flows.target, target=flows.source)
    first = plain_trace(there, sources, hops, direction="backward")
    second = plain_trace(back, sources, hops)
    assert np.allclose(first.received, second.received)
    assert np.allclose(first.returned, second.returned)
