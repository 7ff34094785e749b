"""Which words may stand in a log line: an allow-list of names, each with the form of its values.

A log is read by people who may not see accounts, and is sent to places that nobody here knows.  So
a field is not searched for what must not be in it; what is not known to be harmless is left out.
"""

import re
from collections.abc import Callable, Collection
from math import isfinite

__all__ = ["ALLOWED_FIELDS", "MEMBER_FIELDS", "UNKNOWN_MEMBER", "admit"]

UNKNOWN_MEMBER = "(unknown member)"
"""Stands for a name that is no member's."""

_LARGEST = 2**53

Check = Callable[[object], bool]


def _count(most: int, least: int = 0) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _number(value: object) -> bool:
    known = type(value) in (int, float)
    return known and isfinite(value) and abs(value) < _LARGEST  # type: ignore[arg-type]


def _truth(value: object) -> bool:
    return type(value) is bool


def _text(pattern: str) -> Check:
    form = re.compile(pattern)
    return lambda value: type(value) is str and form.fullmatch(value) is not None


_COUNT = _count(_LARGEST)
_WORD = _text(r"[a-z]{2,20}(?:[_-][a-z]{1,20}){0,3}")
_CODE = _text(r"[a-z]{2,20}(?:[.-][a-z]{1,20}){0,5}")
_DIGEST = _text(r"[0-9a-f]{64}")
_TIME = _text(r"20\d\d-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?Z)?")
_PERIOD = _text(r"20\d\d-(?:W?\d\d)(?:-\d\d)?(?:/v\d{1,6})?")
_VERSION = _text(r"v?\d{1,4}(?:\.\d{1,4}){0,3}(?:[a-z]{1,3}\d{0,3})?")
_POLICY = _text(
    r"exact|bands:[01](?:\.\d{1,6})?(?:,[01]?(?:\.\d{1,6})?){0,15}|threshold(?::[0-9.]{1,8}){2}"
)
# A run's id is long and has letters among its digits, so that no account number looks like one.
_RUN = _text(r"(?:[a-z]{2,20}-){0,3}(?=[0-9]*[a-f])[0-9a-f]{16,64}(?:-[0-9]{1,3})?")

MEMBER_FIELDS = frozenset({"member", "peer", "sender", "proposer", "party", "bank", "node"})
"""Fields that hold the id of a member: only ids of members that are known pass."""

ALLOWED_FIELDS: dict[str, Check] = {
    # who and which
    "run": _RUN,
    "run_id": _RUN,
    "preparation": _RUN,
    "analysis": _WORD,
    "policy": _POLICY,
    "role": _text("bank|compute"),
    "phase": _WORD,
    "act": _WORD,
    "kind": _WORD,
    "reason": _CODE,
    "code": _CODE,
    "error": _text(r"[A-Z][a-z]{2,20}(?:[A-Z][A-Za-z]{1,20}){0,4}"),
    "signal": _text(r"SIG[A-Z]{2,8}"),
    "digest": _DIGEST,
    "agreement": _DIGEST,
    "fingerprint": _DIGEST,
    # versions, times
    "version": _VERSION,
    "engine": _VERSION,
    "agreement_version": _count(10**6),
    "slot": _TIME,
    "day": _TIME,
    "since": _TIME,
    "until": _TIME,
    "effective": _TIME,
    "expires": _TIME,
    "period": _PERIOD,
    # numbers
    "attempt": _count(1000),
    "attempts": _count(1000),
    "port": _count(65535),
    "pid": _count(2**22),
    "status": _count(255, -64),
    "errno": _count(200),
    "exit_code": _count(255, -64),
    "members": _count(64),
    "running": _count(1000),
    "queued": _count(10**6),
    "open": _count(10**6),
    "done": _COUNT,
    "total": _COUNT,
    "count": _COUNT,
    "refused": _COUNT,
    "rows": _COUNT,
    "accepted": _COUNT,
    "rejected": _COUNT,
    "repeated": _COUNT,
    "days": _COUNT,
    "files": _COUNT,
    "bytes": _COUNT,
    "bits": _COUNT,
    "left": _COUNT,
    "budget": _COUNT,
    "sequence": _COUNT,
    "number": _COUNT,
    "accounts": _COUNT,
    "padded_accounts": _COUNT,
    "edges": _COUNT,
    "alerts": _COUNT,
    "iterations": _COUNT,
    "megabytes": _number,
    "percent": _number,
    "seconds": _number,
    "delay": _number,
    "age": _number,
    # yes or no
    "rehearsal": _truth,
    "scheduled": _truth,
    "connected": _truth,
    "ready": _truth,
    "prepared": _truth,
}


def admit(name: str, value: object, members: Collection[str]) -> object | None:
    """Return the value as it may be written, or None if the field is to be left out."""
    if name in MEMBER_FIELDS:
        if type(value) is not str:
            return None
        return value if value in members or value == "schedule" else UNKNOWN_MEMBER
    check = ALLOWED_FIELDS.get(name)
    return value if check is not None and check(value) else None
