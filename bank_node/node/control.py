"""The node's control socket: what the command line asks of the running node.

A Unix socket of mode 0600 in the node's folder, so only the node's own user reaches it; private
inputs, such as the account of a trace, go this way and nowhere else.  HTTP and JSON, so that every
answer is either data or ``{code, message, remedy, exit_code}``.  Who asks is the name that the
command line gives, for the audit log; it is as trustworthy as the node's user.
"""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from bank_node.errors import ParameterError, UndercurrentError
from bank_node.node.control_socket import PERSON_HEADER, short_name
from bank_node.operation.serving import running
from graph_mpc.errors import EngineError

__all__ = ["Controlled", "KeepQuestion", "Proposal", "Question", "control_app", "serve_control"]

KeepQuestion = Callable[[str], Awaitable[None]]
"""Puts on record, under the id of the run, which accounts are asked about."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_F = TypeVar("_F", bound=_Form)


class Proposal(_Form):
    """A joint run that a person proposes; all of it is public."""

    analysis: str
    parameters: dict[str, str] = Field(default_factory=dict)
    policy: str = ""
    rehearse: bool = False
    prepare_runs: int = Field(0, ge=0, le=1000)


class Question(_Form):
    """A trace that a person asks for; ``accounts`` are private."""

    accounts: list[str] = Field(min_length=1, max_length=1000, repr=False)
    parameters: dict[str, str] = Field(default_factory=dict)
    policy: str = ""
    prepared: bool = True


class Controlled(Protocol):
    """What a running node answers; ``person`` is who asks."""

    async def status(self) -> dict[str, Any]:
        """Return who the node is and how it stands."""
        ...

    async def runs(self, *, only_open: bool, limit: int) -> list[dict[str, Any]]:
        """Return runs, the newest first."""
        ...

    async def run(self, run_id: str) -> dict[str, Any]:
        """Return a run with what every member has stated."""
        ...

    async def result(self, run_id: str, person: str) -> dict[str, Any]:
        """Return what a run released to this node."""
        ...

    async def propose(self, proposal: Proposal, person: str) -> dict[str, Any]:
        """Propose a run."""
        ...

    async def approve(self, run_id: str, person: str) -> dict[str, Any]:
        """Consent to a run that waits for a person."""
        ...

    async def reject(self, run_id: str, reason: str, person: str) -> dict[str, Any]:
        """Refuse a run that waits for a person, or give up one that has not begun."""
        ...

    async def trace(
        self, question: Question, person: str, keep: KeepQuestion | None = None
    ) -> dict[str, Any]:
        """Ask for a trace from own accounts; ``keep`` is called before anybody hears of the run."""
        ...

    async def ingest(self, person: str) -> dict[str, Any]:
        """Take in what the data source has."""
        ...


def control_app(node: Controlled, api: ASGIApp | None = None) -> Starlette:
    """Return the application that answers on the control socket."""

    async def status(_request: Request) -> Any:
        return await node.status()

    async def runs(request: Request) -> Any:
        only_open = request.query_params.get("open") == "1"
        limit = min(int(request.query_params.get("limit", "50")), 10_000)
        return await node.runs(only_open=only_open, limit=limit)

    async def run(request: Request) -> Any:
        return await node.run(request.path_params["run_id"])

    async def result(request: Request) -> Any:
        return await node.result(request.path_params["run_id"], _person(request))

    async def propose(request: Request) -> Any:
        return await node.propose(await _form(request, Proposal), _person(request))

    async def approve(request: Request) -> Any:
        return await node.approve(request.path_params["run_id"], _person(request))

    async def reject(request: Request) -> Any:
        body = await request.json()
        reason = str(body.get("reason", ""))[:300]
        return await node.reject(request.path_params["run_id"], reason, _person(request))

    async def trace(request: Request) -> Any:
        return await node.trace(await _form(request, Question), _person(request))

    async def ingest(request: Request) -> Any:
        return await node.ingest(_person(request))

    return Starlette(
        routes=[
            Route("/status", _answering(status)),
            Route("/runs", _answering(runs)),
            Route("/runs", _answering(propose), methods=["POST"]),
            Route("/runs/{run_id}", _answering(run)),
            Route("/runs/{run_id}/result", _answering(result)),
            Route("/runs/{run_id}/approve", _answering(approve), methods=["POST"]),
            Route("/runs/{run_id}/reject", _answering(reject), methods=["POST"]),
            Route("/trace", _answering(trace), methods=["POST"]),
            Route("/ingest", _answering(ingest), methods=["POST"]),
            *([] if api is None else [Mount("/api", api)]),
        ]
    )


def _answering(
    handler: Callable[[Request], Awaitable[Any]],
) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler whose answer is JSON, also when the node says no."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await handler(request))
        except (UndercurrentError, EngineError) as error:
            told = {"code": error.code, "message": error.message, "remedy": error.remedy}
            return JSONResponse(told | {"exit_code": error.exit_code}, status_code=409)

    return answer


async def _form(request: Request, form: type[_F]) -> _F:
    try:
        return form.model_validate(await request.json())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ParameterError(f"{where}: {first['msg']}", "See the command's --help") from None


def _person(request: Request) -> str:
    name = request.headers.get(PERSON_HEADER, "")
    return "".join(c for c in name if c.isprintable())[:80] or "unknown"


@asynccontextmanager
async def serve_control(
    node: Controlled, path: Path, api: ASGIApp | None = None
) -> AsyncIterator[None]:
    """Serve the control socket while the context is open; it is gone afterwards.

    Args:
        node: answers its commands.
        path: of the socket.
        api: application for people, under ``/api``, where each shows who they are.
    """
    listener = _listen(path)
    config = uvicorn.Config(
        control_app(node, api),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # who asks is not for the asker to say
    )
    try:
        async with running(config, listener, "the control socket", at_once=True):
            yield
    finally:
        _remove(path)


def _listen(path: Path) -> socket.socket:
    """Return a socket at the path that only this user can use, from its first moment."""
    _remove(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with short_name(path) as name:
            listener.bind(name)
    finally:
        os.umask(mask)
    listener.listen(64)  # Who asks at once waits until the server accepts.
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
