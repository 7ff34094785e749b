"""All parties of a run in one event loop: memory instead of sockets, everything else real."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from graph_mpc.context import Context
from graph_mpc.network import Network
from graph_mpc.ring import RING64, Ring
from graph_mpc.roster import Roster
from graph_mpc.streams import SeededStreams, Streams


class Memory:
    """The mailboxes of all parties."""

    def __init__(self) -> None:
        self.boxes: dict[tuple[int, int, int], asyncio.Future[Any]] = {}
        self.types: dict[tuple[int, int, int], np.dtype[Any]] = {}

    def box(self, sender: int, receiver: int, tag: int) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        return self.boxes.setdefault((sender, receiver, tag), loop.create_future())


class MemoryTransport:
    """One party's view of the mailboxes; keeps all that it received."""

    def __init__(self, me: int, memory: Memory) -> None:
        self.me = me
        self.memory = memory
        self.received: list[tuple[int, int, np.ndarray]] = []

    def post(self, peer: int, tag: int, payload: np.ndarray) -> None:
        self.memory.types[self.me, peer, tag] = payload.dtype
        copy = payload.copy().reshape(-1).view(np.uint8)
        self.memory.box(self.me, peer, tag).set_result(copy)

    def type_of(self, sender: int, tag: int) -> "np.dtype[Any]":
        """Return the type of the words of a message to this party."""
        return self.memory.types[sender, self.me, tag]

    async def fetch(self, peer: int, tag: int, nbytes: int) -> np.ndarray:
        payload = await self.memory.box(peer, self.me, tag)
        assert payload.nbytes == nbytes, (payload.nbytes, nbytes)
        self.received.append((peer, tag, payload))
        return payload


def roster_of(parties: int, owners: int | None = None) -> Roster:
    """Parties p0, p1, ...; the first ``owners`` hold data."""
    count = parties if owners is None else owners
    return Roster(tuple(f"p{i}" for i in range(parties)), tuple(range(count)))


def contexts(
    roster: Roster,
    ring: Ring = RING64,
    make_streams: Callable[[int], Streams] | None = None,
) -> list[Context]:
    """One context per party, sharing mailboxes and seeds."""
    memory = Memory()
    m = roster.parties
    seeds = {(i, j): secrets.token_bytes(32) for i in range(m) for j in range(i + 1, m)}

    def seeded(me: int) -> Streams:
        own = {j: seeds[min(me, j), max(me, j)] for j in range(m) if j != me}
        return SeededStreams(me, own, "test", ring)

    make = make_streams or seeded
    return [
        Context(me, roster, Network(me, m, MemoryTransport(me, memory), ring), make(me), ring)
        for me in range(m)
    ]


async def run_all(
    parties: list[Context], program: Callable[[Context], Awaitable[Any]]
) -> list[Any]:
    """Execute the same program at every party."""
    return list(await asyncio.gather(*(program(ctx) for ctx in parties)))


def opened(ring: Ring, shares: list[Any]) -> np.ndarray:
    """Add up the shares that the parties hold of one array."""
    held = [s.local for s in shares if s.local is not None]
    assert len(held) == 2
    return ring.reduce(held[0] + held[1])
