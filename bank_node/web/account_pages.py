"""An own account: what the bank knows of it, its results, alerts and cases."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import bank_node.web.forms as forms
from alerts import Action
from bank_node.desk import RIGHTS, AccountPage, Office, Right
from bank_node.web.charts import flow_chart, value_charts
from bank_node.web.frame import office_of, page, shown, who
from bank_node.web.visit import visit_of

__all__ = ["routes"]


def _account(request: Request) -> Response:
    name = forms.account(request.query_params, "id")
    if name is None:
        return page(request, "accounts/look_up.html")
    found = office_of(request).desk.account(who(request), name)
    return page(request, "accounts/one.html", _told(request, found))


def _told(request: Request, found: AccountPage) -> dict[str, Any]:
    words = visit_of(request).words
    history = found.history.to_pylist()
    columns = {n: found.slices[n].to_numpy() for n in ("start", "inflow", "outflow")}
    caption = words.t("account.timeline_caption", most="{most}")
    return {
        "charts": value_charts(history, words, {}, words.t("account.chart_caption")),
        "counterparties": found.counterparties.to_pylist(),
        "flow": flow_chart(columns, words, caption),
        "found": found,
        "history": history,
        "may_trace": who(request).role in RIGHTS[Right.TRACE] and found.in_scope,
        "metrics": found.metrics.to_pylist(),
        "payments": found.transactions.to_pylist(),
        "slices": found.slices.to_pylist(),
    }


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [shown("/account", _account, needs=Action.VIEW)]
