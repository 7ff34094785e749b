"""Time windows and slices of a dynamic graph, as they are written in public parameters.

Times are ISO 8601, UTC if no offset is given, a date alone its midnight; a window holds ``since``
and ends before ``until``.  A slice is ``all`` (one slice) or a length such as ``1d``, ``12h`` or
``30m``, counted from ``since``.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from graph_mpc.errors import ParameterError

__all__ = ["WHOLE", "Window", "parse_slice", "parse_time", "parse_window"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST_SLICES = 10_000


@dataclass(frozen=True)
class Window:
    """A time window in microseconds since 1970 UTC, cut into slices.

    Attributes:
        since: first microsecond; None: from the first edge.
        until: first microsecond after it; None: to the last edge.
        slice_us: length of a slice; None: one slice.
    """

    since: int | None = None
    until: int | None = None
    slice_us: int | None = None

    @property
    def slices(self) -> int | None:
        """Number of slices; None if the window has no end that all parties know."""
        if self.slice_us is None:
            return 1
        if self.since is None or self.until is None:
            return None
        return -((self.since - self.until) // self.slice_us)

    def agreed_slices(self, of_graph: int | None) -> int:
        """Return the number of slices, which all parties must know from the parameters.

        Args:
            of_graph: slices of an owner's graph; None at a party without one.
        """
        slices = self.slices
        if slices is None or of_graph not in (None, slices):
            raise ParameterError(
                "slices without since and until leave their number open", "give since and until"
            )
        return slices


WHOLE = Window()
"""All edges in one slice."""


def parse_window(since: str | None, until: str | None, length: str) -> Window:
    """Return the window; the error names the parameter and what is allowed."""
    window = Window(
        None if since is None else parse_time("since", since),
        None if until is None else parse_time("until", until),
        parse_slice(length),
    )
    if window.since is not None and window.until is not None and window.until <= window.since:
        raise ParameterError(
            f"the window ends at until={until}, before it begins at since={since}",
            "give a later until",
        )
    if (window.slices or 0) > _MOST_SLICES:
        raise ParameterError(
            f"the window has {window.slices} slices of {length}, more than {_MOST_SLICES}",
            "give a longer slice or a shorter window",
        )
    return window


def parse_time(name: str, text: str) -> int:
    """Return a time in microseconds since 1970 UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ParameterError(
            f"{name}={text} is not a time", "write it as 2026-03-01 or 2026-03-01T12:00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def parse_slice(text: str) -> int | None:
    """Return the length of a slice in microseconds, None for ``all``."""
    if text.strip() == "all":
        return None
    match = re.fullmatch(r"([0-9]{1,6})([smhdw])", text.strip())
    if match is None or int(match[1]) == 0:
        raise ParameterError(
            f"slice={text} is not a length of time", "write all, or for example 1d, 12h or 30m"
        )
    return int(match[1]) * _UNITS[match[2]] * 1_000_000
