"""Privacy of the exact floor: its pieces are proven in test_views; here their composition.

Too many words to enumerate, so random lanes: every word and pair of words in a party's view, and
random parities of all its bits, must be distributed alike for two secrets; and the same affine
relations must hold between its bits.
"""

import itertools
import math

import numpy as np
import pytest
from scipy.special import gammaincc

from graph_mpc.context import Context
from graph_mpc.floor import exact_floor
from graph_mpc.ring import Ring
from tests.graph_mpc.views import Program, Setting, Tape, reduced_basis, sample_run, without

LANES = 1 << 18
PAIR_LANES = 1 << 15
HULL_LANES = 1 << 10
PARITIES = 200
FALSE_ALARM = 1e-6


async def floor_once(ctx: Context, tape: Tape, secret):
    """Exact floor of x / 2 of the secret x."""
    return await exact_floor(ctx, ("floor",), tape.share(ctx, "x", (0, 1), secret), 1)


def least_p_value(first: np.ndarray, second: np.ndarray) -> float:
    """Smallest p-value of two-sample chi-square tests, times the number of tests."""
    some = [view[:, :PAIR_LANES] for view in (first, second)]
    p_values = [
        two_samples(*(view[i] << 4 | view[j] for view in some), 256)
        for i, j in itertools.combinations(range(len(first)), 2)
    ]
    p_values += [two_samples(*words, 16) for words in zip(first, second, strict=True)]
    rng = np.random.default_rng(5)
    for _ in range(PARITIES):
        some_words = rng.choice(len(first), 6)
        chosen = rng.integers(0, 16, (6, 1))
        parities = (parity(view[some_words], chosen) for view in (first, second))
        p_values.append(two_samples(*parities, 2))
    return min(p_values) * len(p_values)


def affine_hull(view: np.ndarray) -> tuple[int, ...]:
    """Reduced basis of the bits of all lanes, each with a 1 in front: their affine relations."""
    bits = (view[:, :HULL_LANES, None] >> np.arange(4)) & 1
    rows = np.moveaxis(bits, 1, 0).reshape(HULL_LANES, -1)
    return reduced_basis(int("1" + "".join(map(str, row)), 2) for row in rows)


def parity(view: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Parity of the chosen bits of each lane."""
    word = np.bitwise_xor.reduce(view & chosen, axis=0)
    return (word ^ word >> 1 ^ word >> 2 ^ word >> 3) & 1


def two_samples(first: np.ndarray, second: np.ndarray, cells: int) -> float:
    """p-value of two samples of codes below ``cells`` being of one distribution."""
    counts = [np.bincount(x, minlength=cells) for x in (first, second)]
    total = counts[0] + counts[1]
    used = total > 0
    statistic = float(np.sum((counts[0] - counts[1])[used] ** 2 / total[used]))
    freedom = int(np.count_nonzero(used)) - 1
    return float(gammaincc(freedom / 2, statistic / 2)) if freedom else float(statistic == 0)


async def informed_parties(
    program: Program, secrets: tuple[int, int], setting: Setting, lanes: int
) -> set[int]:
    """Parties whose views of the two secrets differ."""
    runs = [await sample_run(program, x, setting, lanes, seed) for seed, x in enumerate(secrets)]
    informed = set()
    for party in range(setting.parties):
        first, second = (run.views[party].columns.astype(np.int64) for run in runs)
        if affine_hull(first) != affine_hull(second) or least_p_value(first, second) < FALSE_ALARM:
            informed.add(party)
    return informed


async def test_exact_floor_views():
    """No pair of words, parity or affine relation in a view tells -1 from 2."""
    assert await informed_parties(floor_once, (-1, 2), Setting(Ring(4)), LANES) == set()


@pytest.mark.parametrize(
    ("mask", "informed"), [("bits", {1}), ("rb", {1}), ("rh", {0}), ("ak", {0, 1})]
)
async def test_exact_floor_without_a_mask_is_seen(mask, informed):
    """The sample is large enough to see each mask that is missing."""
    setting = Setting(Ring(4), streams=without(mask))
    assert await informed_parties(floor_once, (-1, 2), setting, PAIR_LANES) == informed


def test_false_alarms_are_rare():
    """The test of two samples has the right size: its p-values are uniform."""
    rng = np.random.default_rng(3)
    p_values = np.sort([two_samples(*rng.integers(0, 16, (2, 5000)), 16) for _ in range(300)])
    distance = np.abs(p_values - np.arange(1, 301) / 300).max()
    assert distance < 1.6 / math.sqrt(300)
