"""Accepting the incoming connections: who dials must prove to be a party of this run.

Strangers are refused, counted and remembered; they do not end the run. A party of this run that
claims to be another one, or that sends garbage under its own certificate, does.
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from graph_mpc.session.config import SessionConfig
from graph_mpc.session.errors import (
    AddressInUse,
    ConfigError,
    PeerIdentity,
    PeerProtocol,
    SessionError,
)
from graph_mpc.session.frames import MalformedError
from graph_mpc.session.hello import Hello, mismatch, receive_hello, send_answer
from graph_mpc.session.sockets import OpenSockets, hang_up, set_options
from graph_mpc.session.tls import StrangerError, peer_party, reason

_MAX_GREETINGS = 64


@dataclass(frozen=True)
class AcceptCallbacks:
    """Called from the accepting threads; ``prss_length`` tells what HELLO must carry."""

    connected: Callable[[int, ssl.SSLSocket, Hello], None]
    failed: Callable[[SessionError], None]
    prss_length: Callable[[int], int]


def listening_socket(config: SessionConfig) -> socket.socket:
    """Return the socket to accept from: the one handed over, or a new one."""
    if config.listen_fd is not None:
        try:
            listener = socket.socket(fileno=config.listen_fd)
            listener.listen(_MAX_GREETINGS)
        except OSError as exc:
            raise ConfigError(f"listen_fd is not a bound socket: {reason(exc)}") from exc
        return listener
    try:
        family = socket.AF_INET6 if ":" in config.bind else socket.AF_INET
        address = (config.bind, config.listen_port)
        return socket.create_server(address, family=family, backlog=_MAX_GREETINGS)
    except OSError as exc:
        text = f"cannot listen on {config.bind} port {config.listen_port}: {reason(exc)}"
        if exc.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
            raise AddressInUse(text) from exc
        raise ConfigError(text) from exc


class Acceptor:
    """Accepts one connection from each peer; one thread, and a short-lived one per greeting."""

    def __init__(
        self,
        config: SessionConfig,
        listener: socket.socket,
        context: ssl.SSLContext,
        sockets: OpenSockets,
        callbacks: AcceptCallbacks,
    ) -> None:
        self.refused = 0
        self.last_refusal = ""
        self._config = config
        self._listener = listener
        self._context = context
        self._sockets = sockets
        self._callbacks = callbacks
        self._lock = threading.Lock()
        self._claimed: set[int] = set()
        self._greetings: list[threading.Thread] = []
        self._stopping = False
        listener.settimeout(None)
        self._thread = threading.Thread(target=self._run, name="accept", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether any of the threads still runs."""
        with self._lock:
            return self._thread.is_alive() or any(t.is_alive() for t in self._greetings)

    def stop(self) -> None:
        """Stop accepting; connections in the making are ended through their sockets."""
        self._stopping = True
        hang_up(self._listener)

    def close(self) -> None:
        """Close the listening socket, after the threads have ended."""
        self._listener.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                # Out of file descriptors, or a connection that was gone already: do not spin.
                time.sleep(0.02)
                continue
            self._start_greeting(connection)

    def _start_greeting(self, connection: socket.socket) -> None:
        thread = threading.Thread(
            target=self._greet_safely, args=(connection,), name="greet", daemon=True
        )
        with self._lock:
            self._greetings = [t for t in self._greetings if t.is_alive()]
            if self._stopping or len(self._greetings) >= _MAX_GREETINGS:
                connection.close()
                self._count("too many connections at once")
                return
            self._greetings.append(thread)
            thread.start()

    def _greet_safely(self, plain: socket.socket) -> None:
        try:
            self._greet(plain)
        except SessionError as error:
            self._refuse(error.code)
            self._callbacks.failed(error)
        except Exception as exc:
            self._refuse(reason(exc))

    def _greet(self, plain: socket.socket) -> None:
        deadlines = self._config.deadlines
        try:
            plain.settimeout(deadlines.handshake)
            set_options(plain, deadlines.silence, deadlines.silence)
            connection = self._context.wrap_socket(
                plain, server_side=True, do_handshake_on_connect=False
            )
        except BaseException:
            plain.close()
            raise
        try:
            self._sockets.add(connection)
            peer, hello = self._admit(connection, time.monotonic() + deadlines.handshake)
        except BaseException:
            self._sockets.drop(connection)
            raise
        self._sockets.release(connection)
        self._callbacks.connected(peer, connection, hello)

    def _admit(self, connection: ssl.SSLSocket, deadline: float) -> tuple[int, Hello]:
        connection.do_handshake()
        party = peer_party(connection, self._config)
        peer = self._config.pid_of(party)
        if peer is None or peer == self._config.me:
            raise StrangerError("a party that is not in this run")
        try:
            hello = receive_hello(connection, deadline)
        except MalformedError as exc:
            raise PeerProtocol(f"party {party} sent a {exc}", peer=party) from exc
        refusal = self._judge(peer, party, hello)
        if refusal is not None:
            send_answer(connection, refusal, deadline)
            self._raise_refusal(refusal, party, hello)
        try:
            send_answer(connection, None, deadline)
        except BaseException:
            with self._lock:
                self._claimed.discard(peer)
            raise
        return peer, hello

    def _judge(self, peer: int, party: str, hello: Hello) -> str | None:
        if hello.sender != party:
            return "identity"
        refusal = mismatch(self._config, hello)
        if refusal is not None:
            return refusal
        if len(hello.prss) != self._callbacks.prss_length(peer):
            return "malformed"
        with self._lock:
            if peer in self._claimed:
                return "duplicate"
            self._claimed.add(peer)
        return None

    def _raise_refusal(self, refusal: str, party: str, hello: Hello) -> None:
        if refusal == "identity":
            claimed = hello.sender if self._config.pid_of(hello.sender) is not None else "another"
            raise PeerIdentity(f"party {party} claims to be party {claimed}", peer=party)
        if refusal == "malformed":
            raise PeerProtocol(f"party {party} sent a malformed greeting", peer=party)
        raise StrangerError(f"party {party}: {refusal} does not match")

    def _refuse(self, why: str) -> None:
        with self._lock:
            self._count(why)

    def _count(self, why: str) -> None:
        if not self._stopping:
            self.refused += 1
            self.last_refusal = why
