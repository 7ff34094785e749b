"""What the members say of themselves: online or not, versions, agreement, padded size.

The statuses are kept in the database, so that a node that starts knows the others' sizes before it
hears of them again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bank_node.consortium import ENGINE
from bank_node.versions import versions
from graph_mpc.padding import padded_size

__all__ = ["Board", "MemberStatus", "own_status", "parse_status"]

# As late as a status may be, and as wrong as its sender's clock may be.
_LATE = 240_000_000


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    state: str = Field(pattern="^(?:online|offline)$")
    version: str = Field("", max_length=40, pattern=r"^[0-9A-Za-z.+-]*$")
    engine: str = Field("", max_length=20, pattern=r"^[0-9A-Za-z.]*$")
    agreement: str = Field("", pattern=r"^(?:[0-9a-f]{64})?$")
    padded_accounts: int = Field(0, ge=0, le=1 << 31)
    open_runs: int = Field(0, ge=0, le=10**6)


@dataclass(frozen=True)
class MemberStatus:
    """A member's latest word of itself.

    Attributes:
        state: online or offline.
        version: of the program.
        engine: of the protocol.
        agreement: hash of the agreement in effect there.
        padded_accounts: size on the public grid; 0: none told.
        open_runs: runs that are not over there.
        at: when it was issued, microseconds.
    """

    state: str
    version: str
    engine: str
    agreement: str
    padded_accounts: int
    open_runs: int
    at: int


def own_status(state: str, agreement: str, accounts: int | None, open_runs: int) -> dict[str, Any]:
    """Return what this node tells of itself; the size only on its public grid."""
    return {
        "state": state,
        "version": versions()["undercurrent"],
        "engine": ENGINE,
        "agreement": agreement,
        "padded_accounts": 0 if accounts is None else padded_size(accounts),
        "open_runs": open_runs,
    }


def parse_status(content: Mapping[str, Any], at: int) -> MemberStatus | None:
    """Return a member's status, or None if it has the wrong form."""
    try:
        form = _Form.model_validate(dict(content))
    except ValidationError:
        return None
    return MemberStatus(**form.model_dump(), at=at)


class Board:
    """The latest status of every member, own one included.

    Args:
        me: id of this member.
        clock: microseconds since 1970.
    """

    def __init__(self, me: str, clock: Callable[[], int]) -> None:
        self._me = me
        self._clock = clock
        self._latest: dict[str, MemberStatus] = {}

    def note(self, member: str, status: MemberStatus) -> bool:
        """Take a status if it is newer; return whether the member's size has changed."""
        before = self._latest.get(member)
        if before is not None and status.at < before.at:
            return False
        if before is not None and status.padded_accounts == 0:
            # A last will and a node that starts tell no size: the last one told holds.
            kept = before.padded_accounts
            status = MemberStatus(**(vars(status) | {"padded_accounts": kept}))
        self._latest[member] = status
        return before is None or before.padded_accounts != status.padded_accounts

    def padded(self) -> dict[str, int]:
        """Return the padded size of every member that has told it."""
        return {m: s.padded_accounts for m, s in self._latest.items() if s.padded_accounts}

    def seen(self) -> dict[str, MemberStatus]:
        """Return the latest status of each member."""
        return dict(self._latest)

    def is_online(self, member: str) -> bool:
        """Whether a member has said lately that it is there."""
        status = self._latest.get(member)
        if status is None or status.state != "online":
            return False
        return member == self._me or self._clock() - status.at < _LATE
