"""The mesh of links of one run: connecting all parties, the sticky failure, and parting.

The first failure counts, from whatever thread it comes. It goes out to all other parties at once as
an ABORT frame that names the culprit, before any link is closed: the others would else take this
party for the lost one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from graph_mpc.session.accept import AcceptCallbacks, listening_socket
from graph_mpc.session.config import SessionConfig
from graph_mpc.session.dial import DialCallbacks
from graph_mpc.session.errors import (
    ComputationFailed,
    PeerError,
    PeerLost,
    PeerProtocol,
    PeerStalled,
    SessionError,
    reported_failure,
)
from graph_mpc.session.frames import pack_abort
from graph_mpc.session.hello import Hello, derive_seed
from graph_mpc.session.inbox import Inbox
from graph_mpc.session.link_in import LinkIn
from graph_mpc.session.link_out import LinkOut
from graph_mpc.session.peer import Peer
from graph_mpc.session.runtime import HardenedRuntime
from graph_mpc.session.startup import Startup

_log = logging.getLogger("graph_mpc.session")

# A broken sending direction says less than the receiving one, where the reason may be on its way.
_SECOND_OPINION = 1.0
_POLL = 0.005
_JOIN = 5.0


class Mesh:
    """All links of this party; state changes on the event loop only, but for ``fail``."""

    def __init__(self, config: SessionConfig, runtime: HardenedRuntime) -> None:
        self.config = config
        self.failure: SessionError | None = None
        self.progress = asyncio.Event()
        self._runtime = runtime
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[SessionError] = self._loop.create_future()
        receive = config.deadlines.receive
        self.peers = {
            pid: Peer(pid, member, Inbox(member.id, config.limits, receive, self._loop))
            for pid, member in enumerate(config.members)
            if pid != config.me
        }
        self.is_open = False
        self._failure_lock = threading.Lock()
        self._failure_known = threading.Event()
        self._changed = asyncio.Event()
        self._startup: Startup | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._closing = False

    @property
    def refused_connections(self) -> int:
        """Connections of strangers that were refused."""
        return self._startup.refused if self._startup else 0

    # Failure.

    def fail(self, error: SessionError) -> None:
        """Record the first failure and tell all other parties; from any thread."""
        with self._failure_lock:
            if self.failure is not None or self._closing:
                return
            self.failure = error
        self._failure_known.set()
        _log.warning("session failed: %s, party %s", error.code, error.peer)
        for peer in self.peers.values():
            if peer.outgoing is not None:
                peer.outgoing.abort(self._abort_frame(error))
        self._from_thread(self._on_failed)

    def raise_failure(self) -> None:
        """Raise the failure, if there is one."""
        if self.failure is not None:
            raise self.failure

    def _abort_frame(self, error: SessionError) -> bytes:
        culprit = error.peer if isinstance(error, PeerError) and error.peer else self.config.my_id
        return pack_abort(culprit, error.word)

    def _on_failed(self) -> None:
        if self.failure is None or self.failed.done():
            return
        self.failed.set_result(self.failure)
        for peer in self.peers.values():
            peer.inbox.fail(self.failure)
        self.progress.set()
        self._changed.set()

    # Told by the links, from their threads.

    def link_failed(self, error: SessionError) -> None:
        """Take note that a peer failed."""
        self.fail(error)

    def abort_received(self, reporter: str, culprit: str, code: str) -> None:
        """Take note that a peer ended the run, naming a culprit."""
        if culprit not in (member.id for member in self.config.members):
            self.fail(PeerProtocol(f"party {reporter} names a stranger", peer=reporter))
        else:
            self.fail(reported_failure(reporter, culprit, code, self.config.my_id))

    def bye_received(self, peer: str) -> None:
        """Take note that nothing more will come from a peer."""
        pid = self.config.pid_of(peer)
        if pid is not None:
            self.peers[pid].said_bye = True
        self._from_thread(self._changed.set)

    def _sending_broken(self, peer: Peer, why: str) -> None:
        if peer.said_bye or self._failure_known.wait(_SECOND_OPINION) or peer.said_bye:
            return
        name = peer.member.id
        self.fail(PeerLost(f"the connection to party {name} was lost: {why}", peer=name))

    def _from_thread(self, callback: Callable[..., object], *args: Any) -> None:
        # A closed loop: the process is going down, nobody is left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)

    # Opening.

    async def start(self) -> None:
        """Connect to all parties; raise the failure that prevents it."""
        listener = listening_socket(self.config)
        accepting = AcceptCallbacks(
            lambda *link: self._from_thread(self._accepted, *link),
            self.fail,
            self._runtime.prss_length,
        )
        dialling = DialCallbacks(lambda *link: self._from_thread(self._dialled, *link), self.fail)
        try:
            self._startup = Startup(
                self.config, listener, self._runtime, self.peers, accepting, dialling
            )
        except BaseException:
            listener.close()
            raise
        if not await self._until(self._all_connected, self.config.deadlines.start):
            self.fail(self._startup.unreachable(self.peers))
        self.raise_failure()
        await self._stop_startup()
        self.is_open = True
        self._watch()

    def _dialled(self, pid: int, connection: ssl.SSLSocket) -> None:
        if self._closing:
            connection.close()
            return
        peer = self.peers[pid]
        peer.outgoing = LinkOut(
            peer.member.id,
            connection,
            heartbeat=self.config.deadlines.heartbeat,
            queue_limit=self.config.limits.queue,
            on_broken=lambda why: self._sending_broken(peer, why),
            on_progress=lambda: self._from_thread(self.progress.set),
        )
        if self.failure is not None:
            peer.outgoing.abort(self._abort_frame(self.failure))
        self._changed.set()

    def _accepted(self, pid: int, connection: ssl.SSLSocket, hello: Hello) -> None:
        if self._closing:
            connection.close()
            return
        peer = self.peers[pid]
        self._runtime.take_prss_keys(pid, hello.prss)
        mine = (self.config.my_id, peer.contribution)
        peer.seed = derive_seed(self.config.run_id, mine, (hello.sender, hello.contribution))
        silence = self.config.deadlines.silence
        peer.incoming = LinkIn(peer.inbox, connection, silence=silence, listener=self)
        self._changed.set()

    def _watch(self) -> None:
        deadline = self.config.deadlines.receive
        now = time.monotonic()
        for peer in self.peers.values():
            if peer.inbox.is_stalled(now):
                name = peer.member.id
                text = f"party {name} sent nothing awaited for {deadline:g} s"
                self.fail(PeerStalled(text, peer=name))
        self._watchdog = self._loop.call_later(min(1.0, deadline / 4), self._watch)

    # Parting.

    async def finish(self) -> None:
        """Say goodbye once all is computed, and wait until all others have."""
        limit = self.config.deadlines.shutdown
        until = time.monotonic() + limit
        await self._finish_computing(limit)
        self.raise_failure()
        links = [peer.outgoing for peer in self.peers.values() if peer.outgoing]
        for link in links:
            link.say_bye()
        if not await self._until(self._all_said_bye, until - time.monotonic()):
            late = next(p.member.id for p in self.peers.values() if not p.said_bye)
            self.fail(PeerStalled(f"party {late} has not finished within {limit:g} s", peer=late))
        self.raise_failure()
        await self._poll(self._all_told, until - time.monotonic())
        unread = sum(peer.inbox.unread for peer in self.peers.values())
        if unread:
            _log.warning("%d messages came that this party never awaited", unread)

    async def _finish_computing(self, limit: float) -> None:
        try:
            async with asyncio.timeout(limit):
                await self._runtime.barrier()
        except TimeoutError:
            self.fail(ComputationFailed("MPyC coroutines were still under way at the end"))

    async def close(self) -> None:
        """End all threads and connections."""
        self.is_open = False
        if self._watchdog is not None:
            self._watchdog.cancel()
        try:
            # News of a failure leave first, also to parties that connect only now.
            if self._startup is not None:
                await self._poll(self._all_told, self.config.deadlines.linger)
        finally:
            self._closing = True
            links = [link for peer in self.peers.values() for link in peer.links()]
            for link in links:
                link.stop()
        await self._stop_startup()
        await self._poll(lambda: not any(link.is_running for link in links), _JOIN)
        for link in links:
            link.close()

    async def _stop_startup(self) -> None:
        startup = self._startup
        if startup is not None:
            startup.stop()
            await self._poll(lambda: not startup.is_running, _JOIN)
            startup.close()

    # Waiting.

    def _all_connected(self) -> bool:
        return all(peer.is_connected for peer in self.peers.values())

    def _all_said_bye(self) -> bool:
        return all(peer.said_bye for peer in self.peers.values())

    def _all_told(self) -> bool:
        links = [peer.outgoing for peer in self.peers.values()]
        return all(link is not None and link.is_told for link in links)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for the condition or a failure; return False when time is up."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                while not condition() and self.failure is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _poll(self, condition: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        # Threads cannot be awaited, and an executor would leave threads of its own.
        while not condition() and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)
