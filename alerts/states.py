"""The states of a case and the steps between them, as a table.

::

    new ──take, assign──▸ assigned ──begin──▸ investigating ──submit──▸ pending-review
     ▴                       ▴  │                 │   ▴                     │      │
     │                       │  └────escalate─────┤   └──────send-back──────┘   approve
     │                     assign                 ▾                                ▾
     │                       └─────────────── escalated            closed-false-alarm, -confirmed,
     └──────────────────────────reopen───────────────────────────────────────────── -reported

A supervisor may ``assign`` again from assigned, investigating and escalated.  Out of escalated
there is no other way: what was escalated is decided by whom the supervisor gives it to.  Notes,
traces, further alerts and snoozing change no state.

*Touching* is work on the case.  Who touched it, in whatever role and in whatever round before a
reopening, cannot approve its closing; nor can who it was ever assigned to.  Handing a case out,
sending it back and reopening it are no work on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from alerts.people import Action

__all__ = ["AWAKE_ONLY", "CLOSED", "OPEN_STATES", "STEPS", "Outcome", "State", "Step"]


class State(StrEnum):
    """Where a case stands."""

    NEW = "new"
    ASSIGNED = "assigned"
    INVESTIGATING = "investigating"
    ESCALATED = "escalated"
    PENDING_REVIEW = "pending-review"
    FALSE_ALARM = "closed-false-alarm"
    CONFIRMED = "closed-confirmed"
    REPORTED = "closed-reported"


class Outcome(StrEnum):
    """What a case is closed as."""

    FALSE_ALARM = "false-alarm"
    CONFIRMED = "confirmed"
    REPORTED = "reported"

    @property
    def state(self) -> State:
        """The closed state of this outcome."""
        return State(f"closed-{self.value}")


CLOSED = frozenset(outcome.state for outcome in Outcome)
OPEN_STATES = frozenset(State) - CLOSED
_AT_WORK = frozenset({State.ASSIGNED, State.INVESTIGATING, State.ESCALATED})
_BEFORE_REVIEW = _AT_WORK | {State.NEW}


@dataclass(frozen=True)
class Step:
    """One kind of change of a case.

    Attributes:
        sources: states in which it exists.
        targets: states it can lead to; empty: the state stays.
        touches: whether it is work on the case.
        assignee_only: whether only the person who has the case may do it.
    """

    sources: frozenset[State]
    targets: frozenset[State] = frozenset()
    touches: bool = False
    assignee_only: bool = False


def _to(*states: State) -> frozenset[State]:
    return frozenset(states)


STEPS: Mapping[Action, Step] = MappingProxyType(
    {
        Action.OPEN: Step(frozenset(), _to(State.NEW), touches=True),
        Action.ADD_ALERT: Step(_BEFORE_REVIEW, touches=True),
        Action.TAKE: Step(_to(State.NEW), _to(State.ASSIGNED), touches=True),
        Action.ASSIGN: Step(_BEFORE_REVIEW, _to(State.ASSIGNED)),
        Action.AUTO_ASSIGN: Step(_to(State.NEW), _to(State.ASSIGNED)),
        Action.BEGIN: Step(
            _to(State.ASSIGNED), _to(State.INVESTIGATING), touches=True, assignee_only=True
        ),
        Action.NOTE: Step(OPEN_STATES, touches=True),
        Action.ATTACH: Step(_BEFORE_REVIEW, touches=True),
        Action.ESCALATE: Step(
            _to(State.ASSIGNED, State.INVESTIGATING),
            _to(State.ESCALATED),
            touches=True,
            assignee_only=True,
        ),
        Action.SUBMIT: Step(
            _to(State.INVESTIGATING), _to(State.PENDING_REVIEW), touches=True, assignee_only=True
        ),
        Action.SEND_BACK: Step(_to(State.PENDING_REVIEW), _to(State.INVESTIGATING)),
        Action.APPROVE: Step(_to(State.PENDING_REVIEW), CLOSED),
        Action.REOPEN: Step(CLOSED, _to(State.NEW)),
        Action.SNOOZE: Step(_AT_WORK, touches=True, assignee_only=True),
        Action.WAKE: Step(_AT_WORK, touches=True, assignee_only=True),
        Action.RISEN: Step(OPEN_STATES),
        Action.JOINED: Step(_BEFORE_REVIEW),
        Action.AUTO_OPEN: Step(frozenset(), _to(State.NEW)),
    }
)
"""Every change of a case that exists."""

AWAKE_ONLY = frozenset({Action.BEGIN, Action.ESCALATE, Action.SUBMIT, Action.SNOOZE})
"""What cannot be done while a case sleeps."""
