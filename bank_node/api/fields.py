"""Types of what goes in and out: bounded numbers, printable words, times, and the two base models.

Requests and answers both refuse fields that are not described.  Words may hold no control
characters (a terminal or a log would obey them) and none that turn the direction of writing; notes
may have line breaks.  Numbers fit 63 bits.  Times are RFC 3339; amounts are decimal text, so that
no reader's floating point changes them.
"""

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.json_schema import WithJsonSchema

from alerts import Severity
from bank_node.desk import LONGEST_ACCOUNT

__all__ = [
    "Account",
    "Amount",
    "Answer",
    "Count",
    "Form",
    "Label",
    "Level",
    "Moment",
    "Name",
    "Note",
    "Number",
    "RunId",
    "Time",
    "Version",
    "level_of",
    "severity_of",
]

_MOST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})",
    re.IGNORECASE,
)
# Controls, line separators, and characters that turn the direction of writing.
_TURNING = r"\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_PRINTABLE = rf"^[^\u0000-\u001f{_TURNING}]*$"
_LINES = rf"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f{_TURNING}]*$"


class Form(BaseModel):
    """What is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Level(StrEnum):
    """How urgent an alert is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


def level_of(severity: Severity) -> Level:
    """Return the word for a severity."""
    return Level(severity.name.lower())


def severity_of(level: Level | None) -> Severity | None:
    """Return the severity of a word."""
    return None if level is None else Severity[level.value.upper()]


def _moment(value: Any) -> int:
    """Return microseconds since 1970 of a time in RFC 3339."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("not a time such as 2026-03-01T12:30:00Z")
    try:
        found = datetime.fromisoformat(value.upper())
        return (found.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise ValueError("not a time such as 2026-03-01T12:30:00Z") from None


_TIME_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})

Number = Annotated[int, Field(strict=True, ge=1, le=_MOST)]
"""Id of an alert or case in a body."""
Version = Annotated[int, Field(strict=True, ge=0, le=_MOST)]
"""Version of an alert or case as the person saw it."""
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_PRINTABLE)]
"""A name of a rule, person or action, one printable line."""
Account = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_ACCOUNT, pattern=_PRINTABLE)
]
"""Id of an account, one printable line; ids of other characters are for the pages only."""
Label = Annotated[str, StringConstraints(max_length=200, pattern=_PRINTABLE)]
"""A line of words; may be empty."""
Note = Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=_LINES)]
"""Why something is done; what says nothing is refused."""
RunId = Annotated[
    str, StringConstraints(max_length=56, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,55}$")
]
"""Id of a joint run; where one run is looked at, its beginning will do."""
Moment = Annotated[int, BeforeValidator(_moment), _TIME_SCHEMA]
"""A time that is asked with; microseconds since 1970 inside."""
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time that is answered."""
Amount = Annotated[str, Field(pattern=r"^-?[0-9]+(?:\.[0-9]+)?$")]
"""An amount in base currency as decimal text."""
