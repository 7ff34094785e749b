"""What comes in an address or a form, as values: bounded, and refused where it makes no sense."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from alerts import Severity
from bank_node.desk import LONGEST_ACCOUNT
from bank_node.ingest import canonical_account
from bank_node.web.frame import form

__all__ = [
    "account",
    "choice",
    "day",
    "nothing_selected",
    "number",
    "pairs",
    "severity",
    "text",
    "whole",
]

_E = TypeVar("_E", bound=StrEnum)
_MOST = 2**63 - 1
_LONGEST = 200


def text(fields: Mapping[str, object], name: str, longest: int = _LONGEST) -> str | None:
    """Return a line of plain text without blanks around it; None: nothing is given."""
    value = fields.get(name)
    plain = value.strip() if isinstance(value, str) else ""
    if not plain:
        return None
    if len(plain) > longest or not plain.isprintable():
        raise HTTPException(400)
    return plain


def account(fields: Mapping[str, object], name: str) -> str | None:
    """Return the id of an account as it is taken in, odd or not; None: nothing is given."""
    value = fields.get(name)
    plain = canonical_account(value) if isinstance(value, str) else ""
    if len(plain) > LONGEST_ACCOUNT or "\0" in plain:  # no database keeps that one character
        raise HTTPException(400)
    return plain or None


def whole(value: object) -> int:
    """Return a whole number from 0 that a database can keep."""
    given = value if isinstance(value, str) else ""
    if not (given.isascii() and given.isdigit() and len(given) <= 19 and int(given) <= _MOST):
        raise HTTPException(400)
    return int(given)


def number(fields: Mapping[str, object], name: str) -> int | None:
    """Return a whole number; None: nothing is given."""
    value = text(fields, name)
    return None if value is None else whole(value)


def choice(fields: Mapping[str, object], name: str, kind: type[_E]) -> _E | None:
    """Return one of a few values; None: nothing is given, or none of them."""
    value = text(fields, name)
    return kind(value) if value in set(kind) else None


def severity(fields: Mapping[str, object], name: str) -> Severity | None:
    """Return a severity by its name; None: nothing is given, or none of them."""
    value = (text(fields, name) or "").upper()
    return Severity[value] if value in Severity.__members__ else None


def day(fields: Mapping[str, object], name: str) -> int | None:
    """Return the midnight of a day ``2026-03-01`` in microseconds, UTC; None: nothing is given."""
    value = text(fields, name)
    if value is None:
        return None
    try:
        moment = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise HTTPException(400) from None
    return int(moment.timestamp()) * 1_000_000


def pairs(request: Request, name: str) -> dict[int, int]:
    """Return what was selected in a list: id → version as it was seen, sent as ``id:version``."""
    found = dict(_pair(value) for value in _texts(form(request).getlist(name)))
    if not found:
        raise nothing_selected()
    return found


def nothing_selected() -> HTTPException:
    """Return the refusal of a list's form in which nothing was selected."""
    return HTTPException(422, "nothing-selected")


def _texts(values: Iterable[object]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _pair(value: str) -> tuple[int, int]:
    left, _, right = value.partition(":")
    return whole(left), whole(right)
