"""Saved views: lists of alerts that a person keeps with their filters."""

from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts import Action
from bank_node.desk import Office
from bank_node.web.alert_pages import FILTERS
from bank_node.web.frame import field, office_of, posted, redirect, who

__all__ = ["routes"]


def _save(request: Request) -> Response:
    try:
        given = parse_qsl(field(request, "query")[:2000], max_num_fields=20)
    except ValueError:
        raise HTTPException(400) from None
    query = urlencode([(name, value) for name, value in given if name in FILTERS])
    office_of(request).desk.save_view(who(request), field(request, "name"), query)
    return redirect(request, f"/alerts?{query}" if query else "/alerts", "view")


def _remove(request: Request) -> Response:
    office_of(request).desk.remove_view(who(request), field(request, "name"))
    return redirect(request, "/alerts", "view-removed")


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [
        posted("/alerts/views", _save, needs=Action.VIEW),
        posted("/alerts/views/remove", _remove, needs=Action.VIEW),
    ]
