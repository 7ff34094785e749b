"""Alerts: the list with its filters, one alert with why there is one, and the step to a case."""

from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import bank_node.web.forms as forms
from alerts import PERMISSIONS, Action, RuleSet, Severity
from alerts.queries import AlertFilter, Order
from bank_node.desk import RIGHTS, AlertPage, Office, Right
from bank_node.web.charts import flow_chart, value_charts
from bank_node.web.frame import field, form, is_htmx, office_of, page, posted, redirect, shown, who
from bank_node.web.visit import visit_of

__all__ = ["FILTERS", "routes"]

_PAGE = 50
_STATUSES = ("open", "in-case", "closed")
FILTERS = ("status", "severity", "rule", "account", "run", "order")
"""Query fields of the list, which a saved view keeps."""


def wanted_alerts(query: QueryParams) -> AlertFilter:
    """Return the filter that an address asks for."""
    status = forms.text(query, "status")
    return AlertFilter(
        status=status if status in _STATUSES else None,
        rule=forms.text(query, "rule"),
        severity=forms.severity(query, "severity"),
        account=forms.account(query, "account"),
        run_id=forms.text(query, "run"),
    )


def _list(request: Request) -> Response:
    person, desk, query = who(request), office_of(request).desk, request.query_params
    order = forms.choice(query, "order", Order) or Order.SEVERITY
    after = forms.number(query, "after")
    found = desk.alerts(person, wanted_alerts(query), order=order, limit=_PAGE + 1, after=after)
    kept = {name: query[name] for name in FILTERS if query.get(name)}
    context: dict[str, Any] = {
        "alerts": found[:_PAGE],
        "filters": kept,
        "first": urlencode(kept) if after is not None else None,
        "may_select": person.role in PERMISSIONS[Action.OPEN],
        "more": urlencode(kept | {"after": str(found[_PAGE - 1].id)}) if found[_PAGE:] else None,
        "order": order,
    }
    if is_htmx(request):
        return page(request, "alerts/_results.html", context)
    context |= {
        "done": query.get("done"),
        "orders": tuple(Order),
        "rules": [rule.name for rule in desk.rules(person).rule],
        "severities": tuple(Severity),
        "statuses": _STATUSES,
        "views": desk.views(person),
        "view_query": urlencode(kept),
    }
    return page(request, "alerts/list.html", context)


def _one(request: Request) -> Response:
    person, desk = who(request), office_of(request).desk
    found = desk.alert(person, request.path_params["number"])
    return page(request, "alerts/one.html", _told(request, found, desk.rules(person)))


def _told(request: Request, found: AlertPage, rules: RuleSet) -> dict[str, Any]:
    words, why, role = visit_of(request).words, found.explanation, who(request).role
    history = why.history.to_pylist()
    columns = {n: why.slices[n].to_numpy() for n in ("start", "inflow", "outflow")}
    caption = words.t("alert.timeline_caption", most="{most}")
    lines = _lines(rules, found.alert.rule)
    return {
        "alert": found.alert,
        "case": found.case,
        "charts": value_charts(history, words, lines, words.t("alert.chart_caption")),
        "counterparties": why.counterparties.to_pylist(),
        "flow": flow_chart(columns, words, caption),
        "history": history,
        "may_open": role in PERMISSIONS[Action.OPEN],
        "may_trace": role in RIGHTS[Right.TRACE],
        "metrics": why.metrics.to_pylist(),
        "others": found.others,
        "payments": why.transactions.to_pylist(),
        "slices": why.slices.to_pylist(),
        "why": why,
    }


def _lines(rules: RuleSet, name: str) -> dict[str, float]:
    """Return analysis → value from which the rule of an alert holds, if the rule is still there."""
    conditions = [c for rule in rules.rule if rule.name == name for c in rule.joint]
    return {c.analysis: c.reached for c in conditions if c.reached is not None}


def _open(request: Request) -> Response:
    """Open a case from one alert."""
    number = request.path_params["number"]
    version = forms.whole(field(request, "version"))
    change = office_of(request).desk.open_case(
        who(request), {number: version}, field(request, "note")
    )
    return redirect(request, f"/cases/{change.case.id}", "open")


def _add(request: Request) -> Response:
    """Put an alert into a case that is there, as it stands when the form is sent."""
    number, person, desk = request.path_params["number"], who(request), office_of(request).desk
    version = forms.whole(field(request, "version"))
    case = desk.case_head(person, forms.number(form(request), "case") or 0)
    note = field(request, "note")
    change = desk.add_alert(person, case.id, case.version, number, version, note)
    return redirect(request, f"/cases/{change.case.id}", "add-alert")


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [
        shown("/alerts", _list, needs=Action.VIEW),
        shown("/alerts/{number:id}", _one, needs=Action.VIEW),
        posted("/alerts/{number:id}/case", _open, needs=Action.OPEN),
        posted("/alerts/{number:id}/add", _add, needs=Action.ADD_ALERT),
    ]
