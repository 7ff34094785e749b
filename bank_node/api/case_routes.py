"""Cases: lists, one with all that belongs to it, and what people do with one."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from alerts import Action, Outcome, State
from alerts.queries import CaseFilter, Order
from bank_node.api.alert_routes import After, Id
from bank_node.api.fields import (
    Answer,
    Form,
    Label,
    Level,
    Moment,
    Name,
    Note,
    Number,
    RunId,
    Time,
    Version,
    severity_of,
)
from bank_node.api.refusals import refusals
from bank_node.api.signing import TheDesk, TheOffice, Who
from bank_node.api.tables import (
    Counterparty,
    Payment,
    Slice,
    Traced,
    counterparties,
    payments,
    slices,
    time_of,
    traced,
)
from bank_node.api.views import (
    AlertLine,
    CaseLine,
    Changed,
    JournalLine,
    alert_line,
    case_line,
    changed,
    journal_line,
)

__all__ = ["router"]

router = APIRouter()
_READING = (401, 403, 404, 422)
_CHANGING = (401, 403, 404, 408, 409, 413, 415, 422)


class CaseQuery(Form):
    """Which cases, in which order."""

    state: list[State] = Field([], max_length=8, description="any of these")
    severity: Level | None = Field(None, description="at least")
    assignee: Name | None = None
    subject: Name | None = Field(None, description="customer:… or account:…")
    awake: bool = Field(False, description="only those that do not sleep now")
    order: Literal[Order.SEVERITY, Order.NEWEST, Order.UPDATED] = Order.SEVERITY
    limit: int = Field(50, ge=1, le=500)
    after: After = None


class Cases(Answer):
    """A page of cases."""

    cases: list[CaseLine]
    next: int | None = Field(description="to go on after; none: that was all")


class AttachedTrace(Answer):
    """A trace that was attached to a case; the first thousand rows of it."""

    number: int
    run_id: str
    title: str
    at: Time
    person: str
    rows_total: int
    rows: list[Traced]


class CaseAnswer(Answer):
    """A case with all that belongs to it."""

    case: CaseLine
    alerts: list[AlertLine]
    journal: list[JournalLine]
    traces: list[AttachedTrace]
    worked: list[str] = Field(description="who cannot approve its closing")
    actions: list[Action] = Field(description="what one may do with it now")
    accounts: list[str]
    since: Time | None
    until: Time | None
    currency: str
    transactions: list[Payment]
    slices: list[Slice]
    counterparties: list[Counterparty]


class SeenAlert(Form):
    """An alert as the person saw it."""

    id: Number
    version: Version


class OpenCase(Form):
    """A case from alerts."""

    alerts: list[SeenAlert] = Field(min_length=1, max_length=500)
    note: Note


class AddAlert(Form):
    """One more alert for a case."""

    version: Version
    alert: SeenAlert
    note: Note


class Attach(Form):
    """A stored trace of this node for a case."""

    version: Version
    run_id: RunId
    title: Annotated[Label, Field(min_length=1)]
    note: Note


class _Step(Form):
    version: Version
    note: Note


class PlainStep(_Step):
    """A step that needs no more than a note."""

    action: Literal["take", "begin", "note", "escalate", "wake", "approve", "send-back", "reopen"]


class AssignStep(_Step):
    """Giving a case to somebody."""

    action: Literal["assign"]
    assignee: Name


class SubmitStep(_Step):
    """Proposing to close a case."""

    action: Literal["submit"]
    outcome: Outcome


class SnoozeStep(_Step):
    """Letting a case sleep."""

    action: Literal["snooze"]
    until: Moment


Step = Annotated[PlainStep | AssignStep | SubmitStep | SnoozeStep, Field(discriminator="action")]
_MOST_TRACED = 1000
_JSON = "application/json"
_LINES = "application/x-ndjson"  # FollowTheMoney is one JSON object a line


@router.get("/cases", operation_id="list_cases", responses=refusals(*_READING))
def list_cases(office: TheOffice, who: Who, asked: Annotated[CaseQuery, Query()]) -> Cases:
    """List cases, the most severe first unless another order is asked for."""
    wanted = CaseFilter(
        states=tuple(asked.state) or None,
        severity=severity_of(asked.severity),
        assignee=asked.assignee,
        subject=asked.subject,
        awake_at=office.clock() if asked.awake else None,
    )
    found = office.desk.cases(who, wanted, order=asked.order, limit=asked.limit, after=asked.after)
    more = found[-1].id if len(found) == asked.limit else None
    return Cases(cases=[case_line(view) for view in found], next=more)


@router.post("/cases", operation_id="open_case", status_code=201, responses=refusals(*_CHANGING))
def open_case(desk: TheDesk, who: Who, form: OpenCase) -> Changed:
    """Open a case from alerts that are in none, each as it was seen."""
    return changed(desk.open_case(who, {a.id: a.version for a in form.alerts}, form.note))


@router.get("/cases/{case_id}", operation_id="show_case", responses=refusals(*_READING))
def show_case(desk: TheDesk, who: Who, case_id: Id) -> CaseAnswer:
    """Show a case with its alerts, journal, traces and the own payments behind it."""
    page, decimals = desk.case(who, case_id), desk.decimals
    return CaseAnswer(
        case=case_line(page.case),
        alerts=[alert_line(view) for view in page.alerts],
        journal=[journal_line(entry) for entry in page.journal],
        traces=[
            AttachedTrace(
                number=trace.number,
                run_id=trace.run_id,
                title=trace.title,
                at=time_of(trace.at) or "",
                person=trace.person,
                rows_total=len(trace.rows),
                rows=traced(trace.rows.slice(0, _MOST_TRACED), decimals),
            )
            for trace in page.traces
        ],
        worked=list(page.worked),
        actions=list(page.actions),
        accounts=list(page.accounts),
        since=time_of(page.since),
        until=time_of(page.until),
        currency=desk.currency,
        transactions=payments(page.transactions, decimals),
        slices=slices(page.slices, decimals),
        counterparties=counterparties(page.counterparties, decimals),
    )


@router.get(
    "/cases/{case_id}/standing", operation_id="show_case_standing", responses=refusals(*_READING)
)
def show_case_standing(desk: TheDesk, who: Who, case_id: Id) -> CaseLine:
    """Say where a case stands, and its version."""
    return case_line(desk.case_head(who, case_id))


@router.post("/cases/{case_id}/actions", operation_id="act_on_case", responses=refusals(*_CHANGING))
def act_on_case(desk: TheDesk, who: Who, case_id: Id, step: Step) -> Changed:
    """Do one thing with a case, as it was seen: the version says which that was."""
    return changed(
        desk.act(
            who,
            case_id,
            step.version,
            Action(step.action),
            step.note,
            assignee=step.assignee if isinstance(step, AssignStep) else None,
            outcome=step.outcome if isinstance(step, SubmitStep) else None,
            until=step.until if isinstance(step, SnoozeStep) else None,
        )
    )


@router.post(
    "/cases/{case_id}/alerts", operation_id="add_alert_to_case", responses=refusals(*_CHANGING)
)
def add_alert_to_case(desk: TheDesk, who: Who, case_id: Id, form: AddAlert) -> Changed:
    """Put one more alert into a case."""
    alert = form.alert
    return changed(desk.add_alert(who, case_id, form.version, alert.id, alert.version, form.note))


@router.post("/cases/{case_id}/traces", operation_id="attach_trace", responses=refusals(*_CHANGING))
def attach_trace(desk: TheDesk, who: Who, case_id: Id, form: Attach) -> Changed:
    """Attach a stored trace of this node to a case: a copy that stays."""
    return changed(desk.attach(who, case_id, form.version, form.run_id, form.title, form.note))


ExportKind = Literal["html", "json", "ftm.json", "goaml.xml", "transactions.csv", "alerts.csv"]


@router.get(
    "/cases/{case_id}/exports/{kind}",
    operation_id="export_case",
    response_class=Response,
    responses=refusals(401, 403, 404, 409, 422)
    | {
        200: {
            "description": "the file, under the name that the header Content-Disposition gives",
            "content": {
                media: {"schema": {"type": "object" if media == _JSON else "string"}}
                for media in ("text/html", _JSON, _LINES, "application/xml", "text/csv")
            },
        }
    },
)
def export_case(
    desk: TheDesk,
    who: Who,
    case_id: Id,
    kind: Annotated[ExportKind, Path()],
    country: Annotated[
        str | None, Query(pattern=r"^[A-Z]{2}$", description="whose goAML profile is used")
    ] = None,
) -> Response:
    """Export a case: printable page, JSON, FollowTheMoney, draft of a goAML report, or CSV."""
    made = desk.export(who, case_id, kind, country)
    headers = {"Content-Disposition": f'attachment; filename="{made.name}"'}
    return Response(made.content, media_type=made.media_type, headers=headers)
