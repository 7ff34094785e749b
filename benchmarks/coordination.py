"""Messages per second, and how long one takes, over both brokers, on loopback.

Two nodes' buses in one process: one speaks, one listens; every message is signed, verified, judged
and settled.  Mosquitto runs with the files in ``deploy/``, so with TLS and certificates; the
embedded broker is a process of its own, in the clear::

    python -m benchmarks.coordination [--messages 2000] [--json]

*Throughput*: as many messages as asked for, each on a topic of its own, 50 under way at a time,
from the first sent to the last handled.  *Latency*: a tenth as many, one after the other, from
``publish`` called to handled at the other side.
"""

import argparse
import asyncio
import contextlib
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bank_node.coordination import run_tail, status_tail
from tests.bank_node.coordination.parts import HOUR, Listener, any_broker, member, until

BROKERS = ("amqtt", "mosquitto")
MOST = 2_000
UNDER_WAY = 50
CONTENT = {"phase": "ready", "attempt": 1, "port": 9400, "reason": "", "manifest": "0" * 1500}


@dataclass(frozen=True)
class Figures:
    """What was measured with one broker."""

    broker: str
    messages: int
    bytes: int
    per_second: float
    median_ms: float
    p99_ms: float


async def measure(kind: str, messages: int) -> Figures:
    """Start a broker and measure."""
    with tempfile.TemporaryDirectory() as folder, any_broker(kind, Path(folder)) as broker:
        async with (
            member(broker.config("bank-a"), "bank-a") as speaker,
            member(broker.config("bank-b"), "bank-b") as listener,
        ):
            seconds = await _throughput(speaker, listener, messages)
            delays = await _latency(speaker, listener, messages // 10)
            assert not listener.bus.counters.refused
    return Figures(
        kind,
        messages,
        len(json.dumps(CONTENT)),
        round(messages / seconds),
        round(1000 * statistics.median(delays), 2),
        round(1000 * statistics.quantiles(delays, n=100)[98], 2),
    )


async def _throughput(speaker: Listener, listener: Listener, messages: int) -> float:
    numbers = iter(range(messages))
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(UNDER_WAY):
            group.create_task(_speak(speaker, numbers))
    await until(lambda: len(listener.heard) == messages, 120)
    return time.perf_counter() - start


async def _speak(speaker: Listener, numbers: Iterator[int]) -> None:
    for number in numbers:
        tail = run_tail("bank-a", f"run-{number}")
        await speaker.bus.publish("statement", tail, CONTENT, retain=False, lifetime=HOUR)


async def _latency(speaker: Listener, listener: Listener, messages: int) -> list[float]:
    delays = []
    tail, before = status_tail("bank-a"), len(listener.heard)
    for number in range(messages):
        start = time.perf_counter()
        await speaker.bus.publish("status", tail, CONTENT, retain=True, lifetime=HOUR)
        while len(listener.heard) == before + number:  # noqa: ASYNC110 - the finest clock there is
            await asyncio.sleep(0)
        delays.append(time.perf_counter() - start)
    return delays


def main() -> None:
    """Measure both brokers and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=MOST, help=f"at most {MOST}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    messages = min(max(options.messages, 100), MOST)
    with contextlib.suppress(KeyboardInterrupt):
        rows = [asyncio.run(measure(kind, messages)) for kind in BROKERS]
        if options.json:
            print(json.dumps({"python": platform.python_version(), "rows": [*map(asdict, rows)]}))
            return
        print(f"Python {platform.python_version()}, {messages} messages\n")
        print("| broker | bytes | messages per second | median ms | p99 ms |")
        print("|---|---:|---:|---:|---:|")
        for row in rows:
            figures = f"{row.per_second:,.0f} | {row.median_ms} | {row.p99_ms}"
            print(f"| {row.broker} | {row.bytes} | {figures} |")


if __name__ == "__main__":
    main()
