"""Secure flow traces against the plaintext reference."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flow_tracing.walk
from flow_tracing.parameters import TraceParameters, split_questions
from flow_tracing.reference import plain_trace
from flow_tracing.secure import secure_trace
from graph_mpc.errors import NotConserved, ParameterError
from graph_mpc.policy import EXACT, parse_policy
from tests.flow_tracing.cases import CASES
from tests.flow_tracing.split import World, inputs, pooled_table, random_world, run_secure
from tests.graph_mpc.local import contexts, roster_of, run_all


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


@pytest.mark.parametrize("name", CASES)
def test_answers_worked_out_by_hand(name):
    """Each case has its answer, exact to the cent after rounding."""
    case = CASES[name]
    world = case.world()
    chosen = parameters(world, "p0=1", hops=case.hops, direction=case.direction)
    outcomes = traced(world, chosen, {0: [np.array(case.sources)]})
    received, returned = pooled_table(world, outcomes)[0]
    for values, expected in ((received[0], case.received), (returned[0], case.returned)):
        found = {
            (int(t), int(v)): round(float(values[t, v]))
            for t, v in zip(*np.nonzero(values > 0.5), strict=True)
        }
        assert found == expected


def test_standard_precision_is_close():
    """One limb keeps amounts within 1e-5 of what was injected on small graphs."""
    world = random_world(np.random.default_rng(6), slices=2)
    b = int(world.bank[0])
    sources = {b: [world.own(b)[:1]]}
    chosen = parameters(world, f"p{b}=1", hops=3, precision="standard")
    assert_equal(world, chosen, sources, traced(world, chosen, sources))


def shapes_of(world: World, chosen: TraceParameters, sources: dict):
    """The transcripts of all parties: labels, receivers and sizes."""
    made = contexts(roster_of(3))
    own = inputs(world, {b: {"sources": q} for b, q in sources.items()})
    program = lambda ctx: secure_trace(ctx, chosen, EXACT, own[ctx.me])  # noqa: E731
    asyncio.run(run_all(made, program))
    return [ctx.network.transcript for ctx in made]


def test_messages_do_not_depend_on_the_question():
    """One source, three, none that pays, or fewer traces than padded: the same messages."""
    world = random_world(np.random.default_rng(9), accounts=24, payments=90)
    chosen = parameters(world, "p0=2", hops=3, depth="2")
    own = world.own(0)
    questions = [[own[:1]], [own[:3], own[1:2]], [own[-1:]], []]
    shapes = [shapes_of(world, chosen, {0: q}) for q in questions]
    assert all(shape == shapes[0] for shape in shapes)


def test_messages_do_not_depend_on_amounts():
    """Other amounts and balances between the same accounts give the same messages."""
    world = random_world(np.random.default_rng(9), accounts=24, payments=90)
    other = replace(
        world,
        flows=replace(
            world.flows, amount=world.flows.amount[::-1] + 5, balance=world.flows.balance[::-1]
        ),
    )
    chosen = parameters(world, "p0=1", hops=3)
    sources = {0: [world.own(0)[:1]]}
    assert shapes_of(world, chosen, sources) == shapes_of(other, chosen, sources)


def test_lost_money_is_noticed(monkeypatch):
    """A party that drops what arrives ends the run with an error, not with a result."""
    world = random_world(np.random.default_rng(2), accounts=24, payments=90, outside=0.0)
    honest = flow_tracing.walk.collect

    async def dropping(ctx, *arguments):
        totals = await honest(ctx, *arguments)
        if ctx.me == 1:
            lost = totals[1]
            totals[1] = lost.map(lambda a: np.zeros_like(a), lost.shape)
        return totals

    monkeypatch.setattr(flow_tracing.walk, "collect", dropping)
    chosen = parameters(world, "p0=1", hops=3)
    with pytest.raises(NotConserved):
        traced(world, chosen, {0: [world.own(0)]})


def test_a_bank_outside_the_run_cannot_ask():
    """A name that is no bank of the run is refused before anything is computed."""
    world = random_world(np.random.default_rng(2))
    chosen = parameters(world, "p7=1", hops=2)
    with pytest.raises(ParameterError, match="p7 asks"):
        traced(world, chosen, {})


@pytest.mark.parametrize(("count", "padded"), [(1, 1), (2, 2), (3, 4), (5, 8), (64, 64)])
def test_questions_are_padded(count, padded):
    """The number of traces is told as the next power of two; accounts stay with their bank."""
    tables = [{"bank": "b", "accounts": ["a1", "a2"]}] * count
    public, private = split_questions({"trace": tables, "hops": 3})
    assert public == {"hops": 3, "traces": f"b={padded}"}
    assert private == {"b": {"traces": [["a1", "a2"]] * count}}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"account": "A1"}, "names no bank"),
        ({"bank": "b"}, "names no account"),
        ({"bank": "b", "account": ""}, "names no account"),
        ({"trace": "x"}, "not a list of tables"),
        ({"trace": [{"accounts": ["A1"]}]}, "names no bank"),
        ({"trace": [{"bank": "b", "accounts": ["A1"]}] * 65}, "more than 64"),
    ],
)
def test_wrong_questions_are_refused_without_their_accounts(raw, reason):
    """The error says what is wrong and names no account."""
    with pytest.raises(ParameterError, match=reason) as caught:
        split_questions(raw)
    assert "A1" not in str(caught.value)


@pytest.mark.parametrize("text", ["bands:0.1,0.5", "threshold:0.1:0.05"])
def test_policies_of_a_trace(text):
    """Borders are shares of what the sources paid; the rest of the answer stays hidden."""
    case = CASES["a payment to oneself"]
    world = case.world()
    chosen = parameters(world, "p0=1", hops=case.hops)
    policy = parse_policy(text)
    sources = np.array(case.sources)

    async def program(ctx, mine):
        return await secure_trace(ctx, chosen, policy, mine)

    (outcome, *_) = run_secure(world, 3, program, {0: {"sources": [sources]}})
    plain = plain_trace(world.flows, sources, case.hops)
    shares = (plain.received + plain.returned) / plain.injected
    table = outcome.table
    found = np.zeros(shares.shape)
    if policy.name == "bands":
        found[table["slice"], table["vertex"]] = table["band"]
        expected = np.digitize(shares, policy.borders).astype(float)
    else:
        found[table["slice"], table["vertex"]] = table["amount"] / plain.injected
        expected = np.where(shares >= 0.1, np.floor(shares / 0.05 + 0.5) * 0.05, 0.0)
    assert expected.any()
    assert np.allclose(found, expected)
