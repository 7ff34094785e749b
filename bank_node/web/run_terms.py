"""The agreement in effect, as pages need it: read-only, from the node's own folder."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bank_node.consortium import AgreementError, Book, SignedAgreement
from bank_node.consortium.canonical import moment_us
from bank_node.consortium.summary import summarise
from bank_node.desk import Office

__all__ = ["Agreed", "agreed", "in_effect"]


@dataclass(frozen=True)
class Agreed:
    """What the members agreed on, as plain data.

    Attributes:
        now: the agreement in effect, as ``bank_node.consortium.summary`` tells it; None: none.
        coming: the next version, with what it changes. problem: what is wrong with the files.
    """

    now: dict[str, Any] | None
    coming: dict[str, Any] | None
    problem: str


@lru_cache(maxsize=8)
def _book(folder: Path) -> Book:
    """Return the book of a folder, which remembers what it has verified."""
    return Book(folder)


def in_effect(office: Office) -> tuple[SignedAgreement | None, str]:
    """Return the agreement in effect; or None, and what is wrong with the installed ones."""
    try:
        return _book(office.config.agreements).in_effect(office.clock()), ""
    except AgreementError as error:
        return None, error.message


def agreed(office: Office) -> Agreed:
    """Return what is agreed now and next, with times in microseconds."""
    now = office.clock()
    book = _book(office.config.agreements)
    try:
        signed, coming = book.in_effect(now), book.coming(now)
    except AgreementError as error:
        return Agreed(None, None, error.message)
    return Agreed(
        now=None if signed is None else _told(summarise(signed, now)),
        coming=None if coming is None else _told(summarise(coming, now, signed)),
        problem="",
    )


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary with microseconds where it has the text of a time."""
    for member in summary["members"]:
        member["certificate_expires"] = moment_us(member["certificate_expires"])
    for schedule in summary["schedules"]:
        following = schedule["next"]
        schedule["next"] = None if following is None else moment_us(following)
    times = {name: moment_us(summary[name]) for name in ("effective", "expires")}
    return summary | times
