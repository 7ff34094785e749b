"""The audit log: searching it, and telling whether it is what was written."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from bank_node.api.fields import Account, Answer, Count, Form, Moment, Name, RunId, Time
from bank_node.api.refusals import refusals
from bank_node.api.signing import TheDesk, Who
from bank_node.api.tables import time_of
from bank_node.desk import AuditFilter

__all__ = ["router"]

router = APIRouter(prefix="/audit")
_MOST = 2**63 - 1


class AuditQuery(Form):
    """Which entries."""

    actor: Name | None = None
    action: Name | None = None
    run: RunId | None = None
    account: Account | None = None
    since: Moment | None = None
    until: Moment | None = Field(None, description="exclusive")
    limit: int = Field(100, ge=1, le=500)
    before: int | None = Field(None, ge=1, le=_MOST, description="only smaller numbers")


class AuditEntry(Answer):
    """An entry of the log."""

    number: int
    at: Time
    actor: str
    action: str
    run_id: str | None
    details: dict[str, Any]
    hash: str


class AuditEntries(Answer):
    """A page of the log."""

    entries: list[AuditEntry]
    next: int | None = Field(description="to go on before; none: that was all")


class AuditVerified(Answer):
    """Whether the log is what was written."""

    ok: bool
    rows: Count
    first_bad: int | None
    reason: str
    unsigned: Count


@router.get("", operation_id="list_audit", responses=refusals(401, 403, 422))
def list_audit(desk: TheDesk, who: Who, asked: Annotated[AuditQuery, Query()]) -> AuditEntries:
    """Search the audit log, the newest entries first; that one looked is on record too."""
    wanted = AuditFilter(
        actor=asked.actor,
        action=asked.action,
        run_id=asked.run,
        account=asked.account,
        since=asked.since,
        until=asked.until,
    )
    found = desk.audit(who, wanted, limit=asked.limit, before=asked.before)
    lines = [vars(line) | {"at": time_of(line.at)} for line in found]
    more = found[-1].number if len(found) == asked.limit else None
    return AuditEntries(entries=[AuditEntry(**line) for line in lines], next=more)


@router.get("/verification", operation_id="verify_audit", responses=refusals(401, 403))
def verify_audit(desk: TheDesk, who: Who) -> AuditVerified:
    """Check the whole log: each entry, and that its checkpoints are signed by this node."""
    found = desk.verify_audit(who)
    return AuditVerified(
        ok=found.ok,
        rows=found.rows,
        first_bad=found.first_bad,
        reason=found.reason,
        unsigned=found.unsigned,
    )
