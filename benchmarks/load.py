"""Many proposals at once: 200 a minute for five minutes, to consent or refusal, not computed.

Three real nodes on this machine, over the embedded broker, with computations switched off.  Every
second proposal is within the agreement: all consent, and it is taken back.  The others are outside
of it: all refuse.  Reported: proposals lost (not judged by every node), seconds from the proposal
until the proposer knows every member's answer, and the memory of each node's daemon over time.

    python -m benchmarks.load [--rate 200] [--minutes 5]
"""

import argparse
import platform
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from simdata.generate import generate
from undercurrent.local_consortium import LocalConsortium, LocalMember, found, running_broker

TERMS: dict[str, Any] = {
    "analyses": [
        {
            "name": "pagerank",
            "version": "1",
            "policies": ["bands:0.001,0.01"],
            "parameters": {"iterations": {"min": "1", "max": "50"}},
        }
    ],
    "schedules": [],
}
PATIENCE = 120.0
FINAL = ("refused", "abandoned")


@dataclass
class Measured:
    """What came of the proposals."""

    latencies: dict[str, list[float]] = field(
        default_factory=lambda: {"consent": [], "refusal": []}
    )
    lost: int = 0
    memory: list[tuple[float, dict[str, float]]] = field(default_factory=list)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200, help="proposals a minute")
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    with three_nodes() as nodes:
        measured = load(nodes, options.rate, options.minutes)
    report(measured, options.rate, options.minutes)


@contextmanager
def three_nodes() -> Iterator[LocalConsortium]:
    """Run three nodes that judge and do not compute."""
    with tempfile.TemporaryDirectory() as name, running_broker() as url:
        folder = Path(name)
        generate(folder / "data", banks=3, accounts=300, days=20, seed=1)
        banks = sorted(p.name for p in (folder / "data" / "banks").iterdir())
        members = [LocalMember(b, folder / "data" / "banks" / b) for b in banks]
        nodes = found(folder / "nodes", "load", members, url, TERMS)
        nodes.environment = {
            "UNDERCURRENT_NODE_RUNS__ENABLED": "false",
            "UNDERCURRENT_NODE_LOG__LEVEL": "warning",
        }
        try:
            for bank in banks:
                nodes.start(bank)
            nodes.wait_until_ready()
            yield nodes
        finally:
            nodes.close()


def load(nodes: LocalConsortium, rate: int, minutes: float) -> Measured:
    """Propose at a steady rate, each member in turn, and follow every proposal to its end."""
    measured = Measured()
    members = sorted(nodes.processes)
    begin = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        for number in range(round(rate * minutes)):
            time.sleep(max(begin + number * 60 / rate - time.monotonic(), 0))
            if number % max(rate // 2, 1) == 0:
                measured.memory.append((time.monotonic() - begin, memory(nodes)))
            member, is_allowed = members[number % 3], number % 2 == 0
            pool.submit(follow, nodes, member, is_allowed, measured)
    measured.memory.append((time.monotonic() - begin, memory(nodes)))
    return measured


def follow(nodes: LocalConsortium, member: str, is_allowed: bool, measured: Measured) -> None:
    """Propose a run and wait until its proposer knows the answer of every member."""
    iterations = "20" if is_allowed else "51"
    begin = time.monotonic()
    body = {"analysis": "pagerank", "parameters": {"iterations": iterations}}
    run_id = nodes.ask(member, "POST", "/runs", body)["run_id"]
    wanted = ("consented",) if is_allowed else FINAL
    while time.monotonic() - begin < PATIENCE:
        run = nodes.ask(member, "GET", f"/runs/{run_id}")
        phases = [m["phase"] if m else "" for m in run["members"].values()]
        if all(phase in wanted for phase in phases):
            kind = "consent" if is_allowed else "refusal"
            measured.latencies[kind].append(time.monotonic() - begin)
            if is_allowed:
                nodes.ask(member, "POST", f"/runs/{run_id}/reject", {"reason": "measured"})
            return
        time.sleep(0.05)
    measured.lost += 1


def memory(nodes: LocalConsortium) -> dict[str, float]:
    """Return the resident memory of each daemon in MB."""
    found = {}
    for member, process in nodes.processes.items():
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                found[member] = int(line.split()[1]) / 1024
    return found


def report(measured: Measured, rate: int, minutes: float) -> None:
    """Print what was measured, as the tables of benchmarks/README.md."""
    total = sum(len(v) for v in measured.latencies.values()) + measured.lost
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {rate} proposals a")
    print(f"minute for {minutes:g} minutes: {total} proposals, {measured.lost} lost\n")
    print("| answer of all | proposals | median s | p99 s | longest s |\n|---|---:|---:|---:|---:|")
    for kind, seconds in measured.latencies.items():
        if seconds:
            middle, late = np.percentile(seconds, [50, 99])
            print(f"| {kind} | {len(seconds)} | {middle:.2f} | {late:.2f} | {max(seconds):.2f} |")
    print("\n| minute | " + " | ".join(f"MB {m}" for m in measured.memory[0][1]) + " |")
    print("|---:|" + "---:|" * len(measured.memory[0][1]))
    for at, used in measured.memory:
        print(f"| {at / 60:.1f} | " + " | ".join(f"{mb:.0f}" for mb in used.values()) + " |")


if __name__ == "__main__":
    main()
