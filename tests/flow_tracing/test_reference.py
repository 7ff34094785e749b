"""The plaintext reference: answers worked out by hand, and the definition written as loops."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_tracing import reference
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


def payments_of(flows: PooledFlows) -> list[tuple[int, ...]]:
    """(slice, payer, payee, amount) of each payment."""
    columns = (flows.slice, flows.source, flows.target, flows.amount)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def caps_by_loops(flows: PooledFlows, direction: str) -> list[list[int]]:
    """The caps of each slice and account."""
    n, rows = flows.accounts, payments_of(flows)
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
    return caps


def hop_by_loops(r, paid, cap, depth: int):
    """What arrives when all taint makes one payment, (n, depth + 1), and what leaves."""
    arrived, left = np.zeros_like(r), 0.0
    for s, v, a in paid:
        taint = r[s] * a / cap[s] if s >= 0 and cap[s] else np.zeros(depth + 1)
        for k in range(depth + 1):
            if v >= 0:
                arrived[v, min(k + 1, depth)] += taint[k]
            else:
                left += taint[k]
    return arrived, left


def by_loops(flows: PooledFlows, sources: set[int], hops: int, direction: str, depth: int):
    """The definition, payment by payment and account by account.

    Taint is kept apart by the number of payments it made since the source, 0 to ``depth`` or more.
    Returns what was received and returned, (slice, account) -> (depth + 1,), what accounts hold at
    the end, and what left.
    """
    n, caps, forward = flows.accounts, caps_by_loops(flows, direction), direction == "forward"
    received, returned = {}, {}
    held, left = np.zeros((n, depth + 1)), 0.0
    for t in range(flows.slices) if forward else reversed(range(flows.slices)):
        paid = [(s, v, a) if forward else (v, s, a) for u, s, v, a in payments_of(flows) if u == t]
        out = [sum(a for s, _, a in paid if s == i) for i in range(n)]
        r, held = held, np.zeros((n, depth + 1))
        for i in sources:
            r[i, 0] = caps[t][i]
        for i in range(n):
            (returned if i in sources else received)[t, i] = np.zeros(depth + 1)
        for _ in range(hops):
            for i in set(range(n)) - sources:
                held[i] += r[i] * (1 - out[i] / caps[t][i]) if caps[t][i] else r[i]
            r, gone = hop_by_loops(r, paid, caps[t], depth)
            left += gone
            for i in range(n):
                (returned if i in sources else received)[t, i] += r[i]
            r[list(sources)] = 0.0
        held = held + r
    return received, returned, held.sum(axis=1), left


@settings(max_examples=60, deadline=None)
@given(WORLDS, st.sampled_from(["forward", "backward"]), st.integers(1, 5))
def test_reference_is_the_definition(world, direction, depth):
    """On random graphs every amount, of each number of payments, is that written as loops."""
    seed, slices, hops = world
    drawn_world, sources = drawn(seed, slices)
    flows = drawn_world.flows
    trace = plain_trace(flows, sources, hops, direction=direction, depth=depth)
    received, returned, held, left = by_loops(flows, set(sources.tolist()), hops, direction, depth)
    scale = 1e-9 * max(trace.injected, 1.0)
    for values, expected in ((trace.received, received), (trace.returned, returned)):
        nothing = np.zeros(depth + 1)
        for t, v in np.ndindex(slices, flows.accounts):
            assert np.abs(values[t, v] - expected.get((t, v), nothing)[1:]).max() <= scale
    assert np.abs(trace.held - held).max() <= scale
    assert abs(trace.left - left) <= scale


@settings(max_examples=40, deadline=None)
@given(WORLDS, st.sampled_from(["forward", "backward"]), st.integers(1, 5))
def test_depth_columns_add_up(world, direction, depth):
    """Over all numbers of payments the amounts are those without a depth; nothing is negative."""
    seed, slices, hops = world
    drawn_world, sources = drawn(seed, slices)
    plain = plain_trace(drawn_world.flows, sources, hops, direction=direction)
    deep = plain_trace(drawn_world.flows, sources, hops, direction=direction, depth=depth)
    scale = max(plain.injected, 1.0)
    assert np.allclose(deep.received.sum(axis=2), plain.received, rtol=0, atol=1e-9 * scale)
    assert np.allclose(deep.returned.sum(axis=2), plain.returned, rtol=0, atol=1e-9 * scale)
    assert min(deep.received.min(), deep.returned.min(), deep.held.min(), deep.left) >= 0.0
    total = plain.held.sum() + plain.returned.sum() + plain.left
    assert abs(total - plain.injected) <= 1e-9 * scale


def test_ways_of_different_length_stand_in_their_own_columns():
    """Of 10000 that reach 4, 1000 made one payment, 3000 two and 6000 three, over two slices."""
    payments = [(0, 4, 1000), (0, 1, 3000), (0, 2, 6000), (1, 4, 3000), (2, 3, 6000)]
    source, target, amount = np.array([*payments, (3, 4, 6000)]).T
    flows = PooledFlows(
        accounts=5,
        slices=2,
        source=source,
        target=target,
        slice=np.array([0, 0, 0, 0, 0, 1]),
        amount=amount,
        balance=np.zeros(5, np.int64),
        balance_known=np.zeros(5, np.bool_),
    )
    for depth, expected in (
        (1, [[4000], [6000]]),
        (2, [[1000, 3000], [0, 6000]]),
        (3, [[1000, 3000, 0], [0, 0, 6000]]),
        (4, [[1000, 3000, 0, 0], [0, 0, 6000, 0]]),
    ):
        trace = plain_trace(flows, np.array([0]), 4, depth=depth)
        assert np.allclose(trace.received[:, 4], expected, rtol=0, atol=1e-6)


def test_money_that_gets_lost_is_an_error(monkeypatch):
    """A trace whose parts do not add up to what was injected raises, and gives no result."""
    flows = CASES["half of it leaves the consortium"].world().flows
    whole = reference._one_slice
    monkeypatch.setattr(
        reference, "_one_slice", lambda *a: replace(whole(*a), lost=np.zeros(flows.accounts))
    )
    with pytest.raises(ArithmeticError, match="10000"):
        plain_trace(flows, np.array([0]), 4)


@settings(max_examples=40, deadline=None)
@given(WORLDS, st.sampled_from(["forward", "backward"]), st.integers(2, 1000))
def test_amounts_have_no_unit(world, direction, factor):
    """Payments and balances in a unit that is a factor smaller give as much money."""
    seed, slices, hops = world
    drawn_world, sources = drawn(seed, slices)
    flows = drawn_world.flows
    small = replace(flows, amount=flows.amount * factor, balance=flows.balance * factor)
    first = plain_trace(flows, sources, hops, direction=direction)
    second = plain_trace(small, sources, hops, direction=direction)
    scale = 1e-9 * max(second.injected, 1.0)
    assert np.allclose(first.received * factor, second.received, rtol=0, atol=scale)
    assert np.allclose(first.returned * factor, second.returned, rtol=0, atol=scale)
    assert np.allclose(first.held * factor, second.held, rtol=0, atol=scale)


@settings(max_examples=40, deadline=None)
@given(WORLDS, st.sampled_from(["forward", "backward"]))
def test_a_payment_in_two_parts_is_one_payment(world, direction):
    """Payments between the same accounts in a slice count by their sum, in whatever order."""
    seed, slices, hops = world
    drawn_world, sources = drawn(seed, slices)
    flows = drawn_world.flows
    rng = np.random.default_rng(seed)
    part = rng.integers(0, flows.amount + 1)
    order = rng.permutation(2 * len(part))
    parts = replace(
        flows,
        **{name: np.tile(getattr(flows, name), 2)[order] for name in ("source", "target", "slice")},
        amount=np.concatenate([part, flows.amount - part])[order],
    )
    first = plain_trace(flows, sources, hops, direction=direction)
    second = plain_trace(parts, sources, hops, direction=direction)
    scale = 1e-9 * max(first.injected, 1.0)
    assert np.allclose(first.received, second.received, rtol=0, atol=scale)
    assert np.allclose(first.returned, second.returned, rtol=0, atol=scale)


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


@settings(max_examples=40, deadline=None)
@given(WORLDS)
def test_backward_is_forward_of_the_reversed_payments(world):
    """Where no balance runs dry, backward is forward with payers and payees, first and last slice,
    and balances before and after exchanged.
    """
    seed, slices, hops = world
    drawn_world, sources = drawn(seed, slices)
    flows, n = drawn_world.flows, drawn_world.flows.accounts
    there = replace(flows, balance=flows.balance + flows.amount.sum())
    inflow, outflow = (
        np.bincount(end[end >= 0], flows.amount[end >= 0], n).astype(np.int64)
        for end in (flows.target, flows.source)
    )
    back = replace(
        there,
        source=flows.target,
        target=flows.source,
        slice=slices - 1 - flows.slice,
        balance=there.balance + inflow - outflow,
    )
    first = plain_trace(there, sources, hops, direction="backward")
    second = plain_trace(back, sources, hops)
    scale = 1e-9 * max(first.injected, 1.0)
    assert np.allclose(first.received, second.received[::-1], rtol=0, atol=scale)
    assert np.allclose(first.returned, second.returned[::-1], rtol=0, atol=scale)
    assert np.allclose(first.held, second.held, rtol=0, atol=scale)
