"""Cases: lists, one case with its journal and what can be done now, and what leaves the node."""

from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import bank_node.web.forms as forms
from alerts import PERMISSIONS, Action, Outcome, Person, Role, Severity, State
from alerts.queries import CaseFilter, Order
from alerts.states import CLOSED, OPEN_STATES
from bank_node.desk import KINDS, RIGHTS, CasePage, Desk, Office, Right
from bank_node.web.attached_trace import attached_table
from bank_node.web.charts import flow_chart
from bank_node.web.frame import field, form, is_htmx, office_of, page, posted, redirect, shown, who
from bank_node.web.visit import visit_of

__all__ = ["SCOPES", "routes"]

_PAGE = 50
_FEW_TRACES = 20
_ORDERS = (Order.SEVERITY, Order.NEWEST, Order.UPDATED)
_FIRST = (
    *(Action.APPROVE, Action.SEND_BACK, Action.TAKE, Action.BEGIN, Action.WAKE, Action.SUBMIT),
    *(Action.ASSIGN, Action.NOTE, Action.ATTACH, Action.ADD_ALERT, Action.ESCALATE, Action.SNOOZE),
)
"""What brings a case on comes first; a note of a reviewer would keep them from approving."""
SCOPES: dict[str, tuple[State, ...] | None] = {
    "open": tuple(s for s in State if s in OPEN_STATES),
    "mine": tuple(s for s in State if s in OPEN_STATES),
    "unassigned": (State.NEW,),
    "review": (State.PENDING_REVIEW,),
    "escalated": (State.ESCALATED,),
    "closed": tuple(s for s in State if s in CLOSED),
    "all": None,
}
"""Lists of cases: name → states."""


def _list(request: Request) -> Response:
    person, desk, query = who(request), office_of(request).desk, request.query_params
    works = person.role in PERMISSIONS[Action.BEGIN]
    scopes = [name for name in SCOPES if works or name != "mine"]
    scope = query.get("scope", "")
    scope = scope if scope in scopes else "open"
    wanted = CaseFilter(
        states=SCOPES[scope],
        severity=forms.severity(query, "severity"),
        assignee=person.name if scope == "mine" else forms.text(query, "assignee"),
    )
    order = forms.choice(query, "order", Order)
    order = order if order in _ORDERS else Order.SEVERITY
    after = forms.number(query, "after")
    found = desk.cases(person, wanted, order=order, limit=_PAGE + 1, after=after)
    names = ("scope", "severity", "assignee", "order")
    kept = {name: query[name] for name in names if query.get(name)}
    context: dict[str, Any] = {
        "cases": found[:_PAGE],
        "filters": kept,
        "first": urlencode(kept) if after is not None else None,
        "may_assign": person.role in PERMISSIONS[Action.ASSIGN],
        "more": urlencode(kept | {"after": str(found[_PAGE - 1].id)}) if found[_PAGE:] else None,
        "order": order,
        "scope": scope,
        "workers": desk.workers(person),
    }
    if is_htmx(request):
        return page(request, "cases/_results.html", context)
    context |= {
        "done": query.get("done"),
        "may_auto_assign": person.role in PERMISSIONS[Action.AUTO_ASSIGN],
        "may_take": works,
        "orders": _ORDERS,
        "scopes": scopes,
        "severities": tuple(Severity),
    }
    return page(request, "cases/list.html", context)


def _one(request: Request) -> Response:
    person, desk = who(request), office_of(request).desk
    found = desk.case(person, request.path_params["number"])
    return page(request, "cases/one.html", _told(request, desk, person, found))


def _told(request: Request, desk: Desk, person: Person, found: CasePage) -> dict[str, Any]:
    words = visit_of(request).words
    columns = {n: found.slices[n].to_numpy() for n in ("start", "inflow", "outflow")}
    attaches = Action.ATTACH in found.actions and person.role in RIGHTS[Right.TRACE_READ]
    traces = desk.traces(person, _FEW_TRACES) if attaches else []
    return {
        "actions": sorted(found.actions, key=lambda a: _FIRST.index(a) if a in _FIRST else 0),
        "asleep": found.case.snoozed_until is not None
        and found.case.snoozed_until > office_of(request).clock(),
        "attachable": [trace for trace in traces if trace.phase == "stored"],
        "countries": desk.countries(),
        "counterparties": found.counterparties.to_pylist(),
        "done": request.query_params.get("done"),
        "flow": flow_chart(columns, words, words.t("case.timeline_caption", most="{most}")),
        "found": found,
        "kinds": _kinds(person.role),
        "may_approve": Action.APPROVE in found.actions,
        "may_trace": person.role in RIGHTS[Right.TRACE],
        "outcomes": tuple(Outcome),
        "payments": found.transactions.to_pylist(),
        "slices": found.slices.to_pylist(),
        "trace_tables": {t.number: attached_table(t, words) for t in found.traces},
        "why_not": _why_not(person, found),
        "workers": desk.workers(person) if Action.ASSIGN in found.actions else [],
    }


