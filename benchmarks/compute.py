"""What the arithmetic alone costs: all parties in one process on one core, nothing sent.

Run with ``python -m benchmarks.compute``.  Prints, per (account + edge) and column, the
microseconds of the preparation and of the application of all three parties together, and the rates
of the mask generator and of the gathers: the floor under the figures of ``benchmarks.engine``.
"""

import asyncio
import json
import time
from typing import Any

import numpy as np

from graph_mpc.context import Context
from graph_mpc.kernels import gather_rows
from graph_mpc.layout import Entries
from graph_mpc.network import Network
from graph_mpc.precision import FixedPoint
from graph_mpc.push import prepare_push, push, push_shapes, set_up_push
from graph_mpc.roster import Roster
from graph_mpc.shares import Shared
from graph_mpc.streams import SeededStreams, fill_stream

ACCOUNTS, EDGES, BOUNDARY, COLUMNS, BLOCKS = 100_000, 330_000, 30_000, 8, 3


class Memory:
    """Mailboxes of all parties; a message is handed over, not copied."""

    def __init__(self) -> None:
        self.boxes: dict[tuple[int, int, int], asyncio.Future[Any]] = {}

    def box(self, key: tuple[int, int, int]) -> "asyncio.Future[Any]":
        """Return the box of (sender, receiver, tag)."""
        return self.boxes.setdefault(key, asyncio.get_running_loop().create_future())


class Handover:
    """One party's transport."""

    def __init__(self, me: int, memory: Memory) -> None:
        self.me, self.memory = me, memory

    def post(self, peer: int, tag: int, payload: "np.ndarray[Any, Any]") -> None:
        """Hand a message over."""
        self.memory.box((self.me, peer, tag)).set_result(payload.reshape(-1).view(np.uint8))

    async def fetch(self, peer: int, tag: int, nbytes: int) -> "np.ndarray[Any, Any]":
        """Take a message out."""
        key = (peer, self.me, tag)
        payload = await self.memory.box(key)
        del self.memory.boxes[key]
        return payload


def measure(limbs: int) -> dict[str, float]:
    """Time preparation and application of three owners."""
    roster = Roster(("p0", "p1", "p2"), (0, 1, 2))
    memory = Memory()
    contexts = [
        Context(
            me,
            roster,
            Network(me, 3, Handover(me, memory)),
            SeededStreams(me, {p: bytes([me + p]) * 32 for p in range(3) if p != me}),
        )
        for me in range(3)
    ]
    rng = np.random.default_rng(0)
    boundary = {(b, c): BOUNDARY for b in range(3) for c in range(3) if b != c}
    sizes = dict.fromkeys(range(3), ACCOUNTS), dict.fromkeys(range(3), EDGES)
    shapes = push_shapes(contexts[0], sizes[0], boundary, sizes[1], limbs)
    entries = [
        Entries(
            rng.integers(0, shapes[b].inputs, EDGES),
            rng.integers(0, shapes[b].outputs, EDGES),
            rng.integers(0, 1 << 16, (limbs, EDGES)).astype(np.uint64),
            rng.integers(0, ACCOUNTS, 2 * BOUNDARY),
        )
        for b in range(3)
    ]
    seconds = {"prepare": [], "apply": []}

    async def program(ctx: Context) -> None:
        form = FixedPoint(24, 18, limbs, 4.0)
        system = await set_up_push(ctx, ("s",), shapes, boundary, form, entries[ctx.me])
        x = {
            b: Shared.of_owner(
                ctx.me,
                b,
                roster.helpers(b)[0],
                (shapes[b].outputs,),
                np.ones(shapes[b].outputs, np.uint64) if ctx.me == b else None,
            )
            for b in range(3)
        }
        for number in range(BLOCKS):
            start = time.perf_counter()
            block = await prepare_push(ctx, ("p", number), system, COLUMNS)
            middle = time.perf_counter()
            for column in range(COLUMNS):
                x = await push(ctx, system, block, column, x)
            if ctx.me == 0 and number:  # The first block compiles.
                seconds["prepare"].append(middle - start)
                seconds["apply"].append(time.perf_counter() - middle)

    async def everybody() -> None:
        await asyncio.gather(*(program(ctx) for ctx in contexts))

    asyncio.run(everybody())
    unit = 3 * (ACCOUNTS + EDGES) * COLUMNS / 1e6
    return {f"{name}_us": min(values) / unit for name, values in seconds.items()}


def rates() -> dict[str, float]:
    """Return GB/s of the mask generator and ns per row of a random gather of 64-byte rows."""
    words = np.empty((500_000, COLUMNS), np.uint64)
    index = np.random.default_rng(0).permutation(len(words)).astype(np.uint32)
    fill_stream(bytes(32), words)
    gather_rows(words, index)
    start = time.perf_counter()
    fill_stream(bytes(32), words)
    middle = time.perf_counter()
    gather_rows(words, index)
    return {
        "mask_generator_gb_per_s": words.nbytes / (middle - start) / 1e9,
        "gather_ns_per_row": (time.perf_counter() - middle) / len(words) * 1e9,
    }


def main() -> None:
    """Print the figures as JSON."""
    print(json.dumps({"one_limb": measure(1), "two_limbs": measure(2), "rates": rates()}, indent=2))


if __name__ == "__main__":
    main()
