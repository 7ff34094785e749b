"""Whole runs: a party's real view cannot be told from one made of its inputs and outputs only."""

from functools import cache

import numpy as np
import pytest

from graph_mpc.network import Network
from graph_mpc.streams import Mask
from tests.graph_mpc.ideal import Ideal, World, ideal_pagerank, uniform_offsets
from tests.graph_mpc.simulated_runs import (
    RealRun,
    real_run,
    replayed_run,
    simulated_run,
    small_world,
)
from tests.graph_mpc.simulator import (
    METHODS,
    RULES,
    NoRule,
    RecordingStreams,
    View,
    rule_of,
)
from tests.graph_mpc.telling import least_p_value

RUNS = 48
LEAKING = 28
FALSE_ALARM = 1e-6
SETTINGS = {
    "three banks": small_world(3, 3),
    "three banks, risk, one limb": small_world(
        3, 3, personalisation="risk_score", precision="standard"
    ),
    "three banks, one weight for all": small_world(3, 3, weight="none"),
    "two banks and a compute party": small_world(3, 2),
    "three banks and a compute party": small_world(4, 3),
}
WORLDS = pytest.mark.parametrize("name", SETTINGS)
ROLES = pytest.mark.parametrize(
    ("name", "party"), [(name, p) for name, world in SETTINGS.items() for p in range(world.parties)]
)


@cache
def real(name: str, seed: int) -> RealRun:
    """The real run of a setting."""
    return real_run(SETTINGS[name], seed)


def ideal(world: World, seed: int) -> Ideal:
    """What the trusted party knows, with fresh offsets."""
    return ideal_pagerank(world, uniform_offsets(np.random.default_rng((seed, 2))))


def equal_views(first: View, second: View) -> bool:
    """Whether two views have the same entries."""
    same = {key: np.array_equal(v, second.entries.get(key)) for key, v in first.entries.items()}
    return len(first.entries) == len(second.entries) and all(same.values())


@WORLDS
def test_the_engine_computes_the_ideal_functionality(name):
    """With the offsets of the real run, the ideal functionality gives the same last bit."""
    for seed in range(3):
        run = real(name, seed)
        expected = ideal_pagerank(SETTINGS[name], run.offsets())
        for party in range(SETTINGS[name].owners):
            assert np.array_equal(run.outcomes[party].result.values, expected.scores(party))


def test_every_message_leaves_by_the_method_of_its_rule():
    """Each label has one rule, whose kind is how the engine really sent it; no rule is idle."""
    used = set()
    for name in SETTINGS:
        for ctx in real(name, 0).contexts:
            sent = {label for _to, label in ctx.streams.view.of("sent")}
            assert sent == set(ctx.network.methods)
            for label, method in ctx.network.methods.items():
                used.add(rule_of(label))
                assert METHODS[RULES[rule_of(label)]] == method, label
    assert used == set(RULES)


def test_a_message_without_a_rule_is_refused():
    """A message that is new to the simulator ends the test, whatever its content."""
    for label in (("sizes", 1), ("prepare", 0, 1, "P4", "m"), ("new",), ("release", "0")):
        with pytest.raises(NoRule):
            rule_of(label)


def test_no_method_of_the_network_is_unknown():
    """Every way to send a message is one that the simulator's kinds cover."""
    ways = {name for name in vars(Network) if not name.startswith(("_", "receive"))}
    assert ways - {"count", "gather_published"} == set(METHODS.values())


@ROLES
def test_a_view_is_complete(name, party):
    """On nothing but its recorded view the party does, step for step, what it did in the run."""
    view, outcome = replayed_run(real(name, 0), party, 0)
    assert equal_views(view, real(name, 0).view(party))
    genuine = real(name, 0).outcomes[party].result
    assert (genuine is None) == (outcome.result is None)
    assert genuine is None or np.array_equal(genuine.values, outcome.result.values)


@ROLES
def test_simulated_views_have_the_shape_of_real_ones(name, party):
    """Draws, messages and shares of a simulated view: the same labels, sizes, types and order.

    The order is that of the party's program when no message is waited for: the real view is
    replayed.
    """
    replayed, _ = replayed_run(real(name, 0), party, 0)
    simulated, _ = simulated_run(ideal(SETTINGS[name], 0), party, 0)
    assert simulated.shape() == replayed.shape()
    assert sorted(map(repr, simulated.shape())) == sorted(
        map(repr, real(name, 0).view(party).shape())
    )


