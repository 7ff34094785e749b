"""Signing in and out, and what a visitor chooses for themselves: language and look."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bank_node.desk import Office
from bank_node.people import Refused
from bank_node.web.frame import field, office_of, page, posted, shown
from bank_node.web.visit import (
    THEMES,
    came_from,
    end_cookie,
    local_path,
    set_cookie,
    source_of,
    token_of,
    visit_of,
)
from bank_node.web.words import LANGUAGES

__all__ = ["routes"]


def _show(request: Request) -> Response:
    wanted = local_path(request.query_params.get("next"))
    if visit_of(request).standing is not None:
        return RedirectResponse(wanted, status_code=303)
    return page(request, "sign_in.html", {"next": wanted, "name": "", "problem": ""})


def _sign_in(request: Request) -> Response:
    """Give a new token to who knows the password, whatever token the browser had before."""
    office = office_of(request)
    name, wanted = field(request, "name").strip()[:200], local_path(field(request, "next"))
    done = office.desk.sign_in(
        name,
        field(request, "password")[:1000],
        kind="browser",
        old_token=token_of(request, office),
        source=source_of(request, office),
    )
    if isinstance(done, Refused):
        problem = "locked" if done.reason == "locked" else "credentials"
        context = {"next": wanted, "name": name, "problem": problem}
        return page(request, "sign_in.html", context, status=403)
    answer = RedirectResponse(wanted, status_code=303)
    set_cookie(answer, office, done.token)
    return answer


def _sign_in_again(request: Request) -> Response:
    """Give the form anew to whose token does not fit: open too long, or in two tabs at once."""
    name, wanted = field(request, "name").strip()[:200], local_path(field(request, "next"))
    context = {"next": wanted, "name": name, "problem": "stale"}
    return page(request, "sign_in.html", context, status=403)


def _sign_out(request: Request) -> Response:
    office = office_of(request)
    token = token_of(request, office)
    if token:
        office.desk.sign_out(token)
    answer = RedirectResponse("/sign-in", status_code=303)
    end_cookie(answer, office)
    answer.headers["clear-site-data"] = '"cache"'
    return answer


def _prefer(request: Request) -> Response:
    """Keep the language or the look, and go back to the page."""
    office = office_of(request)
    answer = RedirectResponse(came_from(request), status_code=303)
    language, theme = field(request, "language"), field(request, "theme")
    if language in LANGUAGES:
        set_cookie(answer, office, language, "-language", keep=True)
    if theme in THEMES:
        set_cookie(answer, office, theme, "-theme", keep=True)
    return answer


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [
        shown("/sign-in", _show, public=True),
        posted("/sign-in", _sign_in, public=True, unfit=_sign_in_again),
        posted("/sign-out", _sign_out, public=True),
        posted("/preferences", _prefer, public=True),
    ]
