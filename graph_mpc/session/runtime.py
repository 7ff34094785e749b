"""MPyC's runtime, hardened: the messages go over our links, and nothing from a peer is unpickled.

``install`` turns MPyC's one global runtime into a ``HardenedRuntime``, so that
``from mpyc.runtime import mpc`` anywhere gives the hardened one. Changed against MPyC 0.11:

- ``transfer`` sends plain data (see ``codec``); shares of arrays travel as bytes (``mix32_64bit``);
  ``pickle`` inside ``mpyc.runtime`` raises;
- an exception in an MPyC coroutine fails the session, where MPyC stops the event loop and leaves
  the awaiting code hanging;
- ``start`` and ``shutdown`` open and close nothing: the session does.

Shamir's threshold is 1: at most one corrupted party, m ≥ 3.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from graph_mpc.session.codec import NotPlainError, decode, encode
from graph_mpc.session.config import Member
from graph_mpc.session.embedding import Runtime, asyncoro, make_options, mpc, mpyc_runtime
from graph_mpc.session.errors import (
    ComputationFailed,
    PayloadRefused,
    SessionError,
    SessionReused,
)
from graph_mpc.session.patches import PeerPayload, apply_patches

THRESHOLD = 1

_log = logging.getLogger("graph_mpc.session")


class MpycWire(Protocol):
    """What the runtime needs of the session."""

    @property
    def failure(self) -> SessionError | None:
        """The sticky failure."""

    def fail(self, error: SessionError) -> None:
        """Fail the session."""

    def send_mpyc(self, peer: int, tag: int, payload: bytes) -> int:
        """Queue a message; return the bytes it takes."""

    def receive_mpyc(self, peer: int, tag: int) -> asyncio.Future[bytes]:
        """Return the future of a message."""


class MpycLink:
    """MPyC's link interface to one peer."""

    def __init__(self, wire: MpycWire, peer: int) -> None:
        self.nbytes_sent = 0
        self._wire = wire
        self._peer = peer

    def send(self, pc: int, payload: bytes | bytearray) -> None:
        """Send a payload labelled with a program counter."""
        self.nbytes_sent += self._wire.send_mpyc(self._peer, pc, bytes(payload))

    def receive(self, pc: int) -> asyncio.Future[bytes]:
        """Return the future of the payload with this program counter; it knows its sender."""
        arrival = self._wire.receive_mpyc(self._peer, pc)
        named: asyncio.Future[bytes] = arrival.get_loop().create_future()
        arrival.add_done_callback(lambda done: _name_sender(done, named, self._peer))
        return named

    def close_connection(self) -> None:
        """Do nothing: the session closes its links."""


def _name_sender(arrival: asyncio.Future[bytes], named: asyncio.Future[bytes], peer: int) -> None:
    """Pass a payload on with its sender's number, so that a wrong one can be blamed."""
    if named.done():
        return
    if arrival.cancelled():
        named.cancel()
    elif (exc := arrival.exception()) is not None:
        named.set_exception(exc)
        named.exception()  # Looked at once: asyncio does not report those nobody awaits.
    else:
        named.set_result(PeerPayload.of(peer, arrival.result()))


