"""The sending direction to one peer: a queue, one thread, one TLS connection it alone writes to.

Posting never blocks. The thread writes each frame without copying its payload, and a heartbeat
whenever it has been idle. An abort overtakes the queue at the next frame boundary.
"""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.session.errors import SendQueueFull
from graph_mpc.session.frames import HEADER, Kind, pack_header
from graph_mpc.session.sockets import hang_up
from graph_mpc.session.tls import reason

# Below one TLS record it is cheaper to copy than to write header and payload as two records.
_SMALL = 15 * 1024
_SLICE = 256 * 1024


@dataclass
class Sent:
    """What went out so far; written by the sender thread only."""

    bytes: int = 0
    messages: int = 0
    queue_high_water: int = 0


class LinkOut:
    """Sends frames to one peer.

    ``on_broken`` is called from the thread with a short reason when the connection breaks,
    ``on_progress`` after a frame when somebody waits for the queue to shrink.
    """

    def __init__(
        self,
        peer: str,
        connection: ssl.SSLSocket,
        *,
        heartbeat: float,
        queue_limit: int,
        on_broken: Callable[[str], None],
        on_progress: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.sent = Sent()
        self.watched = False
        self._connection = connection
        self._heartbeat = heartbeat
        self._queue_limit = queue_limit
        self._on_broken = on_broken
        self._on_progress = on_progress
        self._changed = threading.Condition()
        self._queue: deque[tuple[Kind, int, NDArray[np.uint8] | bytes]] = deque()
        self._unsent = 0
        self._abort_frame: bytes | None = None
        self._said_bye = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"send-{peer}", daemon=True)
        self._thread.start()

    @property
    def unsent(self) -> int:
        """Bytes posted and not yet handed to TLS."""
        return self._unsent

    @property
    def is_running(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    @property
    def is_told(self) -> bool:
        """Whether the last word, farewell or abort, has gone out, or never can."""
        return not self._thread.is_alive() or (self._said_bye and self._abort_frame is None)

    def post(self, kind: Kind, tag: int, payload: NDArray[np.uint8] | bytes) -> None:
        """Queue a frame; its payload must not be changed afterwards."""
        size = HEADER.size + len(payload)
        with self._changed:
            if self._unsent and self._unsent + size > self._queue_limit:
                raise SendQueueFull(
                    f"{self._unsent} bytes wait to be sent to party {self.peer},"
                    f" the limit is {self._queue_limit}"
                )
            self._queue.append((kind, tag, payload))
            self._unsent += size
            self.sent.queue_high_water = max(self.sent.queue_high_water, self._unsent)
            self._changed.notify()

    def say_bye(self) -> None:
        """Queue the farewell; only heartbeats and an abort may follow it."""
        self.post(Kind.BYE, 0, b"")

    def abort(self, frame: bytes) -> None:
        """Drop the queue and send this ABORT frame; the thread ends after it."""
        with self._changed:
            if self._abort_frame is None:
                self._abort_frame = frame
                self._queue.clear()
                self._changed.notify()

    def stop(self) -> None:
        """Wake the thread wherever it is blocked, for it to end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        hang_up(self._connection)

    def close(self) -> None:
        """Close the connection, after the thread has ended."""
        self._connection.close()

    def _run(self) -> None:
        try:
            while self._send_next():
                if self.watched:
                    self.watched = False
                    self._on_progress()
        except OSError as exc:
            if not self._stopping:
                self._on_broken(reason(exc))

    def _send_next(self) -> bool:
        """Send one frame; return False after the last."""
        with self._changed:
            if not (self._queue or self._abort_frame or self._stopping):
                self._changed.wait(self._heartbeat)
            if self._stopping:
                return False
            frame = self._queue.popleft() if self._queue else None
        if self._abort_frame is not None:
            self._write(self._abort_frame)
            return False
        if frame is None:
            self._write(pack_header(Kind.HEARTBEAT, 0, 0))
        else:
            self._send_frame(*frame)
        return True

    def _send_frame(self, kind: Kind, tag: int, payload: NDArray[np.uint8] | bytes) -> None:
        size = len(payload)
        header = pack_header(kind, tag, size)
        if size <= _SMALL:
            self._write(header + (payload if isinstance(payload, bytes) else payload.tobytes()))
        else:
            self._write(header)
            self._write(payload)
        with self._changed:
            self._unsent -= HEADER.size + size
        if kind is Kind.BYE:
            self._said_bye = True
        else:
            self.sent.messages += 1

    def _write(self, data: NDArray[np.uint8] | bytes) -> None:
        view = memoryview(data) if isinstance(data, bytes) else data.data
        position, size = 0, len(view)
        while position < size:
            position += self._connection.send(view[position : position + _SLICE])
        self.sent.bytes += size

    def __repr__(self) -> str:
        return f"LinkOut({self.peer}, unsent={self._unsent})"
