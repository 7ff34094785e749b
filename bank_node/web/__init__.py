"""The application for the bank's own people, in the browser: pages over the desk.

::

    request ──▸ Guard: who visits, headers ──▸ route: signed in? role? form from here? ──▸ page
                                                                    page ──▸ Desk, Jinja template

No page asks for anything from the net, none needs a script to work, and none opens a transaction:
the desk does, with the role's check and the audit entry.  Scripts add what a keyboard or a longer
list wants: htmx swaps parts of a page, ``app.js`` has the keys.
"""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import Route

from bank_node.api.sessions import Gate
from bank_node.desk import Office
from bank_node.web.account_pages import routes as account_routes
from bank_node.web.alert_pages import routes as alert_routes
from bank_node.web.assets import asset_route
from bank_node.web.audit_pages import routes as audit_routes
from bank_node.web.case_pages import routes as case_routes
from bank_node.web.guard import Guard
from bank_node.web.home_pages import routes as home_routes
from bank_node.web.operation_pages import routes as operation_routes
from bank_node.web.refusals import HANDLERS, failed_page
from bank_node.web.rule_pages import routes as rule_routes
from bank_node.web.run_pages import routes as run_routes
from bank_node.web.selection_pages import routes as selection_routes
from bank_node.web.sign_in_pages import routes as sign_in_routes
from bank_node.web.trace_pages import routes as trace_routes
from bank_node.web.view_pages import routes as view_routes

__all__ = ["web_app", "web_routes"]

_PAGES = (
    sign_in_routes,
    home_routes,
    alert_routes,
    selection_routes,
    view_routes,
    case_routes,
    account_routes,
    rule_routes,
    trace_routes,
    run_routes,
    audit_routes,
    operation_routes,
)
_LARGEST_FORM = 1_048_576


def web_routes(office: Office) -> Sequence[Route]:
    """Return the routes of all pages, which need the frame of :func:`web_app` around them."""
    return [*(route for routes in _PAGES for route in routes(office)), asset_route()]


def web_app(office: Office, gate: Gate | None = None) -> Starlette:
    """Return the application.

    Args:
        office: whose pages they are.
        gate: what lets few sign in at a time, if it is shared with the API.
    """
    app = Starlette(
        routes=web_routes(office),
        middleware=[
            Middleware(Guard, office=office, failed=failed_page),
            Middleware(RequestBodyLimitMiddleware, max_body_size=_LARGEST_FORM),
        ],
        exception_handlers=HANDLERS,
    )
    app.state.office = office
    app.state.gate = gate or Gate()
    return app
