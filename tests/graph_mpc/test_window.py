"""Windows and slices as they are written in parameters."""

import pytest

from graph_mpc.errors import ParameterError
from graph_mpc.window import WHOLE, Window, parse_slice, parse_time, parse_window

DAY = 86_400_000_000


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-02", DAY),
        ("1970-01-02T00:00:00Z", DAY),
        ("1970-01-02T01:00:00+01:00", DAY),
        ("1970-01-01T00:00:00.000001", 1),
        ("1969-12-31", -DAY),
    ],
)
def test_times(text, micros):
    """ISO 8601, UTC without an offset, a date alone its midnight."""
    assert parse_time("since", text) == micros


@pytest.mark.parametrize(
    ("text", "micros"),
    [("all", None), ("1d", DAY), ("12h", DAY // 2), ("30m", DAY // 48), ("1w", 7 * DAY)],
)
def test_slices(text, micros):
    """A number and a unit, or all."""
    assert parse_slice(text) == micros


def test_number_of_slices_covers_the_window():
    """The last slice may be shorter; without an end the number is open."""
    assert parse_window("2026-01-01", "2026-01-31", "1d").slices == 30
    assert parse_window("2026-01-01", "2026-01-31T01:00:00Z", "1d").slices == 31
    assert parse_window("2026-01-01", None, "1d").slices is None
    assert WHOLE.slices == 1
    assert Window(0, DAY).slices == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("yesterday", None, "all"), "since=yesterday is not a time"),
        (("2026-01-02", "2026-01-01", "all"), "before it begins"),
        (("2026-01-01", "2026-01-01", "all"), "before it begins"),
        ((None, None, "0d"), "slice=0d is not a length"),
        ((None, None, "day"), "slice=day is not a length"),
        (("2000-01-01", "2026-01-01", "1m"), "more than 10000"),
    ],
)
def test_wrong_windows_are_refused(arguments, reason):
    """The error names the parameter."""
    with pytest.raises(ParameterError, match=reason):
        parse_window(*arguments)
