"""A session: what the engine and MPyC use of this party's links for one run.

Messages are labelled with a tag that sender and receiver derive from the program. Failure is
sticky: the first one fails all that is awaited, here at once and, through ABORT frames that name
the culprit, at the other parties, and it is raised by everything that is tried later.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_mpc.session.config import SessionConfig
from graph_mpc.session.errors import Aborted, PeerError, SessionError
from graph_mpc.session.frames import HEADER, Kind, check_code
from graph_mpc.session.link_out import LinkOut
from graph_mpc.session.mesh import Mesh
from graph_mpc.session.peer import Peer, PeerStatistics
from graph_mpc.session.runtime import HardenedRuntime


class Session:
    """Made by ``open_session``; used from the event loop only."""

    def __init__(self, config: SessionConfig, runtime: HardenedRuntime, mesh: Mesh) -> None:
        self.config = config
        self.runtime = runtime
        self.pid = config.me
        self.parties = tuple(member.id for member in config.members)
        self._mesh = mesh
        self._posted_tags: dict[int, set[int]] = {pid: set() for pid in mesh.peers}

    @property
    def failure(self) -> SessionError | None:
        """The failure that ended the session, if any."""
        return self._mesh.failure

    @property
    def failed(self) -> asyncio.Future[SessionError]:
        """The awaitable of the failure; it stays pending in a run that succeeds."""
        return self._mesh.failed

    @property
    def statistics(self) -> dict[int, PeerStatistics]:
        """Traffic so far, by index of the party."""
        return {pid: peer.statistics() for pid, peer in self._mesh.peers.items()}

    @property
    def refused_connections(self) -> int:
        """Connections of strangers that were refused during start."""
        return self._mesh.refused_connections

    def seed(self, peer: int) -> bytes:
        """Return the 256-bit seed that only this party and the peer know, fresh for this run."""
        seed = self._peer(peer).seed
        if seed is None:
            raise ValueError("seeds exist once the session is open")
        return seed

    def post(self, peer: int, tag: int, payload: NDArray[Any]) -> None:
        """Send an array's bytes; returns at once, the array must not be changed afterwards.

        The array is C-contiguous, of a plain number type; each tag is used once per peer.
        """
        link = self._outgoing(peer)
        if payload.dtype.hasobject or not payload.flags.c_contiguous:
            raise ValueError("only contiguous arrays of plain numbers can be sent")
        if payload.nbytes > self.config.limits.message:
            raise ValueError(f"message of {payload.nbytes} bytes is above the limit")
        if tag in self._posted_tags[peer]:
            raise ValueError(f"tag {tag} is used twice to party {self.parties[peer]}")
        link.post(Kind.DATA_ENGINE, tag, payload.reshape(-1).view(np.uint8))
        self._posted_tags[peer].add(tag)

    def fetch(self, peer: int, tag: int, nbytes: int) -> asyncio.Future[NDArray[np.uint8]]:
        """Return the awaitable of the peer's message, which must have exactly that many bytes.

        The receive is posted at once, also when it is awaited later.
        """
        return self._receive(peer, Kind.DATA_ENGINE, tag, nbytes)

    async def drain(self, max_bytes: int = 0) -> None:
        """Wait until at most that many bytes wait to be sent to any one party."""
        mesh = self._mesh
        links = [peer.outgoing for peer in mesh.peers.values() if peer.outgoing]
        while True:
            mesh.raise_failure()
            mesh.progress.clear()
            for link in links:
                link.watched = True
            if all(link.unsent <= max_bytes for link in links):
                return
            await mesh.progress.wait()

    def abort(self, code: str) -> None:
        """End the run for all parties, by this party's decision; ``code`` is a machine word."""
        check_code(code)
        self.fail(Aborted(f"this party ended the run: {code}", word=code))

    def fail(self, error: SessionError) -> None:
        """End the run with this error, unless it has failed before."""
        self._mesh.fail(error)

    def send_mpyc(self, peer: int, tag: int, payload: bytes) -> int:
        """Queue an MPyC message; return the bytes it takes."""
        if len(payload) > self.config.limits.mpyc:
            raise ValueError(f"MPyC message of {len(payload)} bytes is above the limit")
        self._outgoing(peer).post(Kind.DATA_MPYC, tag, payload)
        return HEADER.size + len(payload)

    def receive_mpyc(self, peer: int, tag: int) -> asyncio.Future[bytes]:
        """Return the future of an MPyC message."""
        return self._receive(peer, Kind.DATA_MPYC, tag, None)

    def _peer(self, pid: int) -> Peer:
        peer = self._mesh.peers.get(pid)
        if peer is None:
            raise ValueError(f"{pid} is not the index of another party")
        return peer

    def _outgoing(self, pid: int) -> LinkOut:
        self._mesh.raise_failure()
        link = self._peer(pid).outgoing
        if link is None or not self._mesh.is_open:
            raise ValueError("the session is not open")
        return link

    def _receive(self, pid: int, kind: Kind, tag: int, nbytes: int | None) -> asyncio.Future[Any]:
        self._mesh.raise_failure()
        try:
            return self._peer(pid).inbox.post(kind, tag, nbytes)
        except PeerError as error:
            self.fail(error)
            raise
