"""Secure round trips against the plaintext reference."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_tracing.parameters import RoundTripParameters
from flow_tracing.reference import PooledFlows, plain_round_trip
from flow_tracing.round_trip import secure_round_trip
from flow_tracing.scope import may_leave
from graph_mpc.errors import ParameterError
from graph_mpc.policy import EXACT, parse_policy
from tests.flow_tracing.split import World, inputs, random_world, run_secure


def parameters(world: World, **others) -> RoundTripParameters:
    """Public parameters over the slices of the world."""
    window = {}
    if world.flows.slices > 1:
        window = {
            "since": "1970-01-01T00:00:00Z",
            "until": f"1970-01-01T00:00:{world.flows.slices:02}Z",
            "slice": "1s",
        }
    return RoundTripParameters(**window, **others)


def round_trips(world: World, chosen: RoundTripParameters, parties: int = 3, policy=EXACT):
    """The outcomes of all parties."""

    async def program(ctx, own):
        return await secure_round_trip(ctx, chosen, policy, own)

    return run_secure(world, parties, program)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 2), st.integers(1, 4), st.integers(3, 5))
def test_round_trips_are_those_of_the_pooled_payments(seed, slices, hops, parties):
    """For every account of every bank, local or not, the share is the reference's."""
    world = random_world(np.random.default_rng(seed), slices=slices)
    outcomes = round_trips(world, parameters(world, hops=hops), parties)
    expected = plain_round_trip(world.flows, np.arange(world.flows.accounts), hops)
    for b in range(world.banks):
        assert np.array_equal(outcomes[b].vertices, np.arange(len(world.own(b))))
        assert np.abs(outcomes[b].result.values - expected[world.own(b)]).max(initial=0.0) <= 1e-5
    assert all(o.result is None for o in outcomes[world.banks :])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 4))
def test_local_round_trips_miss_nothing(seed, slices, hops):
    """Where no round trip may leave the bank, its own payments give the pooled share."""
    world = random_world(np.random.default_rng(seed), accounts=20, payments=30, slices=slices)
    flows = world.flows
    pooled = plain_round_trip(flows, np.arange(flows.accounts), hops)
    for b, own in enumerate(inputs(world)):
        leaves = may_leave(own.graph, np.ones(own.graph.edges, np.bool_), hops * slices)
        foreign = lambda ends, b=b: (ends >= 0) & (world.bank[ends] != b)  # noqa: E731
        alone = replace(
            flows,
            source=np.where(foreign(flows.source), -1, flows.source),
            target=np.where(foreign(flows.target), -1, flows.target),
        )
        mine = plain_round_trip(alone, np.arange(flows.accounts), hops)
        stays = world.own(b)[~leaves]
        assert np.allclose(mine[stays], pooled[stays])


def test_account_without_cross_bank_payments_may_be_in_a_joint_round_trip():
    """What counts is whether money can leave the bank and come back, by whatever own account."""
    # 0 -> 1 -> (bank 1) 3 -> 2 -> 0: account 0 pays and is paid inside its bank only.
    world = _world([0, 0, 0, 1], [(0, 1), (1, 3), (3, 2), (2, 0)])
    own = inputs(world)[0]
    leaves = may_leave(own.graph, np.ones(own.graph.edges, np.bool_), 4)
    assert leaves.tolist() == [True, True, True]
    assert not may_leave(own.graph, np.ones(own.graph.edges, np.bool_), 3).any()
    outcomes = round_trips(world, parameters(world, hops=4))
    assert abs(outcomes[0].result.values[0] - 1.0) < 1e-8


def _world(banks: list[int], pairs: list[tuple[int, int]]) -> World:
    source, target = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    n, e = len(banks), len(pairs)
    flows = PooledFlows(
        n, 1, source, target, np.zeros(e, np.int64), np.full(e, 1000), np.zeros(n, np.int64),
        np.zeros(n, np.bool_),
    )  # fmt: skip
    return World(flows, np.array(banks), 3)


def test_scope_limits_what_is_released():
    """Only accounts in scope have a result; the others' payments stay in the graph."""
    world = random_world(np.random.default_rng(3), accounts=24, payments=90, slices=1)
    expected = plain_round_trip(world.flows, np.arange(24), 4)
    chosen = parameters(world, scope="in_scope")

    async def program(ctx, own):
        own.vertex["in_scope"] = np.arange(own.graph.vertices) % 2 == 1
        return await secure_round_trip(ctx, chosen, EXACT, own)

    for b, outcome in enumerate(run_secure(world, 3, program)):
        scoped = world.own(b)[1::2]
        assert np.array_equal(outcome.vertices, np.arange(len(world.own(b)))[1::2])
        assert np.allclose(outcome.result.values, expected[scoped], atol=1e-6)


def test_one_account_per_column_is_exact():
    """Batched with one account in a column is the exact share, whatever its sign."""
    world = random_world(np.random.default_rng(4), accounts=15, payments=50, slices=1)
    chosen = parameters(world, columns="batched", per_column=1, repetitions=2)
    expected = plain_round_trip(world.flows, np.arange(15), 4)
    for b, outcome in enumerate(round_trips(world, chosen)):
        assert np.allclose(outcome.result.values, expected[world.own(b)], atol=1e-6)


def test_strangers_who_never_meet_make_no_noise():
    """Accounts of separate rings in one column have their exact shares."""
    rings = [(k, 6 + k) for k in range(6)] + [(6 + k, k) for k in range(6)]
    world = _world([0] * 6 + [1] * 6, rings)
    chosen = parameters(world, columns="batched", per_column=4, repetitions=1, hops=2)
    for outcome in round_trips(world, chosen)[:2]:
        assert np.allclose(outcome.result.values, 1.0, atol=1e-6)


def test_estimates_stay_between_zero_and_one():
    """Batched estimates are shares, and use fewer columns than accounts."""
    world = random_world(np.random.default_rng(5), accounts=60, payments=240, slices=1)
    outcomes = round_trips(world, parameters(world, columns="batched", per_column=10))
    for outcome in outcomes:
        assert outcome.result.values.min() >= 0.0
        assert outcome.result.values.max() <= 1.0
    assert outcomes[0].padded_sizes["columns"]["p0"] < len(world.own(0))


def test_bands_of_round_trips():
    """Bands are those of the exact shares, for joint and local accounts."""
    world = random_world(np.random.default_rng(6), accounts=24, payments=90, slices=1)
    expected = plain_round_trip(world.flows, np.arange(24), 4)
    outcomes = round_trips(world, parameters(world), policy=parse_policy("bands:0.1,0.4"))
    for b, outcome in enumerate(outcomes):
        assert np.array_equal(
            outcome.result.values, np.digitize(expected[world.own(b)], [0.1, 0.4])
        )


def test_estimates_are_not_judged_inside():
    """A policy that hides values cannot be combined with estimates: refused before anything."""
    world = random_world(np.random.default_rng(6), slices=1)
    with pytest.raises(ParameterError, match="estimates"):
        round_trips(world, parameters(world, columns="batched"), policy=parse_policy("bands:0.5"))
