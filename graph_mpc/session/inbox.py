"""Messages of one peer: those awaited, and those that came before anybody awaited them.

Guarded by one lock, because the reader thread of the peer's link fills it and the event loop
empties it. A message's length is checked against the receive that is posted for it, whichever of
the two comes first. Early messages are bounded in bytes: beyond that the reader stops reading, so
that TCP holds the sender back.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_mpc.session.config import Limits
from graph_mpc.session.errors import FrameLengthError, PeerProtocol, SessionError
from graph_mpc.session.frames import Header, Kind

Payload = NDArray[np.uint8] | bytes
# What an early message costs beside its bytes: empty messages must not be free.
_OVERHEAD = 256


class ClosedError(Exception):
    """The session is closing; the reader thread ends without a word."""


@dataclass
class _Receive:
    future: asyncio.Future[Any]
    nbytes: int | None
    since: float


class Inbox:
    """Messages of one peer."""

    def __init__(
        self, peer: str, limits: Limits, deadline: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.peer = peer
        self.early_high_water = 0
        self._limits = limits
        self._deadline = deadline
        self._loop = loop
        self._changed = threading.Condition()
        self._posted: dict[tuple[Kind, int], _Receive] = {}
        self._early: dict[tuple[Kind, int], Payload] = {}
        self._early_bytes = 0
        self._used_tags: set[int] = set()
        self._ended = False
        self._closed = False

    # Event loop side.

    def post(self, kind: Kind, tag: int, nbytes: int | None) -> asyncio.Future[Any]:
        """Return a future of the message; ``nbytes`` None accepts any length within the limits."""
        future: asyncio.Future[Any] = self._loop.create_future()
        key = (kind, tag)
        with self._changed:
            if key in self._posted:
                raise ValueError(f"message {tag} of party {self.peer} is awaited twice")
            if key not in self._early:
                if self._ended:
                    raise PeerProtocol(
                        f"party {self.peer} finished without sending a message awaited of it",
                        peer=self.peer,
                    )
                self._posted[key] = _Receive(future, nbytes, time.monotonic())
                self._changed.notify_all()
                return future
            payload = self._early.pop(key)
            self._early_bytes -= len(payload) + _OVERHEAD
            self._changed.notify_all()
        self._check_length(nbytes, len(payload))
        future.set_result(payload)
        return future

    def fail(self, error: SessionError) -> None:
        """Fail every posted receive."""
        with self._changed:
            posted = list(self._posted.values())
            self._posted.clear()
        for receive in posted:
            if not receive.future.done():
                receive.future.set_exception(error)
                # Looked at once, so that asyncio does not report those nobody comes to await.
                receive.future.exception()

    def is_stalled(self, now: float) -> bool:
        """Tell whether a receive has waited longer than the deadline."""
        with self._changed:
            return any(
                now - receive.since > self._deadline
                for receive in self._posted.values()
                if not receive.future.done()
            )

    @property
    def unread(self) -> int:
        """Number of early messages that nobody awaited."""
        return len(self._early)

    def close(self) -> None:
        """Wake a reader that is held back, for it to end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # Reader thread side.

    def admit(self, header: Header) -> bool:
        """Wait until the message may be read; return whether it took room among the early ones."""
        self._check_bound(header)
        key, cost = (header.kind, header.tag), header.length + _OVERHEAD
        deadline = time.monotonic() + self._deadline
        with self._changed:
            self._check_new(header)
            while not self._closed:
                receive = self._posted.get(key)
                if receive is not None:
                    self._check_length(receive.nbytes, header.length)
                    return False
                if not self._early_bytes or self._early_bytes + cost <= self._limits.early:
                    self._early_bytes += cost
                    self.early_high_water = max(self.early_high_water, self._early_bytes)
                    return True
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise PeerProtocol(
                        f"party {self.peer} sent more than {self._limits.early} bytes that nobody"
                        " awaits",
                        peer=self.peer,
                    )
                self._changed.wait(remaining)
        raise ClosedError

    def deliver(self, header: Header, payload: Payload, took_room: bool) -> None:
        """Hand over a message that was read completely."""
        key = (header.kind, header.tag)
        with self._changed:
            receive = self._posted.pop(key, None)
            if receive is None:
                if not took_room:
                    raise ClosedError  # Its receive was failed meanwhile.
                self._early[key] = payload
                return
            if took_room:
                self._early_bytes -= len(payload) + _OVERHEAD
            self._check_length(receive.nbytes, len(payload))
        # The loop may be closed when the process is going down.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, receive.future, payload)

    def end(self) -> None:
        """Note that the peer has said that nothing more will come."""
        with self._changed:
            self._ended = True
            if any(not receive.future.done() for receive in self._posted.values()):
                raise PeerProtocol(
                    f"party {self.peer} finished without sending a message awaited of it",
                    peer=self.peer,
                )

    def _check_bound(self, header: Header) -> None:
        bound = self._limits.mpyc if header.kind is Kind.DATA_MPYC else self._limits.message
        if header.length > bound:
            raise FrameLengthError(
                f"party {self.peer} announced a message of {header.length} bytes,"
                f" more than the limit of {bound}",
                peer=self.peer,
            )

    def _check_new(self, header: Header) -> None:
        if header.kind is Kind.DATA_ENGINE:
            duplicate = header.tag in self._used_tags
            self._used_tags.add(header.tag)
        else:
            # MPyC may use a program counter again once its first message has been taken.
            duplicate = (header.kind, header.tag) in self._early
        if duplicate:
            raise PeerProtocol(f"party {self.peer} sent a message twice", peer=self.peer)

    def _check_length(self, expected: int | None, length: int) -> None:
        if expected is not None and length != expected:
            raise FrameLengthError(
                f"party {self.peer} sent {length} bytes where {expected} are expected",
                peer=self.peer,
            )


def _resolve(future: asyncio.Future[Any], payload: Payload) -> None:
    if not future.done():
        future.set_result(payload)
