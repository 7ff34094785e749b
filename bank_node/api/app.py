"""The application: all endpoints under ``/v1``, thin over the desk.

No endpoint opens a transaction, checks a role by itself or writes to the audit log: the desk does.
"""

from fastapi import APIRouter, FastAPI

from bank_node.api import (
    alert_routes,
    audit_routes,
    case_routes,
    queue_routes,
    rule_routes,
    run_routes,
    sessions,
    trace_routes,
)
from bank_node.api.guard import Guard
from bank_node.api.refusals import handle_errors
from bank_node.desk import Office

__all__ = ["VERSION", "api_app", "bare_app"]

VERSION = "1"
_ABOUT = """\
What the bank's own people do with alerts, cases, traces, joint runs and the audit log.

Sign in with `POST /v1/sign-in` and send the token as `Authorization: Bearer <token>`.
Amounts are decimal text in base currency, times RFC 3339 in UTC. Lists come in pages: ask again
with `after` (or `before`) as `next` says. Alerts and cases have a version; a change names the one
that was seen, and is refused with 409 if somebody was faster. Every error is `code`, `message` and
`remedy`. Every access to an account stands in the audit log.
"""
_PARTS = (
    (sessions.router, "people"),
    (alert_routes.router, "alerts"),
    (case_routes.router, "cases"),
    (queue_routes.router, "cases"),
    (rule_routes.router, "rules"),
    (run_routes.router, "runs"),
    (trace_routes.router, "traces"),
    (audit_routes.router, "audit"),
)


def api_app(office: Office) -> FastAPI:
    """Return the API of an office, to be mounted at ``/api``."""
    app = bare_app()
    app.state.office = office
    app.state.gate = sessions.Gate()
    return app


def bare_app() -> FastAPI:
    """Return the application without an office: what its description is made from."""
    app = FastAPI(
        title="Undercurrent: the desk of a bank's node",
        version=VERSION,
        description=_ABOUT,
        servers=[{"url": "/api"}],
        root_path_in_servers=False,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # those pages load scripts from the net
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    handle_errors(app)
    app.add_middleware(Guard)
    v1 = APIRouter(prefix="/v1")
    for router, tag in _PARTS:
        v1.include_router(router, tags=[tag])
    app.include_router(v1)
    return app
