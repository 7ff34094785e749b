"""When payments happen: weekdays, hours, and days of the month."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from simdata.generator.payments import DAY, Ints

__all__ = ["OFFICE", "SHOPS", "WAKING", "Profile", "daytime", "draw_seconds", "monthly"]


@dataclass(frozen=True)
class Profile:
    """How likely a payment is on each weekday, from Monday, and in each hour of the day."""

    weekday: tuple[float, ...]
    hour: tuple[float, ...]


# fmt: off
OFFICE = Profile(
    (1.2, 1.1, 1.1, 1.0, 1.0, 0.04, 0.02),
    (0, 0, 0, 0, 0, 0, .2, 1, 4, 7, 9, 8, 5, 6, 8, 8, 6, 3, 1, .5, .3, .2, .1, 0),
)
SHOPS = Profile(
    (0.9, 0.9, 0.95, 1.0, 1.25, 1.4, 0.7),
    (.2, .1, .05, .05, .1, .3, 1, 2, 3, 4, 5, 6, 7, 6, 5, 5, 6, 8, 8, 6, 4, 3, 2, 1),
)
WAKING = Profile(
    (1.0, 0.95, 0.95, 1.0, 1.15, 1.1, 0.95),
    (.4, .2, .1, .1, .1, .2, .6, 1.5, 3, 4, 4, 4, 5, 4, 4, 4, 5, 6, 7, 7, 6, 5, 3, 1.2),
)
# fmt: on


def draw_seconds(
    rng: np.random.Generator, profile: Profile, start: date, days: int, n: int
) -> Ints:
    """``n`` moments of the window, as seconds since its start."""
    weekday = (np.arange(days) + start.weekday()) % 7
    day = _pick(rng, np.array(profile.weekday)[weekday], n)
    hour = _pick(rng, np.array(profile.hour, float), n)
    moments: Ints = day * DAY + hour * 3600 + rng.integers(0, 3600, n)
    return moments


def _pick(rng: np.random.Generator, weight: np.ndarray, n: int) -> Ints:
    """Places of a short list, drawn in proportion to ``weight``."""
    ladder = np.cumsum(weight)
    drawn: Ints = np.searchsorted(ladder, rng.random(n) * ladder[-1], side="right")
    return np.minimum(drawn, len(weight) - 1)


def monthly(start: date, days: int, day_of_month: Ints) -> tuple[Ints, Ints]:
    """What happens on a given day of each month (1 to 28).

    Args:
        start: first day of the window.
        days: its length.
        day_of_month: int64 (n,), for each relation.

    Returns:
        for each event, the place of its relation, and the day of the window, counted from 0.
    """
    day_number = np.array([(start + timedelta(days=i)).day for i in range(days)])
    pairs = [
        (relation, np.full(len(relation), day))
        for day in np.flatnonzero(np.isin(day_number, day_of_month)).tolist()
        if len(relation := np.flatnonzero(day_of_month == day_number[day]))
    ]
    nothing = np.empty(0, np.int64)
    return (
        np.concatenate([nothing, *(relation for relation, _ in pairs)]),
        np.concatenate([nothing, *(day for _, day in pairs)]),
    )


def daytime(second: Ints) -> Ints:
    """The same moments in the same order, with each day's squeezed into 7:00 to 23:00."""
    squeezed: Ints = second // DAY * DAY + 7 * 3600 + second % DAY * 16 // 24
    return squeezed
