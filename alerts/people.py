"""Who may do what: people, their roles, and the table of permissions.

The names of people are a small alphabet on purpose: two names that look alike would undo the rule
that who investigated cannot approve.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from alerts.errors import EntryError, NotPermitted

__all__ = ["PERMISSIONS", "SYSTEM", "Action", "Person", "Role", "check_permission"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class Role(StrEnum):
    """What a person is at the bank."""

    ANALYST = "analyst"
    SUPERVISOR = "supervisor"
    AUDITOR = "auditor"
    OPERATOR = "operator"


class Action(StrEnum):
    """What a person can do; actions that change a case stand in :mod:`alerts.states` too."""

    VIEW = "view"
    EXPORT = "export"
    DRAFT_REPORT = "draft-report"
    EVALUATE = "evaluate"
    TEST_RULES = "test-rules"
    JUDGE_SAMPLE = "judge-sample"
    AUTO_ASSIGN = "auto-assign"
    OPEN = "open"
    ADD_ALERT = "add-alert"
    TAKE = "take"
    ASSIGN = "assign"
    BEGIN = "begin"
    NOTE = "note"
    ATTACH = "attach"
    ESCALATE = "escalate"
    SUBMIT = "submit"
    SEND_BACK = "send-back"
    APPROVE = "approve"
    REOPEN = "reopen"
    SNOOZE = "snooze"
    WAKE = "wake"
    RISEN = "risen"
    JOINED = "joined"
    AUTO_OPEN = "auto-open"


_WORKERS = frozenset({Role.ANALYST, Role.SUPERVISOR})
_READERS = _WORKERS | {Role.AUDITOR}
_SUPERVISORS = frozenset({Role.SUPERVISOR})
_MACHINE = frozenset({Role.OPERATOR})

PERMISSIONS: Mapping[Action, frozenset[Role]] = MappingProxyType(
    {
        Action.VIEW: _READERS,
        Action.EXPORT: _READERS,
        Action.DRAFT_REPORT: _WORKERS,
        Action.EVALUATE: _MACHINE,
        Action.TEST_RULES: _SUPERVISORS | _MACHINE,
        Action.JUDGE_SAMPLE: _WORKERS,
        Action.AUTO_ASSIGN: _SUPERVISORS | _MACHINE,
        Action.OPEN: _WORKERS,
        Action.ADD_ALERT: _WORKERS,
        Action.TAKE: _WORKERS,
        Action.ASSIGN: _SUPERVISORS,
        Action.BEGIN: _WORKERS,
        Action.NOTE: _WORKERS,
        Action.ATTACH: _WORKERS,
        Action.ESCALATE: _WORKERS,
        Action.SUBMIT: _WORKERS,
        Action.SEND_BACK: _SUPERVISORS,
        Action.APPROVE: _SUPERVISORS,
        Action.REOPEN: _SUPERVISORS,
        Action.SNOOZE: _WORKERS,
        Action.WAKE: _WORKERS,
        Action.RISEN: _MACHINE,
        Action.JOINED: _MACHINE,
        Action.AUTO_OPEN: _MACHINE,
    }
)
"""Which roles may do an action.  An operator runs the node and sees no customer."""


@dataclass(frozen=True)
class Person:
    """A user as the caller authenticated them.

    Attributes:
        name: lower-case letters, digits and ``._@-``; at most 64; the same person, the same name.
        role: the role in which they act.
    """

    name: str
    role: Role

    def __post_init__(self) -> None:
        if self.name == "system" and self.role != Role.OPERATOR:
            raise EntryError("the name system is the node's own", "give the user another name")
        if not _NAME.fullmatch(self.name):
            raise EntryError(
                "a user name has characters that are not allowed, or is empty or too long",
                "use lower-case letters, digits and . _ @ - , at most 64",
            )


SYSTEM = Person("system", Role.OPERATOR)
"""Who does what the node does by itself.  No user may have this name."""


def check_permission(person: Person, action: Action) -> None:
    """Refuse what the person's role does not allow."""
    allowed = PERMISSIONS[action]
    if person.role not in allowed:
        raise NotPermitted(
            f"{person.name} is {person.role} and may not {action.replace('-', ' ')}",
            f"ask a person with the role {' or '.join(sorted(allowed))}",
        )