class HardenedRuntime(Runtime):  # type: ignore[misc]  # MPyC has no types.
    """MPyC's runtime on a session."""

    _wire: MpycWire | None = None
    _names: tuple[str, ...] = ()

    def attach(self, wire: MpycWire, names: tuple[str, ...]) -> None:
        """Connect the runtime to the session, once all its links are up."""
        for party in self.parties:
            party.protocol = None if party.pid == self.pid else MpycLink(wire, party.pid)
        self._wire = wire
        self._names = names

    def detach(self) -> None:
        """Leave the session; messages raise from now on."""
        self._wire = None

    @property
    def wire(self) -> MpycWire:
        """The session; raises when there is none."""
        if self._wire is None:
            raise SessionReused("MPyC is used outside the run's session")
        return self._wire

    def name_of(self, pid: int) -> str:
        """Return the id of the party with this index."""
        return self._names[pid]

    def prss_keys_for(self, peer: int) -> bytes:
        """Return the keys for pseudorandom secret sharing that this party gives to a peer."""
        return b"".join(self._prss_keys_to_peer(peer))

    def prss_length(self, peer: int) -> int:
        """Return how many bytes of keys come from a peer."""
        return int(self._prss_keys_from_peer(peer))

    def take_prss_keys(self, peer: int, keys: bytes) -> None:
        """Store the keys from a peer."""
        self._prss_keys_from_peer(peer, keys)

    def transfer(
        self,
        obj: Any,
        senders: Any = None,
        receivers: Any = None,
        sender_receivers: Any = None,
    ) -> Any:
        """Transfer plain data between parties, with MPyC's arguments; tuples arrive as lists."""
        if sender_receivers is not None and not (senders is None and receivers is None):
            raise ValueError("give senders and receivers, or sender_receivers")
        arcs = self._arcs(senders, receivers, sender_receivers)
        return _transfer(self, obj, arcs, isinstance(senders, int))

    def _arcs(
        self, senders: Any, receivers: Any, sender_receivers: Any
    ) -> tuple[list[int], list[int]]:
        """Return whom this party receives from, and whom it sends to."""
        if sender_receivers is None:
            sources, targets = self._party_list(senders), self._party_list(receivers)
            return (
                sources if self.pid in targets else [],
                targets if self.pid in sources else [],
            )
        if isinstance(sender_receivers, dict):
            sources = [a for a, b in sender_receivers.items() if self.pid in b]
            return sources, list(sender_receivers.get(self.pid, []))
        pairs = list(sender_receivers)
        return (
            [a for a, b in pairs if b == self.pid],
            [b for a, b in pairs if a == self.pid],
        )

    def _party_list(self, parties: Any) -> list[int]:
        if parties is None:
            return list(range(len(self.parties)))
        return [parties] if isinstance(parties, int) else list(parties)

    async def barrier(self, name: str | None = None) -> None:
        """Wait for all MPyC coroutines that are under way."""
        del name
        while self._pc_level > self._program_counter[1]:
            if self.wire.failure is not None:
                raise self.wire.failure
            await asyncio.sleep(0)

    async def start(self) -> None:
        """Check that the session is open: it connects the parties."""
        if self.wire.failure is not None:
            raise self.wire.failure

    async def shutdown(self) -> None:
        """Wait for what is under way; the session closes the links."""
        await self.barrier()

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        if exc is None:
            await self.shutdown()

    def set_protocol(self, peer_pid: int, protocol: object) -> NoReturn:
        """Refuse: links are made by the session."""
        raise TypeError("links are made by the session")

    def unset_protocol(self, peer_pid: int) -> NoReturn:
        """Refuse: links are made by the session."""
        raise TypeError("links are made by the session")

    def run(self, f: Any) -> NoReturn:
        """Refuse: a session runs inside its own event loop."""
        raise TypeError("use await: a session runs inside the worker's event loop")

    def computation_failed(self, exc: BaseException) -> None:
        """Fail the session because of an exception in an MPyC coroutine or callback."""
        if self._wire is None:
            return
        if isinstance(exc, SessionError):
            self._wire.fail(exc)
            return
        # The exception's own text could hold a secret: only its type and place are told.
        where = "".join(traceback.format_tb(exc.__traceback__))
        _log.error("%s in the computation of this party\n%s", type(exc).__name__, where)
        error = ComputationFailed(f"{type(exc).__name__} in the computation of this party")
        error.__cause__ = exc
        self._wire.fail(error)


def _mpc_coro(function: Callable[..., Any]) -> Any:
    """Make an MPyC coroutine; its type is given by its first await, not by an annotation."""
    function.__annotations__.clear()
    return asyncoro.mpc_coro(function)


@_mpc_coro
async def _transfer(
    rt: HardenedRuntime, obj: Any, arcs: tuple[list[int], list[int]], single: bool
) -> Any:
    await asyncoro.returnType(asyncio.Future)
    sources, targets = arcs
    data = encode(obj) if targets else b""
    for peer in targets:
        if peer != rt.pid:
            rt._send_message(peer, data)
    received = [data if peer == rt.pid else rt._receive_message(peer) for peer in sources]
    payloads = await rt.gather(received)
    values = [_decode_from(rt, peer, p) for peer, p in zip(sources, payloads, strict=True)]
    return values[0] if single and values else values


def _decode_from(rt: HardenedRuntime, peer: int, payload: bytes) -> Any:
    try:
        return decode(payload)
    except NotPlainError as exc:
        name = rt.name_of(peer)
        raise PayloadRefused(f"party {name} sent a payload that is {exc}", peer=name) from exc


def install(pid: int, members: tuple[Member, ...]) -> HardenedRuntime:
    """Turn MPyC's global runtime into this party's hardened runtime; once per process."""
    if isinstance(mpc, HardenedRuntime):
        raise SessionReused("this process has had its session: MPyC has one runtime per process")
    options = make_options()
    options.threshold = THRESHOLD
    options.mix32_64bit = True
    options.no_log = True
    options.no_async = options.no_prss = options.no_barrier = options.ssl = False
    parties = [mpyc_runtime.Party(i, m.host, m.port) for i, m in enumerate(members)]
    apply_patches()
    mpc.__class__ = HardenedRuntime
    mpc.__init__(pid, parties, options)
    runtime: HardenedRuntime = mpc
    return runtime
