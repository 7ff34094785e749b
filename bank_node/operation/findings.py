"""What the doctor finds: one line each, and what to do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from bank_node.errors import UndercurrentError

__all__ = ["Finding", "State", "date_of", "fault", "findings_of", "good", "is_sound", "warning"]

State = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; names members, files and settings, never an account.

    Attributes:
        name: what was looked at.
        state: ``ok``; ``warning``: it works, but not for long or not as it should; ``fault``.
        text: what was found.
        remedy: what to do about it; empty if nothing.
    """

    name: str
    state: State
    text: str
    remedy: str = ""


def good(name: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(name, "ok", text)


def warning(name: str, text: str, remedy: str) -> Finding:
    """Return a finding that should be looked at."""
    return Finding(name, "warning", text, remedy)


def fault(name: str, text: str, remedy: str) -> Finding:
    """Return a finding that keeps the node from its work."""
    return Finding(name, "fault", text, remedy)


def findings_of(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Give the findings of a check; an error that it ends with is one more."""
    try:
        yield from check()
    except UndercurrentError as error:
        yield fault(name, error.message, error.remedy)
    except Exception as error:
        # Its words could quote anything.
        kind = type(error).__name__
        yield fault(
            name, f"this could not be checked ({kind})", "See the node's log, and report it"
        )


def is_sound(findings: Iterable[Finding]) -> bool:
    """Whether none of the findings is a fault."""
    return all(finding.state != "fault" for finding in findings)


def date_of(time_us: int) -> str:
    """Return the day of a time in microseconds since 1970 UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d")