@ROLES
def test_simulated_runs_end_with_the_ideal_output(name, party):
    """The party finishes on its simulated view and reads the ideal functionality's output."""
    world = SETTINGS[name]
    for seed in range(3):
        given = ideal(world, seed)
        _view, outcome = simulated_run(given, party, seed)
        genuine = real(name, 0).outcomes[party]
        if party >= world.owners:
            assert outcome.result is None
            continue
        assert np.array_equal(outcome.result.values, given.scores(party))
        assert outcome.reconciliation == genuine.reconciliation
        assert np.array_equal(outcome.unmatched, genuine.unmatched)
        assert outcome.padded_sizes == genuine.padded_sizes
        assert np.allclose(outcome.result.values, genuine.result.values, rtol=1e-5, atol=1e-9)


@cache
def real_views(name: str, runs: int) -> list[list[View]]:
    """Views of all parties; the seeds are not those of the simulated runs."""
    made = [real_run(SETTINGS[name], 1000 + seed) for seed in range(runs)]
    return [[run.view(party) for run in made] for party in range(SETTINGS[name].parties)]


@cache
def simulated_views(name: str, party: int, runs: int) -> list[View]:
    """Simulated views of one party."""
    return [simulated_run(ideal(SETTINGS[name], s), party, s)[0] for s in range(runs)]


@pytest.mark.parametrize(
    ("name", "party"),
    [("three banks", 0), ("three banks and a compute party", 3)],
)
def test_simulated_views_cannot_be_told_from_real_ones(name, party):
    """No projection of a bank's and helper's joint view, or of a compute party's, tells."""
    p = least_p_value(real_views(name, RUNS)[party], simulated_views(name, party, RUNS))
    assert p > FALSE_ALARM


@pytest.mark.slow
@pytest.mark.timeout(1200)
@ROLES
def test_no_simulated_view_of_many_runs_can_be_told(name, party):
    """The same for every role in every setting, with five times as many runs."""
    runs = 5 * RUNS
    p = least_p_value(real_views(name, runs)[party], simulated_views(name, party, runs))
    assert p > FALSE_ALARM


def without_mask(*ending: str | int) -> type[RecordingStreams]:
    """Streams in which the masks whose label ends so are zero: the run is right but leaks."""

    class Unmasked(RecordingStreams):
        def choose(self, mask: Mask, peer: int) -> Mask:
            if mask.label[-len(ending) :] != ending:
                return mask
            return Mask(mask.pair, mask.label, np.zeros_like(mask.values))

    return Unmasked


LEAKS = {
    "permutation P1": (("P1", "r"), {0}),
    "weights": (("w", "u"), {2}),
    "inputs of the map": (("R", 0), {0}),
    "imports from 1": (("import", 1, 0, 1), {0}),
    "helper's half of an opening": (("truncate", 0, "rh"), {0}),
    "owner's half of an opening": (("truncate", 0, "rb"), {1}),
    "factor of the normalisation": (("a", "h"), {0}),
}


SLOW_LEAKS = {"weights", "imports from 1", "factor of the normalisation", "permutation P1"}


@pytest.mark.parametrize(
    "leak",
    [pytest.param(leak, marks=[pytest.mark.slow] * (leak in SLOW_LEAKS)) for leak in LEAKS],
)
def test_a_leak_is_told(leak):
    """The same test tells a run in which one message is not masked from the simulated one."""
    ending, informed = LEAKS[leak]
    world = SETTINGS["three banks"]
    made = [real_run(world, 3000 + seed, without_mask(*ending)) for seed in range(LEAKING)]
    for party in informed:
        views = [run.view(party) for run in made]
        simulated = simulated_views("three banks", party, RUNS)[:LEAKING]
        assert least_p_value(views, simulated) < FALSE_ALARM


def one_match_less(given: Ideal) -> None:
    """The third party's ideal output is one match less than it is."""
    given.matches["reconcile", 1, 2, "edges"] -= 1


def constant_coins(given: Ideal) -> None:
    """The holders' coins are all zero."""
    for label in given.coins:
        given.coins[label] = np.zeros_like(given.coins[label])


@pytest.mark.parametrize("change", [one_match_less, constant_coins])
def test_a_wrong_simulator_is_told(change):
    """The test also tells when the simulator is given other outputs than the real party has."""
    views = []
    for seed in range(LEAKING):
        given = ideal(SETTINGS["three banks"], seed)
        change(given)
        views.append(simulated_run(given, 0, seed)[0])
    assert least_p_value(real_views("three banks", RUNS)[0][:LEAKING], views) < FALSE_ALARM
