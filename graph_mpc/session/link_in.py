"""The receiving direction from one peer: one thread, one TLS connection it alone reads from.

Each header is checked before memory is allocated for its payload. Silence is a failure, because
the other end sends heartbeats; time in which this end holds the peer back does not count.
"""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from graph_mpc.session.errors import (
    ComputationFailed,
    PeerLost,
    PeerProtocol,
    PeerSilent,
    SessionError,
)
from graph_mpc.session.frames import (
    HEADER,
    Header,
    Kind,
    MalformedError,
    receive_into,
    unpack_abort,
    unpack_header,
)
from graph_mpc.session.inbox import ClosedError, Inbox
from graph_mpc.session.sockets import hang_up


class Listener(Protocol):
    """Who is told what a link cannot decide; called from the link's thread."""

    def link_failed(self, error: SessionError) -> None:
        """Take note that the peer failed."""

    def abort_received(self, reporter: str, culprit: str, code: str) -> None:
        """Take note that the peer ended the run, naming a culprit."""

    def bye_received(self, peer: str) -> None:
        """Take note that nothing more will come from the peer."""


@dataclass
class Received:
    """What came in so far; written by the reader thread only."""

    bytes: int = 0
    messages: int = 0


class LinkIn:
    """Receives frames from one peer."""

    def __init__(
        self, inbox: Inbox, connection: ssl.SSLSocket, *, silence: float, listener: Listener
    ) -> None:
        self.peer = inbox.peer
        self.received = Received()
        self._inbox = inbox
        self._connection = connection
        self._silence = silence
        self._listener = listener
        self._stopping = False
        self._said_bye = False
        connection.settimeout(silence)
        self._thread = threading.Thread(target=self._run, name=f"receive-{self.peer}", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether more can come."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Wake the thread wherever it is blocked, for it to end."""
        self._stopping = True
        self._inbox.close()
        hang_up(self._connection)

    def close(self) -> None:
        """Close the connection, after the thread has ended."""
        self._connection.close()

    def _run(self) -> None:
        try:
            while self._receive_next():
                pass
        except ClosedError:
            return
        except Exception as exc:
            # After a farewell the end of the connection is no news, but an abort still is.
            is_end = self._said_bye and isinstance(exc, EOFError | OSError)
            if not (self._stopping or is_end):
                self._listener.link_failed(self._failure(exc))

    def _failure(self, exc: Exception) -> SessionError:
        if isinstance(exc, SessionError):
            return exc
        if isinstance(exc, MalformedError):
            return PeerProtocol(f"party {self.peer} sent a {exc}", peer=self.peer)
        if isinstance(exc, TimeoutError):
            return PeerSilent(
                f"party {self.peer} has been silent for {self._silence:g} s", peer=self.peer
            )
        if isinstance(exc, EOFError | OSError):
            return PeerLost(f"the connection to party {self.peer} was lost", peer=self.peer)
        error = ComputationFailed(f"{type(exc).__name__} while receiving from party {self.peer}")
        error.__cause__ = exc
        return error

    def _receive_next(self) -> bool:
        """Receive one frame; return False after the last."""
        data = bytearray(HEADER.size)
        receive_into(self._connection, memoryview(data))
        header = unpack_header(data)
        self.received.bytes += HEADER.size
        if self._said_bye and header.kind not in (Kind.HEARTBEAT, Kind.ABORT):
            raise MalformedError("frame after its farewell")
        if header.kind in (Kind.DATA_MPYC, Kind.DATA_ENGINE):
            self._receive_message(header)
        elif header.kind is Kind.ABORT:
            payload = bytearray(header.length)
            receive_into(self._connection, memoryview(payload))
            culprit, code = unpack_abort(bytes(payload))
            self._listener.abort_received(self.peer, culprit, code)
            return False
        elif header.kind is Kind.BYE:
            self._inbox.end()
            self._said_bye = True
            self._listener.bye_received(self.peer)
        return True

    def _receive_message(self, header: Header) -> None:
        took_room = self._inbox.admit(header)
        payload = np.empty(header.length, dtype=np.uint8)
        receive_into(self._connection, payload.data)
        self.received.bytes += header.length
        self.received.messages += 1
        if header.kind is Kind.DATA_MPYC:
            self._inbox.deliver(header, payload.tobytes(), took_room)
        else:
            self._inbox.deliver(header, payload, took_room)
