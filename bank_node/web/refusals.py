"""Errors as pages, or as a message on the page where htmx asked.

An error of the desk says what is wrong and what to do; so does its page, with the way back and with
the note that was typed, so that nobody writes it twice.  What people meet in daily work is told in
their language, by the error's code; the rest in English, marked as such.  Anything unforeseen is
logged, and its page tells nothing of it.
"""

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from alerts import AlertsError
from alerts.errors import NotFound, StaleVersion, WrongState
from bank_node.errors import UndercurrentError
from bank_node.node.errors import UnknownRunError
from bank_node.web.frame import is_htmx, office_of, page
from bank_node.web.visit import bare_visit, came_from, visit_of
from bank_node.web.words import Words
from graph_mpc.errors import EngineError

__all__ = ["HANDLERS", "failed_page", "status_of"]

_LOG = structlog.get_logger(__name__)
_BY_EXIT_CODE = {1: 503, 2: 422, 3: 403, 4: 503}
_LONGEST = 10_000
_NAMED = ("csrf", "nothing-selected")
"""Details of an HTTP error that have words of their own."""


def status_of(error: AlertsError | UndercurrentError | EngineError) -> int:
    """Return the HTTP status for an error."""
    if isinstance(error, NotFound | UnknownRunError):
        return 404
    if isinstance(error, StaleVersion | WrongState):
        return 409
    return _BY_EXIT_CODE.get(error.exit_code, 500)


def _told(request: Request, error: Exception) -> Response:
    assert isinstance(error, AlertsError | UndercurrentError | EngineError)
    return _refused(request, status_of(error), error.message, error.remedy, error.code)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = error.detail if error.detail in _NAMED else str(error.status_code)
    answer = _refused(request, error.status_code, kind=kind)
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer


def _refused(
    request: Request, status: int, message: str = "", remedy: str = "", code: str = "",
    *, kind: str = "",
) -> Response:  # fmt: skip
    if "undercurrent.visit" not in request.scope:
        request.scope["undercurrent.visit"] = bare_visit(request, office_of(request))
    context = {
        **_in_words(visit_of(request).words, message, remedy, code),
        "back": came_from(request),
        "code": code,
        "kind": kind or str(status),
        "note": _typed(request),
        "stale": status == 409,
        "status": status,
    }
    if not is_htmx(request):
        return page(request, "error.html", context, status=status)
    places = {"hx-retarget": "#notice", "hx-reswap": "innerHTML", "hx-push-url": "false"}
    return page(request, "_notice.html", context, status=status, headers=places)


def _in_words(words: Words, message: str, remedy: str, code: str) -> dict[str, str]:
    """Return what is told: the catalogue's sentence for the error, or else the error's English.

    The error says more exactly who, what and when; that is added where it is in the reader's
    language.
    """
    is_english = words.language == "en"
    if words.known("refusal", code):
        said = words.label("refusal", code)
        return {"message": said, "more": message if is_english else "", "tongue": ""}
    return {"message": message, "more": remedy, "tongue": "" if is_english or not message else "en"}


def _typed(request: Request) -> str:
    """Return the note of the form that was refused."""
    form = request.scope.get("undercurrent.form")
    note = form.get("note") if form is not None else None
    return note[:_LONGEST] if isinstance(note, str) else ""


def failed_page(request: Request, error: Exception) -> Response:
    """Log what nobody foresaw, and say that it happened."""
    _LOG.error("a page failed", exc_info=error)
    return _refused(request, 500)


HANDLERS = {
    AlertsError: _told,
    UndercurrentError: _told,
    EngineError: _told,
    HTTPException: _http,
}
