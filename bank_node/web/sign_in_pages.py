"""Signing in and out, and what a visitor chooses for themselves: language and look."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bank_node.api.errors import BusyError
from bank_node.api.sessions import Gate
from bank_node.desk import Office
from bank_node.people import Refused
from bank_node.web.frame import call, field, office_of, page, posted, shown
from bank_node.web.visit import (
    THEMES,
    came_from,
    end_cookie,
    local_path,
    page_at,
    set_cookie,
    source_of,
    token_of,
    visit_of,
)
from bank_node.web.words import LANGUAGES

__all__ = ["routes"]


def _show(request: Request) -> Response:
    wanted = page_at(request, local_path(request.query_params.get("next")))
    if visit_of(request).standing is not None:
        return RedirectResponse(wanted, status_code=303)
    return page(request, "sign_in.html", {"next": wanted, "name": "", "problem": ""})


async def _sign_in(request: Request) -> Response:
    """Let few sign in at the same moment; who waits for it keeps no thread."""
    gate: Gate = request.app.state.gate
    try:
        async with gate:
            return await call(_signed_in, request)
    except BusyError as busy:
        answer = await call(_form_again, request, "busy", busy.status)
        answer.headers.update(busy.headers)
        return answer


def _signed_in(request: Request) -> Response:
    """Give a new token to who knows the password, whatever token the browser had before."""
    office = office_of(request)
    done = office.desk.sign_in(
        _name(request),
        field(request, "password")[:1000],
        kind="browser",
        old_token=token_of(request, office),
        source=source_of(request, office),
    )
    if isinstance(done, Refused):
        return _form_again(request, "locked" if done.reason == "locked" else "credentials")
    answer = RedirectResponse(_wanted(request), status_code=303)
    set_cookie(answer, office, done.token)
    return answer


def _sign_in_again(request: Request) -> Response:
    """Give the form anew to whose token does not fit: open too long, or in two tabs at once."""
    return _form_again(request, "stale")


def _form_again(request: Request, problem: str, status: int = 403) -> Response:
    """Show the form with the name that was typed and what is wrong."""
    context = {"next": _wanted(request), "name": _name(request), "problem": problem}
    return page(request, "sign_in.html", context, status=status)


def _name(request: Request) -> str:
    return field(request, "name").strip()[:200]


def _wanted(request: Request) -> str:
    """Return where to go after signing in."""
    return page_at(request, local_path(field(request, "next")))


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
