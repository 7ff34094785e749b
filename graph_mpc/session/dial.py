"""Opening the outgoing connection to one peer: dial, check who answers, greet, retry.

The peer's certificate is checked before HELLO leaves, so that seeds never go to anybody else.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from graph_mpc.session.config import SessionConfig
from graph_mpc.session.errors import PeerIdentity, PeerProtocol, RunMismatch, SessionError
from graph_mpc.session.frames import MalformedError
from graph_mpc.session.hello import Hello, RefusedError, receive_answer, send_hello
from graph_mpc.session.sockets import OpenSockets, set_options
from graph_mpc.session.tls import peer_party, reason

_PAUSE = 0.1
# Short, because a thread that is connecting cannot be woken.
_CONNECT = 3.0
_MISMATCHES = {
    "run": "another run",
    "version": "another version",
    "members": "another list of members",
}


@dataclass(frozen=True)
class DialCallbacks:
    """Called from the dialling thread."""

    connected: Callable[[int, ssl.SSLSocket], None]
    failed: Callable[[SessionError], None]


class Dialler:
    """Dials one peer until it welcomes us, in one thread."""

    def __init__(
        self,
        config: SessionConfig,
        peer: int,
        context: ssl.SSLContext,
        hello: Hello,
        sockets: OpenSockets,
        callbacks: DialCallbacks,
    ) -> None:
        self.last_reason = "not dialled yet"
        self._config = config
        self._peer = peer
        self._member = config.members[peer]
        self._context = context
        self._hello = hello
        self._sockets = sockets
        self._callbacks = callbacks
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"dial-{self._member.id}", daemon=True
        )
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread still dials."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop dialling; a connection in the making is ended through its socket."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                connection = self._connect()
            except MalformedError as exc:
                self.last_reason = str(exc)
            except RefusedError as exc:
                self.last_reason = str(exc)
                if exc.code in _MISMATCHES:
                    self._callbacks.failed(self._mismatch(exc.code))
                    return
            except SessionError as error:
                self._callbacks.failed(error)
                return
            except Exception as exc:
                self.last_reason = reason(exc)
            else:
                self._callbacks.connected(self._peer, connection)
                return
            self._stop.wait(_PAUSE)

    def _connect(self) -> ssl.SSLSocket:
        deadlines = self._config.deadlines
        plain = socket.create_connection(
            (self._member.host, self._member.port), timeout=min(_CONNECT, deadlines.handshake)
        )
        try:
            # A peer that holds us back for long keeps its window shut, which this option would
            # take for a dead network: its silence is noticed on the other connection.
            set_options(plain, deadlines.receive + deadlines.silence, deadlines.silence)
            connection = self._context.wrap_socket(plain, do_handshake_on_connect=False)
        except BaseException:
            plain.close()
            raise
        try:
            self._sockets.add(connection)
            self._greet(connection, time.monotonic() + deadlines.handshake)
        except BaseException:
            self._sockets.drop(connection)
            raise
        self._sockets.release(connection)
        connection.settimeout(deadlines.receive + deadlines.silence)
        return connection

    def _greet(self, connection: ssl.SSLSocket, deadline: float) -> None:
        connection.do_handshake()
        answered = peer_party(connection, self._config)
        if answered != self._member.id:
            raise PeerIdentity(
                f"party {self._member.id} was dialled but party {answered} answered", peer=answered
            )
        send_hello(connection, self._hello, deadline)
        receive_answer(connection, deadline)

    def _mismatch(self, code: str) -> PeerProtocol:
        return RunMismatch(
            f"party {self._member.id} is in {_MISMATCHES[code]}", peer=self._member.id
        )