def _kinds(role: Role) -> list[str]:
    """Return what a role may export a case as."""
    drafts = role in PERMISSIONS[Action.DRAFT_REPORT]
    exports = role in PERMISSIONS[Action.EXPORT]
    return [kind for kind in KINDS if (drafts if kind == "goaml.xml" else exports)]


def _why_not(person: Person, found: CasePage) -> str:
    """Say which rule keeps a person from the next step: a key under ``case``; empty: none does."""
    case = found.case
    if case.state is State.PENDING_REVIEW and Action.APPROVE not in found.actions:
        reviews = person.role in PERMISSIONS[Action.APPROVE]
        return "why_not_four_eyes" if reviews else "why_not_role"
    at_work = case.state in (State.ASSIGNED, State.INVESTIGATING)
    works = person.role in PERMISSIONS[Action.BEGIN]
    return "why_not_assignee" if at_work and works and case.assignee != person.name else ""


def _act(request: Request) -> Response:
    """Do one thing with a case, as the person saw it."""
    number, person, desk = request.path_params["number"], who(request), office_of(request).desk
    version, note = forms.whole(field(request, "version")), field(request, "note")
    action = forms.choice(form(request), "action", Action)
    if action is None:
        raise HTTPException(400)
    if action is Action.ATTACH:
        run, title = forms.text(form(request), "run") or "", field(request, "title").strip()
        desk.attach(person, number, version, run, title, note)
    elif action is Action.ADD_ALERT:
        alert = desk.alert(person, forms.number(form(request), "alert") or 0).alert
        desk.add_alert(person, number, version, alert.id, alert.version, note)
    else:
        desk.act(
            person, number, version, action, note,
            assignee=forms.text(form(request), "assignee"),
            outcome=forms.choice(form(request), "outcome", Outcome),
            until=forms.day(form(request), "until"),
        )  # fmt: skip
    return redirect(request, f"/cases/{number}", action.value)


def _next(request: Request) -> Response:
    change = office_of(request).desk.take_next(who(request), field(request, "note"))
    if change is None:
        return redirect(request, "/cases?scope=unassigned", "none-new")
    return redirect(request, f"/cases/{change.case.id}", "take")


def _auto(request: Request) -> Response:
    given = len(office_of(request).desk.auto_assign(who(request)))
    return redirect(request, "/cases", "auto-assign" if given else "none-new", given or 1)


def _assign(request: Request) -> Response:
    cases = forms.pairs(request, "case")
    assignee, note = field(request, "assignee"), field(request, "note")
    changes = office_of(request).desk.assign_many(who(request), cases, assignee, note)
    return redirect(request, "/cases", "assign", len(changes))


def _export(request: Request) -> Response:
    number, kind = request.path_params["number"], request.path_params["kind"]
    country = forms.text(request.query_params, "country", 2)
    file = office_of(request).desk.export(who(request), number, kind, country)
    headers = {"content-disposition": f'attachment; filename="{file.name}"'}
    return Response(file.content, media_type=file.media_type, headers=headers)


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [
        shown("/cases", _list, needs=Action.VIEW),
        posted("/cases/next", _next, needs=Action.TAKE),
        posted("/cases/auto-assign", _auto, needs=Action.AUTO_ASSIGN),
        posted("/cases/assign", _assign, needs=Action.ASSIGN),
        shown("/cases/{number:id}", _one, needs=Action.VIEW),
        posted("/cases/{number:id}/act", _act, needs=Action.NOTE),
        shown("/cases/{number:id}/export/{kind}", _export, needs=Action.EXPORT),
    ]
