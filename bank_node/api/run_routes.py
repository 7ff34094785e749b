"""Joint runs: what ran and runs, proposing one, and consenting or refusing."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field, StringConstraints

from bank_node.api.fields import Answer, Count, Form, Label, RunId, Time
from bank_node.api.refusals import refusals
from bank_node.api.signing import TheDesk, TheOffice, Who
from bank_node.api.tables import time_of
from bank_node.desk import Right
from bank_node.node.control import Proposal

__all__ = ["Parameters", "RunLine", "RunPath", "Word", "router", "run_line"]

router = APIRouter(prefix="/runs")
_READING = (401, 403, 404, 422)
_DECIDING = (401, 403, 404, 408, 409, 413, 415, 422, 502)
Word = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
_Value = Annotated[Label, Field(max_length=200)]
Parameters = Annotated[dict[Word, _Value], Field(max_length=32)]
RunPath = Annotated[RunId, Path(description="id of the run, or its beginning")]


class ProgressLine(Answer):
    """How far a computation is."""

    phase: str
    done: Count
    total: Count


class RunLine(Answer):
    """A joint run as it stands at this node."""

    run_id: str
    analysis: str
    policy: str
    proposer: str
    schedule: str
    rehearsal: bool
    prepare_runs: Count
    phase: str
    attempt: Count
    code: str
    reason: str
    waiting_for: str
    progress: ProgressLine | None
    created: Time
    expires: Time
    bits: dict[str, int] = Field(description="what each bank could learn at most")
    seconds: float | None
    bytes_sent: int | None
    trouble: str


class MemberLine(Answer):
    """What a member stated of a run."""

    phase: str
    attempt: Count
    code: str
    reason: str
    progress: ProgressLine | None


class RunAnswer(Answer):
    """All that is known of a run; a member that said nothing is null."""

    run: RunLine
    parameters: dict[str, str]
    digest: str
    agreement: str
    members: dict[str, MemberLine | None]
    approved_by: str
    tries: Count


class Runs(Answer):
    """Runs, the newest first."""

    runs: list[RunLine]


class ProposeRun(Form):
    """A joint run; all of it is public, so no account may stand in it."""

    analysis: Word
    parameters: Parameters = Field(default_factory=dict)
    policy: Label = ""
    rehearse: bool = Field(False, strict=True)
    prepare_runs: int = Field(0, strict=True, ge=0, le=1000)


class RejectRun(Form):
    """Why; the other members are told."""

    reason: Annotated[Label, Field(max_length=200)] = ""


class Evaluated(Answer):
    """What the bank's rules made of a result."""

    run_id: str
    rules: str = Field(description="digest of the rules")
    accounts: Count
    raised: Count
    updated: Count
    repeated: bool = Field(description="these rules had been through before; nothing was done")


class RunQuery(Form):
    """Which runs."""

    open: bool = Field(False, description="only those that are not over")
    limit: int = Field(50, ge=1, le=500)


@router.get("", operation_id="list_runs", responses=refusals(401, 403, 422))
async def list_runs(office: TheOffice, who: Who, asked: Annotated[RunQuery, Query()]) -> Runs:
    """List joint runs, the newest first."""
    office.desk.check(who, Right.RUNS_VIEW)
    found = await office.node.runs(only_open=asked.open, limit=asked.limit)
    return Runs(runs=[run_line(run) for run in found])


@router.post("", operation_id="propose_run", status_code=201, responses=refusals(*_DECIDING))
async def propose_run(office: TheOffice, who: Who, form: ProposeRun) -> RunLine:
    """Propose a joint run to all members."""
    office.desk.check(who, Right.RUNS_PROPOSE)
    proposal = Proposal(**form.model_dump())
    return run_line(await office.node.propose(proposal, who.name))


@router.get("/{run_id}", operation_id="show_run", responses=refusals(*_READING))
async def show_run(office: TheOffice, who: Who, run_id: RunPath) -> RunAnswer:
    """Show a run: parameters, where each member stands, what it may disclose."""
    office.desk.check(who, Right.RUNS_VIEW)
    run = await office.node.run(run_id)
    return RunAnswer(
        run=run_line(run),
        parameters={name: str(value) for name, value in run["parameters"].items()},
        digest=run["digest"],
        agreement=run["agreement"],
        members={name: _member(stated) for name, stated in run["members"].items()},
        approved_by=run["approved_by"],
        tries=run["tries"],
    )


@router.post("/{run_id}/approve", operation_id="approve_run", responses=refusals(*_DECIDING))
async def approve_run(office: TheOffice, who: Who, run_id: RunPath) -> RunLine:
    """Consent to a run that waits for a person."""
    office.desk.check(who, Right.RUNS_DECIDE)
    return run_line(await office.node.approve(run_id, who.name))


@router.post("/{run_id}/reject", operation_id="reject_run", responses=refusals(*_DECIDING))
async def reject_run(office: TheOffice, who: Who, run_id: RunPath, form: RejectRun) -> RunLine:
    """Refuse a run that waits for a person, or give up one that has not begun."""
    office.desk.check(who, Right.RUNS_DECIDE)
    return run_line(await office.node.reject(run_id, form.reason, who.name))


@router.post(
    "/{run_id}/evaluation",
    operation_id="evaluate_run",
    responses=refusals(401, 403, 404, 409, 422),
)
def evaluate_run(desk: TheDesk, who: Who, run_id: RunPath) -> Evaluated:
    """Raise alerts from a stored result by today's rules, as after a fault in them."""
    return Evaluated(**vars(desk.evaluate(who, run_id)))


def run_line(run: Mapping[str, Any]) -> RunLine:
    """Return a run as it is answered: what is named here, and nothing else that a node tells."""
    measured = run["measured"]
    return RunLine(
        **{name: run[name] for name in _AS_THEY_ARE},
        created=time_of(run["created"]) or "",
        expires=time_of(run["expires"]) or "",
        seconds=measured.get("seconds"),
        bytes_sent=measured.get("bytes_sent"),
    )


_CHANGED = {"created", "expires", "seconds", "bytes_sent"}
_AS_THEY_ARE = tuple(name for name in RunLine.model_fields if name not in _CHANGED)


def _member(stated: Mapping[str, Any] | None) -> MemberLine | None:
    if stated is None:
        return None
    return MemberLine(
        phase=stated["phase"],
        attempt=stated["attempt"],
        code=stated.get("code", ""),
        reason=stated.get("reason", ""),
        progress=stated.get("progress"),
    )
