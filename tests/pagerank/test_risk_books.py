"""Risk propagation where the banks' books are empty, one-sided or differ; shapes of whole runs."""

from dataclasses import replace

import numpy as np
import pytest

from graph_mpc.errors import ParameterError
from graph_mpc.graph import LocalGraph
from graph_mpc.policy import EXACT, parse_policy
from graph_mpc.program import OwnerInput
from pagerank.risk_parameters import RiskParameters
from pagerank.risk_propagation import secure_risk_propagation
from tests.flow_tracing.split import World, inputs, random_world
from tests.graph_mpc.local import contexts, roster_of
from tests.graph_mpc.test_rounds import Post, run_counted
from tests.pagerank.test_risk_propagation import assert_equal, parameters, secure, three_accounts


def test_banks_without_payments():
    """A bank without a payment, and one without an account, take part like any other."""
    world = three_accounts([(0, 0, 5), (0, 0, 7)])
    risk = np.array([0.5, 0.25, 1.0])
    chosen = parameters(world, iterations=2, delta=0.5)
    outcomes = secure(world, risk, chosen)
    shown = [float(o.result.values[0]) for o in outcomes]
    assert np.allclose(shown, [0.5, 0.25 / 4, 1.0 / 4], atol=1e-8)
    empty = World(world.flows, np.array([0, 2, 2]), 3)
    assert_equal(empty, risk, chosen, secure(empty, risk, chosen))


def test_payments_that_one_bank_knows_are_left_out():
    """What only the payer's or only the payee's bank has in its books changes no score."""
    both = [(0, 1, 10), (1, 2, 5)]
    world = three_accounts([*both, (2, 1, 30), (0, 2, 7)])
    risk = np.array([0.9, 0.1, 0.4])
    chosen = parameters(world, iterations=3, delta=0.4)

    def forget(own):
        own[1] = _without_payer(own[1], "p2")
        own[0] = _without_payee(own[0], "p2")

    outcomes = secure(world, risk, chosen, change=forget)
    assert_equal(three_accounts(both), risk, chosen, outcomes)
    assert [o.reconciliation["unmatched"] for o in outcomes] == [0, 0, 2]
    strict = parameters(world, iterations=3, delta=0.4, max_unmatched=0.5)
    with pytest.raises(ParameterError, match="above the limit"):
        secure(world, risk, strict, change=forget)


def _without_payer(own: OwnerInput, bank: str) -> OwnerInput:
    """Leave out what a bank's accounts paid to own ones."""
    return _kept(own, _other_bank(own.graph, own.graph.source) != own.graph.owners.index(bank))


def _without_payee(own: OwnerInput, bank: str) -> OwnerInput:
    """Leave out what own accounts paid to a bank's."""
    return _kept(own, _other_bank(own.graph, own.graph.target) != own.graph.owners.index(bank))


def _other_bank(graph: LocalGraph, end: np.ndarray) -> np.ndarray:
    """The bank of the foreign accounts at one end, -1 for own ones."""
    bank = np.full(len(end), -1)
    bank[end < 0] = graph.neighbour_owner[~end[end < 0]]
    return bank


def _kept(own: OwnerInput, kept: np.ndarray) -> OwnerInput:
    columns = ("source", "target", "slice", "weight", "count")
    graph = replace(own.graph, **{name: getattr(own.graph, name)[kept] for name in columns})
    return replace(own, graph=graph)


def test_payee_decides_where_amounts_differ():
    """Where two banks know different amounts, the receiver's counts, and both are told."""
    world = three_accounts([(0, 1, 10), (2, 1, 10)])
    risk = np.array([1.0, 0.0, 0.0])

    def change(own):
        own[0] = replace(own[0], graph=replace(own[0].graph, weight=np.array([90], np.int64)))

    chosen = parameters(world, iterations=1, delta=1.0)
    outcomes = secure(world, risk, chosen, change=change)
    assert abs(outcomes[1].result.values[0] - 0.5) < 1e-8
    assert [o.reconciliation["different_amounts"] for o in outcomes] == [1, 1, 0]


@pytest.mark.parametrize("text", ["exact", "bands:0.2,0.5,0.8", "threshold:0.3:0.1"])
@pytest.mark.parametrize("parties", [3, 4])
def test_messages_of_a_run_have_one_shape(text, parties):
    """Two inputs of one padded size give the same messages, in label, size and order."""
    shapes = []
    for seed, payments in ((1, 20), (2, 3)):
        rng = np.random.default_rng(seed)
        flows = random_world(rng, payments=payments, outside=0.0, slices=2).flows
        world = World(flows, np.arange(12) % 3, 3)
        made = contexts(roster_of(parties, 3))
        chosen = parameters(world, iterations=2, delta=0.3)
        secure(world, rng.random(12), chosen, parties, parse_policy(text), made=made)
        shapes.append([ctx.network.transcript for ctx in made])
    assert shapes[0] == shapes[1]
    assert all(shapes[0])


async def test_a_step_is_four_rounds():
    """Masked inputs, exports, and two truncations; the rest is sent once for all steps."""
    world = three_accounts([(0, 1, 10), (1, 2, 5)])
    rounds = [await _rounds(world, parameters(world, iterations=k, delta=0.3)) for k in (1, 2, 4)]
    assert rounds[1] - rounds[0] == 4
    assert rounds[2] - rounds[1] == 2 * 4


async def _rounds(world: World, chosen: RiskParameters) -> int:
    own, post = inputs(world), Post()

    async def program(ctx):
        return await secure_risk_propagation(ctx, chosen, EXACT, own[ctx.me])

    await run_counted(contexts(roster_of(3)), post, program)
    return post.rounds
