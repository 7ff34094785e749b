"""Health and metrics over HTTP, on loopback, inside the daemon's event loop.

``/healthz``: 200 while the process works, 503 with the reasons if it should be started again.
``/readyz``: 200 when joint runs can be taken part in, 503 with the reasons why not.
``/metrics``: numbers for Prometheus.

There is no login here, so there is nothing but loopback; whoever puts a proxy with a login in front
on another host says so in a note, which is then what answers for it.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bank_node.operation.errors import ListenError, NotLoopbackError

__all__ = ["OperationSource", "operation_app", "serve"]

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
    server = _Server(
        uvicorn.Config(
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
    )
    with contextlib.closing(listener):
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await _until_up(server, task)
            address = listener.getsockname()
            yield str(address[0]), int(address[1])
        finally:
            server.should_exit = True
            await task


class _Server(uvicorn.Server):
    """A server that leaves signals to the daemon and says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signals."""
        yield


async def _until_up(server: _Server, task: "asyncio.Task[None]") -> None:
    up = asyncio.ensure_future(server.is_up.wait())
    try:
        await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
    if task.done():
        task.result()
        raise ListenError("The server for health and metrics did not start", "Look at the log")


def _listen(host: str, port: int, proxy_note: str) -> socket.socket:
    address = _address(host)
    if not address.is_loopback and not proxy_note.strip():
        raise NotLoopbackError(
            f"Health and metrics on {host} would be open to the network without a login",
            "Use 127.0.0.1, or put a proxy with a login in front and say so in a note",
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
    except OSError as error:
        listener.close()
        raise ListenError(
            f"Port {port} of {host} for health and metrics: {error.strerror}",
            "Set another [http] port, or 0 for none",
        ) from error
    return listener


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address; a name other than localhost could lead anywhere tomorrow."""
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        raise NotLoopbackError(
            f"Health and metrics are served on an address, and {host} is none", "Use 127.0.0.1"
        ) from None
