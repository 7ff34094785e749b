"""Health and metrics over HTTP, on loopback, inside the daemon's event loop.

``/healthz``: 200 while the process works, 503 with the reasons if it should be started again.
``/readyz``: 200 when joint runs can be taken part in, 503 with the reasons why not.
``/metrics``: numbers for Prometheus.

There is no login here, so there is nothing but loopback; whoever puts a proxy with a login in front
on another host says so in a note, which is then what answers for it.
"""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bank_node.operation.errors import NotLoopbackError
from bank_node.operation.serving import Address, address_of, bound, running

__all__ = ["OperationSource", "operation_app", "serve"]

_WHAT = "health and metrics"
_GRACE = 3
_NO_STORE = {"Cache-Control": "no-store"}


class OperationSource(Protocol):
    """What the daemon tells about itself; called in the event loop, so it must not wait."""

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics."""

    def health(self) -> Sequence[str]:
        """Reasons why the process should be started again; none: it works."""

    def ready(self) -> Sequence[str]:
        """Reasons why it takes part in no joint run now; none: it does."""


def operation_app(source: OperationSource) -> Starlette:
    """Return the application that answers for the daemon."""

    async def healthz(_request: Request) -> Response:
        return _verdict("healthy", source.health())

    async def readyz(_request: Request) -> Response:
        return _verdict("ready", source.ready())

    async def metrics(_request: Request) -> Response:
        text = generate_latest(source.registry)
        return Response(text, headers=_NO_STORE, media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


def _verdict(word: str, reasons: Sequence[str]) -> JSONResponse:
    status = 503 if reasons else 200
    told = {word: not reasons, "reasons": list(reasons)}
    return JSONResponse(told, status_code=status, headers=_NO_STORE)


@asynccontextmanager
async def serve(
    app: ASGIApp, host: str, port: int, *, proxy_note: str = ""
) -> AsyncIterator[tuple[str, int]]:
    """Serve an application in this event loop until the block ends; gives the address.

    Args:
        app: the application.
        host: a loopback address, or any with a proxy note.
        port: 0: a free one.
        proxy_note: who keeps strangers away, if the address is not loopback.

    Raises:
        NotLoopbackError: the address is open to the network and nobody answers for it.
        ListenError: the port cannot be had.
    """
    listener = _listen(host, port, proxy_note)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        limit_concurrency=64,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_GRACE,
    )
    async with running(config, listener, _WHAT):
        address = listener.getsockname()
        yield str(address[0]), int(address[1])


def _listen(host: str, port: int, proxy_note: str) -> socket.socket:
    address = _address(host)
    if not address.is_loopback and not proxy_note.strip():
        raise NotLoopbackError(
            f"Health and metrics on {host} would be open to the network without a login",
            "Use 127.0.0.1, or put a proxy with a login in front and say so in a note",
        )
    return bound(address, port, _WHAT, "http")


def _address(host: str) -> Address:
    try:
        return address_of(host)
    except ValueError:
        raise NotLoopbackError(
            f"Health and metrics are served on an address, and {host} is none", "Use 127.0.0.1"
        ) from None
