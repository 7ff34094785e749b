"""What the roles may do beside alerts and cases, whose table is :data:`alerts.PERMISSIONS`."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from alerts import Person, Role
from alerts.errors import NotPermitted

__all__ = ["RIGHTS", "Right", "check_right"]


class Right(StrEnum):
    """What a person may look at or do."""

    RUNS_VIEW = "see the joint runs"
    RUNS_PROPOSE = "propose a joint run"
    RUNS_DECIDE = "approve or reject a joint run"
    TRACE = "trace money"
    TRACE_READ = "read a trace"
    AUDIT = "read the audit log"
    OPERATION = "see how the node works"
    PEOPLE = "see who uses the node"


_A, _S, _U, _O = Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR, Role.OPERATOR

RIGHTS: Mapping[Right, frozenset[Role]] = MappingProxyType(
    {
        Right.RUNS_VIEW: frozenset(Role),
        Right.RUNS_PROPOSE: frozenset({_S, _O}),
        Right.RUNS_DECIDE: frozenset({_S, _O}),
        Right.TRACE: frozenset({_A, _S}),
        Right.TRACE_READ: frozenset({_A, _S, _U}),
        Right.AUDIT: frozenset({_S, _U}),
        Right.OPERATION: frozenset({_S, _U, _O}),
        Right.PEOPLE: frozenset({_S, _U, _O}),
    }
)
"""Which roles have a right.  An operator runs the node and sees no account."""


def check_right(who: Person, right: Right) -> None:
    """Refuse what the person's role does not allow."""
    allowed = RIGHTS[right]
    if who.role not in allowed:
        raise NotPermitted(
            f"{who.name} is {who.role} and may not {right}",
            f"ask a person with the role {' or '.join(sorted(allowed))}",
        )
