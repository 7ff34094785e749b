"""What a hostile or misconfigured party does, on raw sockets, for the tests of identity."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from graph_mpc.session import Credentials, SessionConfig
from graph_mpc.session.hello import Hello, make_hello, receive_hello, send_hello
from graph_mpc.session.tls import client_context, server_context

from .lab import CONSORTIUM, Lab
from .party import make_config


def config_of(lab: Lab, me: int) -> SessionConfig:
    """Return the configuration that the real party would have."""
    return make_config(lab.settings(me, "", listen_fd=None))


def hello_of(lab: Lab, me: int, to: int) -> Hello:
    """Return the HELLO that the real party would send."""
    prss = 16 * (lab.m - 2 if me == 0 else 1) if me < to and me < 2 else 0
    return make_hello(config_of(lab, me), to, secrets.token_bytes(32), bytes(prss))


def context_for(lab: Lab, credentials: Credentials, *, server: bool) -> ssl.SSLContext:
    """Return a TLS context that trusts anybody and shows these credentials."""
    make = server_context if server else client_context
    context = make(config_of(lab, 0))
    context.load_cert_chain(credentials.certificate, credentials.private_key)
    context.verify_mode = ssl.CERT_NONE if not server else ssl.CERT_REQUIRED
    return context


@contextlib.contextmanager
def dialled(lab: Lab, to: int, credentials: Credentials) -> Iterator[ssl.SSLSocket]:
    """Yield a TLS connection to a party, with these credentials."""
    plain = socket.create_connection(("127.0.0.1", lab.ports[to]), timeout=25)
    with plain, context_for(lab, credentials, server=False).wrap_socket(plain) as connection:
        yield connection


def wait_for_end(connection: socket.socket) -> bytes:
    """Return what the other end says until it hangs up, however it does."""
    answer = b""
    with contextlib.suppress(OSError):
        while data := connection.recv(4096):
            answer += data
    return answer


def send_plain(lab: Lab, to: int, data: bytes) -> None:
    """Send bytes without TLS, and wait to be hung up on."""
    with socket.create_connection(("127.0.0.1", lab.ports[to]), timeout=25) as plain:
        if data:
            plain.sendall(data)
            wait_for_end(plain)


@contextlib.contextmanager
def serving(lab: Lab, me: int, credentials: Credentials) -> Iterator[None]:
    """Answer at a party's address with other credentials, never welcoming anybody."""
    context = context_for(lab, credentials, server=True)
    listener = lab.listeners[me]
    listener.settimeout(0.1)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, EOFError):
                plain, _ = listener.accept()
                plain.settimeout(5)
                with context.wrap_socket(plain, server_side=True) as connection:
                    receive_hello(connection, time.monotonic() + 15)
                    raise AssertionError("a party greeted somebody else")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def greet(connection: ssl.SSLSocket, hello: Hello) -> bytes:
    """Send a HELLO and return the answer."""
    send_hello(connection, hello, time.monotonic() + 15)
    connection.settimeout(25)
    return wait_for_end(connection)


class WritesFile:
    """Its pickle writes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path, str]]:
        return Path.write_text, (self.path, "executed")


__all__ = ["CONSORTIUM", "WritesFile", "dialled", "greet", "hello_of", "send_plain", "serving"]
