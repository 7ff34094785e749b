"""What all pages stand on: rendering, who may see a page, forms, and errors as pages.

A page's function takes a request and returns a response; it may be plain (it then runs in a thread,
and may call the desk directly) or a coroutine (it then calls the desk through :func:`call`)::

    def routes(office: Office) -> list[Route]:
        return [
            shown("/alerts", show_alerts, needs=Action.VIEW),
            posted("/alerts/open", open_case, needs=Action.OPEN),
        ]

Every route is made by :func:`shown` or :func:`posted`; without ``public=True`` it wants a person
who is signed in, and ``posted`` refuses a form that does not come from this application.
"""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from alerts import Action, Person
from alerts.people import check_permission
from bank_node.desk import Office, Right, check_right
from bank_node.people import Standing
from bank_node.web.guard import from_here, token_fits
from bank_node.web.links import links_for
from bank_node.web.rendering import rendered
from bank_node.web.visit import came_from, visit_of

__all__ = [
    "call",
    "current",
    "field",
    "form",
    "is_htmx",
    "office_of",
    "page",
    "posted",
    "redirect",
    "shown",
    "who",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")
Handler = Callable[[Request], Response | Awaitable[Response]]
_FORM = "undercurrent.form"


class _Id(IntegerConvertor):
    """The number of an alert or case in an address: one that no database holds is no page."""

    regex = "[0-9]{1,18}"


register_url_convertor("id", _Id())


def office_of(request: Request) -> Office:
    """Return the office that a request has come to."""
    found: Office = request.app.state.office
    return found


def current(request: Request) -> Standing:
    """Return who is signed in."""
    standing = visit_of(request).standing
    if standing is None:
        raise HTTPException(401)
    return standing


def who(request: Request) -> Person:
    """Return the person who is signed in, as the desk knows them."""
    return current(request).person.person


def form(request: Request) -> FormData:
    """Return the form that a posted route got."""
    found: FormData = request.scope[_FORM]
    return found


def field(request: Request, name: str, otherwise: str = "") -> str:
    """Return a text field of the form; a file or nothing counts as ``otherwise``."""
    value = form(request).get(name)
    return value if isinstance(value, str) else otherwise


def is_htmx(request: Request) -> bool:
    """Say whether htmx asks, for a part of the page."""
    return request.headers.get("hx-request") == "true"


async def call(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call the desk in a thread; its errors become error pages."""
    return await asyncio.to_thread(function, *args, **kwargs)


def page(
    request: Request,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Render a template, with the words of the visitor's language and the navigation."""
    visit, office = visit_of(request), office_of(request)
    person = visit.standing.person if visit.standing else None
    words = visit.words
    frame = {
        "bank": office.desk.bank,
        "csrf": visit.csrf,
        "currency": office.desk.currency,
        "done_n": _done_n(request),
        "label": words.label,
        "links": links_for(person.role, request.url.path) if person else (),
        "me": person,
        "now": office.clock(),
        "path": request.url.path,
        "signed_in_by_proxy": visit.standing is not None and visit.standing.kind == "proxy",
        "t": words.t,
        "theme": visit.theme,
        "words": words,
    }
    html = rendered(template, {**frame, **(context or {})})
    return HTMLResponse(html, status, dict(headers or {}))


def redirect(request: Request, path: str, done: str = "", n: int = 1) -> Response:
    """Send the browser to another page.

    Args:
        request: what is answered.
        path: of the page.
        done: what that page shall say was done; ``n``: with how many cases.
    """
    mark = f"{'&' if '?' in path else '?'}done={quote(done)}" if done else ""
    mark += f"&n={n}" if done and n != 1 else ""
    if is_htmx(request):
        return Response(status_code=204, headers={"hx-redirect": path + mark})
    return RedirectResponse(path + mark, status_code=303)


def _done_n(request: Request) -> int:
    """Return with how many cases was done what the page shall say, see :func:`redirect`."""
    told = request.query_params.get("n", "")
    return int(told) if re.fullmatch("[0-9]{1,4}", told) else 1


def shown(
    path: str, handler: Handler, *, needs: Right | Action | None = None, public: bool = False
) -> Route:
    """Return a route that only shows something."""

    async def answer(request: Request) -> Response:
        refused = _admit(request, needs, public)
        return refused if refused is not None else await _run(handler, request)

    return _route(path, answer, handler, "GET")


def posted(
    path: str, handler: Handler, *, needs: Right | Action | None = None, public: bool = False,
    unfit: Handler | None = None,
) -> Route:  # fmt: skip
    """Return a route that changes something: a form of this application, sent by the visitor.

    ``unfit`` answers, in the place of an error, where the token of the form does not fit.
    """

    async def answer(request: Request) -> Response:
        if not from_here(request, office_of(request)):
            raise HTTPException(403, "csrf")
        refused = _admit(request, needs, public)
        if refused is not None:
            return refused
        async with request.form(max_files=4, max_fields=2500) as data:
            request.scope[_FORM] = data
            if token_fits(request, data, visit_of(request).csrf):
                return await _run(handler, request)
            if unfit is None:
                raise HTTPException(403, "csrf")
            return await _run(unfit, request)

    return _route(path, answer, handler, "POST")


def _route(
    path: str, answer: Callable[[Request], Awaitable[Response]], handler: Handler, method: str
) -> Route:
    answer.__dict__["guarded"] = True
    name = f"{handler.__module__.rpartition('.')[2]}.{getattr(handler, '__name__', 'page')}"
    return Route(path, answer, methods=[method], name=name)


async def _run(handler: Handler, request: Request) -> Response:
    if inspect.iscoroutinefunction(handler):
        found: Response = await handler(request)
        return found
    return await run_in_threadpool(handler, request)  # type: ignore[arg-type]


def _admit(request: Request, needs: Right | Action | None, public: bool) -> Response | None:
    """Refuse who may not see the page; send who is not signed in to where they can."""
    standing = visit_of(request).standing
    if public:
        return None
    if standing is None:
        return _sign_in_first(request)
    person = standing.person.person
    if isinstance(needs, Right):
        check_right(person, needs)
    elif needs is not None:
        check_permission(person, needs)
    return None


def _sign_in_first(request: Request) -> Response:
    back = came_from(request)
    if request.method == "GET" and not is_htmx(request):
        query = f"?{request.url.query}" if request.url.query else ""
        back = f"{request.url.path}{query}"
    place = "/sign-in" if back == "/" else f"/sign-in?next={quote(back, safe='/')}"
    if is_htmx(request):
        return Response(status_code=401, headers={"hx-redirect": place})
    return RedirectResponse(place, status_code=303)
