"""Errors as answers: ``{code, message, remedy}`` with the status that fits.

========  ==========================================================================================
status    when
========  ==========================================================================================
401       nobody is signed in, or the name and password do not fit
403       the role does not allow it; four eyes; not the person who has the case; out of scope
404       there is no such thing, or no such address
405       the address knows no such method
408, 413  a body that comes too slowly, or is larger than a mebibyte
409       it changed since it was read, or cannot be done as it stands
415       a body that is not JSON
422       wrong input
423       locked out after too many wrong passwords
429       too many want to sign in at the same moment
500       a fault of the program or the machine, told without any detail
502, 503  another member failed; the database cannot be reached now
========  ==========================================================================================

Codes are those of ``docs/errors.md``.  What is wrong with the machine is for its operator: the
answer has the code, and the words are in the node's log.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from alerts import AlertsError
from bank_node.api.errors import (
    ApiError,
    FaultError,
    InvalidRequestError,
    UnknownAddressError,
    WrongMethodError,
)
from bank_node.api.fields import Answer
from bank_node.errors import UndercurrentError
from graph_mpc.errors import EngineError

__all__ = ["Refusal", "Refusals", "answer_of", "handle_errors", "refusals", "status_of"]

_LOG = structlog.get_logger(__name__)
_STATUS = {
    "alerts.foreign-account": 409,
    "alerts.four-eyes": 403,
    "alerts.not-assignee": 403,
    "alerts.not-found": 404,
    "alerts.not-permitted": 403,
    "alerts.report-invalid": 422,
    "alerts.snooze": 409,
    "alerts.stale-version": 409,
    "alerts.wrong-state": 409,
    "node.no-agreement": 409,
    "node.run-state": 409,
    "node.unknown-run": 404,
    "people.locked": 423,
    "people.sign-in": 401,
    "store.missing-run": 404,
    "store.unavailable": 503,
}
_BY_EXIT_CODE = {2: 422, 3: 403, 4: 502}
_DESCRIBED = {
    401: "nobody is signed in, or the name and password do not fit",
    403: "the person may not do this",
    404: "there is no such thing",
    408: "the body came too slowly",
    409: "it changed since it was read, or cannot be done as it stands",
    413: "the body is larger than 1 MiB",
    415: "the body is not JSON",
    422: "wrong input",
    423: "locked out after too many wrong passwords",
    429: "too many want to sign in at the same moment",
    500: "a fault of the node",
    502: "another member failed",
    503: "the node cannot answer now",
}
_BY_STATUS = {404: UnknownAddressError, 405: WrongMethodError}
_LONGEST_PLACE = 120


class Refusal(Answer):
    """What was wrong, and what to do about it."""

    code: str = Field(description="Stable name of the error, as in docs/errors.md.")
    message: str
    remedy: str


Refusals = dict[int | str, dict[str, Any]]
Known = AlertsError | UndercurrentError | EngineError


def refusals(*statuses: int) -> Refusals:
    """Return how an endpoint's refusals are described; every one may also fail."""
    return {
        status: {"model": Refusal, "description": _DESCRIBED[status]}
        for status in sorted({*statuses, 500, 503})
    }


def status_of(error: Known) -> int:
    """Return the status that fits an error."""
    if isinstance(error, ApiError):
        return error.status
    return _STATUS.get(error.code, _BY_EXIT_CODE.get(error.exit_code, 500))


def answer_of(error: Known, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer for an error that has words."""
    status = status_of(error)
    told = {"code": error.code, "message": error.message, "remedy": error.remedy}
    if status in (500, 503) and not isinstance(error, ApiError):
        _LOG.error("api_failed", code=error.code)
        message, remedy = FaultError.words
        told |= {"message": message, "remedy": remedy}
    sent = dict(error.headers) if isinstance(error, ApiError) else {}
    sent |= {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(told, status_code=status, headers=sent | dict(headers or {}))


def handle_errors(app: FastAPI) -> None:
    """Let every error of an application become an answer of one form."""

    async def known(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AlertsError | UndercurrentError | EngineError)
        return answer_of(error)

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer_of(InvalidRequestError(_what(error.errors())))

    async def by_status(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        kind = _BY_STATUS.get(error.status_code, InvalidRequestError)
        allowed = {"Allow": _methods(app, request)} if kind is WrongMethodError else {}
        return answer_of(kind(), allowed)

    for kind in (AlertsError, UndercurrentError, EngineError):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, by_status)


def _methods(app: FastAPI, request: Request) -> str:
    """Return all methods of an address; the router knows those of its first match only."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    found = {
        method.upper()
        for template, operations in app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
        for method in operations
    }
    return ", ".join(sorted(found))


def _what(errors: Sequence[Mapping[str, Any]]) -> str:
    """Say where the first thing is wrong and how, never what stood there."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    shown = "".join(c if c.isprintable() else "?" for c in place)[:_LONGEST_PLACE]
    reason = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "union_tag_invalid":  # the only words that would quote what was sent
        reason = f"not one of {first['ctx']['expected_tags']}"
    words = f"{reason[:1].lower()}{reason[1:]}"
    return f"{shown}: {words}" if shown else words
