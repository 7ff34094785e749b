"""Policies and the release of results: what owners learn, and that messages do not depend on it."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.errors import ParameterError
from graph_mpc.policy import EXACT, parse_policy
from graph_mpc.release import Released, ResultForm, in_plain, release_all
from graph_mpc.ring import encode
from graph_mpc.shares import Shared
from tests.graph_mpc.local import contexts, roster_of, run_all
from tests.graph_mpc.seeded import shared

BITS = 31
POLICIES = ("exact", "bands:0.2,0.5,0.8", "threshold:0.8:0.05")
VALUES = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=8)


def released(policy, per_owner, parties=3, unit=1.0, bound=1.0, made=None) -> list[Released]:
    """What each owner learns of its values."""
    made = made or contexts(roster_of(parties, len(per_owner)))
    form = ResultForm(BITS, unit, bound)

    async def program(ctx):
        results = {
            b: shared(ctx, (b, ctx.roster.helpers(b)[0]), encode(np.array(v) * unit, BITS))
            for b, v in enumerate(per_owner)
        }
        return await release_all(ctx, ("r",), parse_policy(policy), form, results)

    return asyncio.run(run_all(made, program))


@settings(max_examples=30, deadline=None)
@given(VALUES, VALUES, st.integers(3, 5), st.sampled_from(POLICIES))
def test_release_is_the_policy_in_plain(first, second, parties, text):
    """Owners learn what the policy leaves of the values, but within 2^-30 of a border."""
    policy = parse_policy(text)
    results = released(text, [first, second], parties)
    assert results[2:] == [None] * (parties - 2)
    for values, result in zip((first, second), results[:2], strict=True):
        plain = np.rint(np.array(values) * 2.0**BITS) / 2.0**BITS
        expected = in_plain(policy, plain)
        borders = list(policy.borders)
        if policy.step is not None:
            borders += [(k + 0.5) * policy.step for k in range(30)]
        near = np.zeros(len(plain), np.bool_)
        for border in borders:
            near |= np.abs(plain - border) < 2.0**-28
        assert np.allclose(result.values[~near], expected.values[~near], atol=1e-12)
        if expected.above is not None:
            assert np.array_equal(result.above[~near], expected.above[~near])


def test_bands_at_their_borders():
    """A value at a border belongs to the band above it, one unit less to the band below."""
    unit = 2.0**-BITS
    values = [0.0, 0.25 - unit, 0.25, 0.5 - unit, 0.5, 1.0]
    (result, *_) = released("bands:0.25,0.5", [values])
    assert result.values.tolist() == [0, 0, 1, 1, 2, 2]


def test_threshold_releases_rounded_values_and_nothing_below():
    """Below the threshold all values are 0; above they are rounded to the nearest step."""
    values = [0.0, 0.7999, 0.8 + 1e-9, 0.82, 0.826, 0.93, 0.99, 1.0]
    (result, *_) = released("threshold:0.8:0.05", [values])
    assert np.allclose(result.values, [0, 0, 0.8, 0.8, 0.85, 0.95, 1.0, 1.0])
    assert result.above.tolist() == [False, False, *[True] * 6]
    assert result.released_bits() == 8 + 6 * 3
    assert result.released_bits() <= 8 * parse_policy("threshold:0.8:0.05").bits_per_value


def test_threshold_at_the_border_and_at_half_steps():
    """A value at the threshold is released; a half step goes up, one unit less goes down."""
    unit = 2.0**-BITS
    values = [0.5 - unit, 0.5, 0.625 - unit, 0.625, 0.875 - unit, 0.875, 1.0]
    (result, *_) = released("threshold:0.5:0.25", [values])
    assert result.values.tolist() == [0, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    assert result.above.tolist() == [False, *[True] * 6]


def test_units_of_results():
    """Borders and steps are in units of the results, whatever unit the shares have."""
    values = np.array([0.001, 0.01 + 1e-9, 0.02, 0.5])
    (bands, *_) = released("bands:0.005,0.1", [values], unit=20.0, bound=20.0)
    assert bands.values.tolist() == [0, 1, 1, 2]
    (above, *_) = released("threshold:0.01:0.005", [values], unit=20.0, bound=20.0)
    assert np.allclose(above.values, [0, 0.01, 0.02, 0.5], atol=1e-8)


@pytest.mark.parametrize("policy", POLICIES)
def test_messages_have_one_shape(policy):
    """Labels, receivers and sizes of all messages are the same for any two inputs."""
    shapes = []
    for values in (np.zeros(40), np.linspace(0, 1, 40)):
        made = contexts(roster_of(3))
        released(policy, [values, values[::-1], values], made=made)
        shapes.append([ctx.network.transcript for ctx in made])
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("policy", "most"),
    [
        ("exact", 8),
        ("bands:0.5", 24 + 77 + 1 / 8),
        ("bands:0.2,0.5,0.8", 24 + 3 * (77 + 1 / 8)),
        ("threshold:0.8:0.05", 286),
    ],
)
def test_bytes_of_a_release(policy, most):
    """Bytes for each value, of all parties together: the test, and one bit or word to the owner."""
    made, n = contexts(roster_of(3, 1)), 800
    released(policy, [np.linspace(0, 1, n)], made=made)
    assert sum(sum(ctx.network.count()[0].values()) for ctx in made) == most * n
    assert most <= 500 * max(len(parse_policy(policy).borders), 1)


@settings(max_examples=30, deadline=None)
@given(VALUES, st.sampled_from(POLICIES))
def test_no_more_is_released_than_was_charged(values, text):
    """What was in fact given away is at most the bound for as many values."""
    policy = parse_policy(text)
    (result, *_) = released(text, [values])
    assert 0 < result.released_bits() <= len(values) * policy.bits_per_value
    assert len(set(result.values.tolist())) <= 2**policy.bits_per_value


def test_nobody_else_gets_a_release():
    """Only the owner's helper sends it its result, once."""
    made = contexts(roster_of(4))
    released("exact", [[0.5]] * 4, 4, made=made)
    sent = [(ctx.me, s.to) for ctx in made for s in ctx.network.transcript]
    assert sorted(sent) == [(0, 3), (1, 0), (2, 1), (3, 2)]


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("exact", 64),
        ("bands:0.5", 1),
        ("bands:0.2,0.5,0.8", 2),
        ("bands:0.1,0.2,0.3,0.4", 3),
        ("threshold:0.8:0.05", 4),
        ("threshold:0.5:0.5", 2),
        ("threshold:1:1", 1),
    ],
)
def test_bits_that_a_value_gives_away(text, bits):
    """64, log2 of the bands, or one more than the bits of a rounded value."""
    assert parse_policy(text).bits_per_value == bits


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bands", "not complete"),
        ("bands:", "not complete"),
        ("nothing", "not known"),
        ("exact:1", "not known"),
        ("bands:0.5,0.2", "do not ascend"),
        ("bands:0.5,0.5", "do not ascend"),
        ("bands:0.5,x", "not a number"),
        ("bands:0", "not above 0"),
        ("bands:1.5", "at most 1"),
        ("bands:nan", "not above 0"),
        ("bands:" + ",".join(str(k / 100) for k in range(1, 66)), "65 borders"),
        ("threshold:0.8", "not a threshold and a step"),
        ("threshold:0.1:0.5", "larger than the threshold"),
    ],
)
def test_wrong_policies_are_refused(text, reason):
    """A policy that makes no sense is refused with the reason and the right form."""
    with pytest.raises(ParameterError, match=reason):
        parse_policy(text)


def test_step_that_cannot_be_resolved_is_refused():
    """A step finer than the fixed point is refused before anything is sent."""
    with pytest.raises(ParameterError, match="too fine"):
        released("threshold:0.5:0.000000001", [[0.5]])


def test_rounding_below_zero_is_not_shown():
    """A result a few units below its smallest value is shown as that value."""
    made = contexts(roster_of(3))
    form = ResultForm(BITS, 1.0, 1.0)

    async def program(ctx):
        x = Shared.of_owner(ctx.me, 0, 1, (2,), encode(np.array([-1e-9, 0.5]), BITS))
        return await release_all(ctx, ("r",), EXACT, form, {0: x})

    (result, *_) = asyncio.run(run_all(made, program))
    assert result.values[0] == 0.0
