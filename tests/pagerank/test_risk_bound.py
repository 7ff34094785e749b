"""The bound that risk propagation states of its error holds, above all where many pay one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_tracing.reference import PooledFlows
from graph_mpc.errors import Overflow
from graph_mpc.sizes import PublicSizes
from pagerank import risk_propagation
from pagerank.risk_precision import (
    RiskFixedPoint,
    choose_risk_format,
    error_bound,
    most_payers,
    share_limbs,
)
from pagerank.risk_reference import plain_risk_propagation
from tests.flow_tracing.split import World
from tests.pagerank.test_risk_propagation import parameters, secure, sliced

PRECISIONS = ["high", "standard"]
LIMBS = {"high": 2, "standard": 1}


def hub_world(
    rng: np.random.Generator, payers: int, hubs: int = 2, banks: int = 3, slices: int = 1
) -> World:
    """Accounts of which some are paid by nearly all others, and pay a few of them on."""
    accounts = payers + hubs
    source = np.concatenate([*[np.arange(payers)] * hubs, rng.integers(payers, accounts, 200)])
    target = np.concatenate([np.repeat(np.arange(payers, accounts), payers),
                             rng.integers(0, accounts, 200)])  # fmt: skip
    payments = len(source)
    flows = PooledFlows(
        accounts,
        slices,
        source,
        target,
        rng.integers(0, slices, payments),
        np.ceil(np.exp(rng.normal(8, rng.choice([0.0, 0.3, 2.0, 5.0]), payments))).astype(np.int64),
        np.zeros(accounts, np.int64),
        np.zeros(accounts, np.bool_),
    )
    return World(flows, rng.integers(0, banks, accounts), banks)


def share_of_bound(world: World, risk: np.ndarray, **chosen) -> float:
    """The largest error of a secure run, as a share of the bound that the run states."""
    public = parameters(world, **chosen)
    outcomes = secure(world, risk, public)
    expected = plain_risk_propagation(sliced(world.flows), risk, public.deltas())
    errors = [
        np.abs(outcomes[b].result.values - expected[world.own(b)]).max(initial=0.0)
        for b in range(world.banks)
    ]
    return max(errors) / outcomes[0].accuracy["bound"]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    payers=st.integers(1000, 4000),
    slices=st.integers(1, 2),
    risks=st.sampled_from(["even", "high", "few"]),
    delta=st.sampled_from([{"delta": 0.5}, {"delta": 1.0}, {"a": 0.3, "b": 0.8}]),
    precision=st.sampled_from(PRECISIONS),
)
def test_the_bound_holds_with_thousands_of_payers(seed, payers, slices, risks, delta, precision):
    """Whatever the amounts, scores and delta, no score errs by more than the run states."""
    rng = np.random.default_rng(seed)
    world = hub_world(rng, payers, slices=slices)
    risk = rng.random(world.flows.accounts)
    if risks == "high":
        risk = 1.0 - risk / 100
    if risks == "few":
        risk = np.where(risk < 0.05, 1.0, 0.0)
    assert share_of_bound(world, risk, iterations=3, precision=precision, **delta) <= 1.0


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("payers", [3, 5, 16, 65])
def test_the_bound_holds_with_few_payers(payers, precision):
    """With rows of a handful of payers the bound is no looser, and holds over 30 iterations."""
    rng = np.random.default_rng(payers)
    world = hub_world(rng, payers)
    risk = rng.random(world.flows.accounts)
    assert share_of_bound(world, risk, iterations=30, delta=0.4, precision=precision) <= 1.0


def test_a_low_limb_as_wide_as_the_high_one_breaks_the_bound(monkeypatch):
    """The fault that the format avoids: low limbs of 29 bits overflow in a sum over many payers."""
    monkeypatch.setattr(
        risk_propagation,
        "choose_risk_format",
        lambda payers, limbs: RiskFixedPoint(31, 29, limbs, 1.0, 29, payers),
    )
    world = hub_world(np.random.default_rng(4), 1000)
    risk = np.full(world.flows.accounts, 0.9)
    assert share_of_bound(world, risk, iterations=2, delta=0.5) > 10.0


@given(st.integers(1, 2**26), st.sampled_from([1, 2]))
def test_no_sum_of_a_row_can_overflow(payers, limbs):
    """For any number of payers, sums over either limb stay within 2^60 for scores up to 1."""
    form = choose_risk_format(payers, limbs)
    assert form.weight_bits + form.value_bits <= 60
    assert payers * 2 ** (form.low_bits + form.value_bits) <= 2**60 or limbs == 1
    assert form.share_bits <= 60
    assert form.shifts == (form.weight_bits, form.share_bits)[:limbs]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5000), st.sampled_from([1, 2]))
def test_limbs_are_the_shares(seed, payers, limbs):
    """The limbs put together are the shares, to half a last place but for the largest; sum 1."""
    rng = np.random.default_rng(seed)
    amount = np.ceil(np.exp(rng.normal(10, 4, payers))).astype(np.int64)
    form = choose_risk_format(payers, limbs)
    words = share_limbs(amount, np.zeros(payers, np.int64), form).view(np.int64)
    whole = words[0] if limbs == 1 else (words[0] << form.low_bits) + words[1]
    assert int(whole.sum()) == 1 << form.share_bits
    assert limbs == 1 or (words[1].min() >= 0 and words[1].max() < 1 << form.low_bits)
    exact = amount / amount.sum() * 2.0**form.share_bits
    errors = np.sort(np.abs(whole - exact))[:-1]
    assert errors.max(initial=0.0) <= 0.5 + 2.0 ** (form.share_bits - 50)


def test_a_negative_largest_weight_keeps_its_value():
    """Where half units of very many payers leave less than nothing, the limbs still say so."""
    amount, form = np.ones(2999, np.int64), RiskFixedPoint(20, 12, 2, 1.0, 8, 2999)
    amount[0] = 2
    words = share_limbs(amount, np.zeros(2999, np.int64), form).view(np.int64)
    whole = (words[0] << form.low_bits) + words[1]
    assert whole.min() < 0
    assert int(whole.sum()) == 1 << form.share_bits


def test_the_bound_follows_from_public_sizes():
    """A row has at most its owner's padded accounts and lists as payers, or its padded entries."""
    boundary = {(0, 1): 30, (0, 2): 5, (1, 0): 400, (1, 2): 0, (2, 0): 0, (2, 1): 0}
    sizes = PublicSizes({0: 100, 1: 50, 2: 10}, {0: 900, 1: 300, 2: 7}, boundary)
    assert most_payers(sizes) == 300
    assert most_payers(PublicSizes({0: 0}, {0: 0}, {})) == 1


def test_the_bound_is_small_and_grows_slowly():
    """High precision stays at a few 1e-9 a step up to 10,000 payers, 3e-8 up to a million."""
    bounds = [error_bound(choose_risk_format(p, 2), [0.5]) for p in (10, 10_000, 1_000_000)]
    assert bounds == sorted(bounds)
    assert bounds[1] < 3e-9
    assert bounds[2] < 3e-8


def test_too_little_accuracy_is_refused():
    """A run whose bound would be above 0.05 does not begin, and the error says what to do."""
    form = choose_risk_format(2**26, 1)
    assert error_bound(form, [0.5]) < 0.05
    with pytest.raises(Overflow, match="fewer accounts or iterations"):
        error_bound(form, [0.5] * 10_000)
    with pytest.raises(Overflow, match="leaves too few bits"):
        choose_risk_format(2**60, 2)
