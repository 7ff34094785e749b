"""Serving an application within the daemon's event loop: one way for all of its servers."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from bank_node.operation.errors import ListenError

__all__ = ["Address", "address_of", "bound", "running"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(host: str) -> Address:
    """Return an address; a name other than localhost could lead anywhere tomorrow.

    Raises:
        ValueError: it is none.
    """
    return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))


def bound(address: Address, port: int, what: str, section: str) -> socket.socket:
    """Return a socket bound to a port.

    Args:
        address, port: where; port 0: a free one.
        what: what is served, for the error. section: of ``node.toml`` that names the port.

    Raises:
        ListenError: the port cannot be had.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # asyncio sends at once only over connections whose socket names TCP; else an answer in two
    # parts waits 40 ms for the receiver's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
    except OSError as error:
        listener.close()
        raise ListenError(
            f"Port {port} of {address} for {what}: {error.strerror}",
            f"Set another [{section}] port, or 0 for none",
        ) from error
    return listener


@asynccontextmanager
async def running(
    config: uvicorn.Config, listener: socket.socket, what: str, *, at_once: bool = False
) -> AsyncIterator[None]:
    """Serve on a socket until the block ends, and close it.

    Args:
        config: of the application. listener: bound. what: is served, for the error.
        at_once: whether open requests are cut off at the end.
    """
    server = _Server(config)
    with contextlib.closing(listener):
        task = asyncio.create_task(server.serve(sockets=[listener]), name=what)
        try:
            await _until_up(server, task, what)
            yield
        finally:
            server.should_exit = True
            server.force_exit = at_once
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


async def _until_up(server: _Server, task: "asyncio.Task[None]", what: str) -> None:
    up = asyncio.ensure_future(server.is_up.wait())
    try:
        await asyncio.wait({up, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
    if task.done():
        task.result()
        raise ListenError(f"The server for {what} did not start", "Look at the log")
