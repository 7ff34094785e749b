"""The one form of an agreement or a manifest in which it is hashed and signed.

Canonical form: JSON, keys sorted, no blanks, UTF-8, no floating-point numbers.  Before that every
value is brought to one spelling: a number that is a parameter becomes decimal text without an
exponent or trailing zeros, a time becomes ``2026-12-01T00:00:00Z``.  So the order of keys, blanks,
comments and ways of writing do not count, and everything else does.

What is signed begins with a line that names its kind, so that a signature of one kind is never
taken for one of another.
"""

import datetime
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from graph_mpc.errors import ParameterError
from graph_mpc.window import parse_slice, parse_time

__all__ = [
    "AGREEMENT",
    "MANIFEST",
    "REQUEST",
    "as_duration",
    "as_moment",
    "as_number",
    "as_text",
    "canonical_json",
    "duration_us",
    "first_twice",
    "moment_text",
    "moment_us",
    "sha256",
]

AGREEMENT = b"undercurrent/v1/agreement\n"
MANIFEST = b"undercurrent/v1/manifest\n"
REQUEST = b"undercurrent/v1/request\n"

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_MOST_DIGITS = 60
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def canonical_json(value: Any) -> bytes:
    """Return plain data (no floats) in canonical form."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def first_twice(values: Iterable[str]) -> str | None:
    """Return the first value that is there more than once."""
    return next((value for value, count in Counter(values).items() if count > 1), None)


def as_number(text: str) -> Decimal | None:
    """Return the number that a text is, None for any other text.

    >>> as_number("1e-3"), as_number("2.50"), as_number("1d")
    (Decimal('0.001'), Decimal('2.50'), None)
    """
    if len(text) > _MOST_DIGITS or not _NUMBER.fullmatch(text):
        return None
    return Decimal(text)


def as_text(value: object) -> str:
    """Return a parameter's value as text, numbers and times in their one spelling.

    >>> as_text(Decimal("1e-3")), as_text(2), as_text(Decimal("2.0")), as_text("1d")
    ('0.001', '2', '2', '1d')
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return _plain(Decimal(value))
        case float():
            return _plain(Decimal(repr(value)))
        case Decimal():
            return _plain(value)
        case datetime.datetime() | datetime.date():
            return as_moment(value)
    raise ValueError("must be text, a number or a time")


def _plain(number: Decimal) -> str:
    if not number.is_finite():
        raise ValueError("must be a finite number")
    if number.is_zero():
        return "0"
    if len(number.as_tuple().digits) > _MOST_DIGITS or abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueError("is too large, too small, or has too many digits")
    # Not normalize(), which would round to the context's precision.
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def as_moment(value: object) -> str:
    """Return a time (ISO 8601, UTC if no offset is given) in its one spelling.

    >>> as_moment("2026-12-01"), as_moment("2026-12-01T02:00:00+02:00")
    ('2026-12-01T00:00:00Z', '2026-12-01T00:00:00Z')
    """
    if not isinstance(value, str | datetime.date):
        raise ValueError("must be a time such as 2026-12-01T00:00:00Z")
    return moment_text(moment_us(str(value)))


def moment_us(text: str) -> int:
    """Return a time in microseconds since 1970 UTC."""
    try:
        return parse_time("time", text)
    except (ParameterError, OverflowError):
        raise ValueError("must be a time such as 2026-12-01T00:00:00Z") from None


def moment_text(moment: int) -> str:
    """Return microseconds since 1970 UTC as a time."""
    try:
        when = _EPOCH + datetime.timedelta(microseconds=moment)
    except OverflowError:
        raise ValueError("is out of the calendar's range") from None
    return when.isoformat().replace("+00:00", "Z")


def as_duration(value: object) -> str:
    """Return a length of time such as ``30d`` or ``6h`` as it is, or refuse it."""
    if not isinstance(value, str):
        raise ValueError("must be a length of time such as 30d or 6h")
    duration_us(value)
    return value.strip()


def duration_us(text: str) -> int:
    """Return a length of time in microseconds."""
    try:
        length = parse_slice(text)
    except ParameterError:
        length = None
    if length is None:
        raise ValueError("must be a length of time such as 30d or 6h")
    return length
