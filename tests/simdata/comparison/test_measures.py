"""Rankings are judged as the documents say."""

import numpy as np
import pytest

from simdata.comparison.measures import average_precision, chosen, curve, rank_within_banks

ONE_BANK = np.zeros(4, np.int64)


def test_average_precision_of_a_ranking_known_by_hand() -> None:
    """Illicit accounts at places 1 and 3 of 4 give (1/1 + 2/3) / 2."""
    line = curve(ONE_BANK, np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False]))
    assert average_precision(line) == pytest.approx((1 + 2 / 3) / 2)
    assert line.precision_at(0.2) == 1.0
    assert line.precision_at(1.0) == pytest.approx(2 / 3)
    assert line.recall_at_precision(0.6) == 1.0
    assert line.recall_at_precision(0.9) == 0.5


def test_a_precision_that_is_never_reached_has_recall_0() -> None:
    """With an innocent account first, precision 1 is never reached."""
    line = curve(ONE_BANK, np.array([0.9, 0.8, 0.7, 0.1]), np.array([False, True, True, True]))
    assert line.recall_at_precision(1.0) == 0.0


def test_the_budget_is_shared_out_by_accounts_whatever_the_scores() -> None:
    """A bank whose scores are all lower gets the same share of alerts."""
    bank = np.repeat([0, 1], [80, 20])
    score = np.where(bank == 0, 10.0, 0.0) + np.linspace(0, 1, 100)
    flagged = chosen(bank, score, 10)
    assert [int(flagged[bank == b].sum()) for b in (0, 1)] == [8, 2]
    assert flagged[79]
    assert flagged[99]


def test_places_are_shares_of_the_own_bank() -> None:
    """The best of four is at 1/8, the only account of a bank in the middle."""
    place = rank_within_banks(np.array([0, 0, 0, 0, 1]), np.array([1.0, 4.0, 3.0, 2.0, 9.0]))
    assert place.tolist() == [0.875, 0.125, 0.375, 0.625, 0.5]
