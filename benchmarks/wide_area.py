"""Secure PageRank over a wide-area network: ``python -m benchmarks.wide_area``.

The workers reach each other through a proxy on loopback that delays each direction by half the
round-trip time and lets through a fixed number of bits per second and link.  One link is one
direction between two parties, as between two sites with a line of that rate to each other.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bank_node.job import Deadlines
from benchmarks.graphs import write_graph
from simdata.lab import LabRequest, run_lab

CHUNK = 1 << 16


class ShapingProxy:
    """Forwards connections to ports of this machine, late and not too fast."""

    def __init__(self, round_trip: float, bits_per_second: float) -> None:
        self.delay = round_trip / 2
        self.rate = bits_per_second / 8
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "ShapingProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def route(self, port: int) -> int:
        """Open a proxy for a port and return its own."""
        return asyncio.run_coroutine_threadsafe(self._serve(port), self._loop).result()

    async def _serve(self, port: int) -> int:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
        return int(server.sockets[0].getsockname()[1])

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one direction on: each chunk leaves when the line is free, and arrives later."""
        flying: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=4096)

        async def arrive() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    due, chunk = await flying.get()
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    if not chunk:
                        break
                    writer.write(chunk)
                    await writer.drain()
            writer.close()

        arriving = asyncio.ensure_future(arrive())
        free = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                free = max(free, time.monotonic()) + len(chunk) / self.rate
                await flying.put((free + self.delay, chunk))
                # The sender may be ahead of the line by a few chunks, like a socket's buffer.
                await asyncio.sleep(max(0.0, free - time.monotonic() - 0.02))
        await flying.put((time.monotonic() + self.delay, b""))
        await arriving


@contextlib.contextmanager
def data_set(accounts: int, edges: int) -> Iterator[Path]:
    """A random graph over three banks in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="undercurrent-wide-") as folder:
        write_graph(Path(folder) / "data", accounts, edges)
        yield Path(folder)


def measure(folder: Path, round_trip_ms: float, megabits: float, options: Any) -> dict[str, Any]:
    """Run PageRank through the proxy and return what it took."""
    request = LabRequest(
        folder / "data",
        "pagerank",
        folder / "out",
        {"iterations": str(options.iterations), "precision": options.precision},
        deadlines=Deadlines(silence=60),
        force=True,
    )
    with ShapingProxy(round_trip_ms / 1e3, megabits * 1e6) as proxy:
        record = asyncio.run(run_lab(request, route=proxy.route))
    sent = record["bytes_sent"].values()
    return {
        "round_trip_ms": round_trip_ms,
        "megabits_per_link": megabits,
        "iterations": record["iterations"],
        "seconds": {k: round(v, 2) for k, v in record["seconds"].items()},
        "megabytes": {k: round(sum(s[k] for s in sent) / 1e6, 1) for k in ("prepare", "apply")},
    }


def main() -> None:
    """Measure two wide-area settings and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=500_000)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--precision", default="standard")
    parser.add_argument("--round-trips", type=float, nargs="+", default=[20.0, 100.0])
    parser.add_argument("--megabits", type=float, default=100.0)
    options = parser.parse_args()
    with data_set(options.accounts, options.edges) as folder:
        for round_trip in options.round_trips:
            print(json.dumps(measure(folder, round_trip, options.megabits, options)))


if __name__ == "__main__":
    main()
