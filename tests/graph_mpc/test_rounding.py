"""Shares of a row in fixed point sum to exactly 1."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.rounding import shares_in_limbs

ENTRIES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2**62)), max_size=20)


@settings(max_examples=100, deadline=None)
@given(ENTRIES, st.sampled_from([(8, 1), (29, 1), (29, 2), (20, 2)]))
def test_shares_sum_to_one(entries, form):
    """Each row sums to 2^(L f_w); each weight is right but for rounding, the largest for all."""
    bits, limbs = form
    row = np.array([r for r, _ in entries], np.int64)
    amount = np.array([a for _, a in entries], np.int64)
    words = shares_in_limbs(amount, row, bits, limbs)
    assert words.shape == (limbs, len(entries))
    whole = [
        sum(int(w) << bits * (limbs - 1 - i) for i, w in enumerate(column)) for column in words.T
    ]
    one = 1 << bits * limbs
    for r in set(row.tolist()):
        there = np.flatnonzero(row == r)
        total = sum(int(amount[e]) for e in there)
        assert sum(whole[e] for e in there) == (one if total else 0)
        largest = max(there, key=lambda e: (amount[e], e))
        for e in there if total else []:
            exact = int(amount[e]) * one / total
            slack = len(there) * max(1.0, one * 2.0**-52)
            assert abs(whole[e] - exact) <= (slack if e == largest else max(1.0, one * 2.0**-52))


def test_limbs_are_below_their_base():
    """With two limbs the low one is below 2^f_w and the high one at most 2^f_w."""
    words = shares_in_limbs(np.array([1, 2, 3, 5]), np.array([0, 0, 0, 1]), 10, 2)
    assert np.all(words[1] < 1024)
    assert words[:, 3].tolist() == [1024, 0]
