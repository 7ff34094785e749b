"""Secure flow traces against the plaintext reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_tracing.parameters import TraceParameters
from flow_tracing.reference import plain_trace
from flow_tracing.secure import secure_trace
from graph_mpc.policy import EXACT
from tests.flow_tracing.split import World, pooled_table, random_world, run_secure

DAY = 86_400


def parameters(world: World, traces: str, **others) -> TraceParameters:
    """Public parameters over the slices of the world."""
    return TraceParameters(
        traces=traces,
        since="1970-01-01T00:00:00Z",
        until=f"1970-01-01T00:00:{world.flows.slices:02}Z",
        slice="1s",
        **others,
    )


def traced(world: World, chosen: TraceParameters, sources: dict, parties: int = 3):
    """Run the secure trace; ``sources``: for each bank its questions."""

    async def program(ctx, own):
        return await secure_trace(ctx, chosen, EXACT, own)

    private = {b: {"sources": questions} for b, questions in sources.items()}
    return run_secure(world, parties, program, private)


def assert_equal(world: World, chosen: TraceParameters, sources: dict, outcomes) -> None:
    """Every asking bank's amounts are those of the reference at its own accounts."""
    depth = None if chosen.depth == "off" else int(chosen.depth)
    tables = pooled_table(world, outcomes, depth)
    assert set(tables) == set(sources)
    for b, questions in sources.items():
        for q, accounts in enumerate(questions):
            plain = plain_trace(
                world.flows,
                np.array(accounts, np.int64),
                chosen.hops,
                direction=chosen.direction,
                depth=depth,
            )
            own = np.zeros(world.flows.accounts, np.bool_)
            own[world.own(b)] = True
            mine = own.reshape(1, -1, *[1] * (plain.received.ndim - 2))
            for secure, expected in zip(tables[b], (plain.received, plain.returned), strict=True):
                error = np.abs(secure[q] - np.where(mine, expected, 0.0)).max(initial=0.0)
                assert error <= 1e-5 * plain.injected + 1e-9


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.booleans(), st.integers(3, 5)
)
def test_trace_equals_the_reference(seed, slices, hops, backward, parties):
    """On random graphs every amount is within 1e-5 of what was injected."""
    rng = np.random.default_rng(seed)
    world = random_world(rng, slices=slices)
    b = int(world.bank[0])
    sources = {b: [rng.choice(world.own(b), min(2, len(world.own(b))), replace=False)]}
    direction = "backward" if backward else "forward"
    chosen = parameters(world, f"p{b}=1", hops=hops, direction=direction)
    assert_equal(world, chosen, sources, traced(world, chosen, sources, parties))


@pytest.mark.parametrize("depth", ["1", "2", "3", "5"])
def test_depth_tells_apart_the_number_of_payments(depth):
    """Each column holds what made that many payments, the last that many or more."""
    world = random_world(np.random.default_rng(4), slices=3)
    b = int(world.bank[0])
    sources = {b: [world.own(b)[:1]]}
    chosen = parameters(world, f"p{b}=1", hops=3, depth=depth)
    assert_equal(world, chosen, sources, traced(world, chosen, sources))


def test_traces_of_several_banks_in_one_run():
    """Traces are columns of one run: each bank gets its own, padded traces give nothing."""
    world = random_world(np.random.default_rng(5), accounts=30, payments=120)
    sources = {
        0: [world.own(0)[:1], world.own(0)[1:3], world.own(0)[2:3]],
        2: [world.own(2)[:2]],
    }
    chosen = parameters(world, "p0=4,p2=1", hops=3)
    outcomes = traced(world, chosen, sources)
    assert outcomes[1].table is None
    assert_equal(world, chosen, sources, outcomes)
