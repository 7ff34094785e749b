"""The engine's benchmark: ``make bench``, or ``python -m benchmarks.engine``.

Secure PageRank of three banks, each a process, over mutual TLS on loopback, on random graphs with
hubs and log-normal amounts; beside it scipy in plain on the pooled graph and secure PageRank in
plain MPyC.  Writes ``results.json`` and ``growth.svg`` beside this file and prints a table in
Markdown.
"""

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bank_node.ingest import read_bank
from bank_node.job import Deadlines
from benchmarks.graphs import write_graph
from pagerank import PooledGraph, plain_pagerank
from simdata.dataset import bank_folder
from simdata.lab import LabRequest, run_lab
from undercurrent.bench import figures

HERE = Path(__file__).parent
SIZES = ((10_000, 50_000), (100_000, 500_000), (300_000, 1_000_000), (1_000_000, 5_000_000))
LARGEST = (1_000_000, 10_000_000)
ITERATIONS = 20


def machine() -> str:
    """Return a line about this machine."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def run_once(data: Path, out: Path, precision: str) -> dict[str, Any]:
    """Run the three banks and return ``run.json``."""
    request = LabRequest(
        data,
        "pagerank",
        out,
        {"iterations": str(ITERATIONS), "precision": precision},
        deadlines=Deadlines(start=600, silence=120, receive=1200),
        force=True,
    )
    return asyncio.run(run_lab(request))


def plain_seconds(data: Path) -> float:
    """Return the seconds per iteration of scipy in plain on the pooled graph, per unit in us."""
    payers, payees, amounts = [], [], []
    for bank in ("bank1", "bank2", "bank3"):
        table = read_bank(bank_folder(data, bank), bank).transactions
        own = np.asarray(table["from_bank"]) == bank
        payers.append(np.asarray(table["from_account"])[own])
        payees.append(np.asarray(table["to_account"])[own])
        amounts.append(np.asarray(table["amount"])[own])
    names, ends = np.unique(np.concatenate([*payers, *payees]), return_inverse=True)
    half = len(ends) // 2
    graph = PooledGraph(len(names), ends[:half], ends[half:], np.concatenate(amounts).astype(float))
    start = time.perf_counter()
    plain_pagerank(graph, tolerance=0.85**ITERATIONS)
    return (time.perf_counter() - start) / ITERATIONS / (len(names) + half) * 1e6


def cold_seconds(data: Path, out: Path) -> float:
    """Return the total seconds of a run with an empty cache of compiled kernels."""
    with tempfile.TemporaryDirectory() as cache:
        code = (
            "import asyncio, sys; from pathlib import Path; from benchmarks.engine import run_once;"
            "print(run_once(Path(sys.argv[1]), Path(sys.argv[2]), 'high')['seconds']['total'])"
        )
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        done = subprocess.run(
            [sys.executable, "-c", code, str(data), str(out)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    return float(done.stdout)


def of_mpyc(module: str) -> dict[str, Any]:
    """Run one of the MPyC scripts with three local parties."""
    done = subprocess.run(
        [sys.executable, "-m", module, "-M3"], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows in Markdown."""
    head = (
        "| accounts | edges | precision | set-up s | prepare µs | apply µs | bytes"
        " (prepare + apply) | messages | peak MB | total s | scipy in plain µs |"
    )
    lines = [head, "|" + "---:|" * 11]
    lines += [
        f"| {r['accounts']:,} | {r['edges']:,} | {r['precision']} | {r['seconds']['setup']:.1f} |"
        f" {r['prepare_us']:.3f} | {r['apply_us']:.3f} |"
        f" {r['prepare_bytes']:.0f} + {r['apply_bytes']:.0f} | {r['messages']:,} |"
        f" {r['peak_memory_bytes'] / 1e6:,.0f} | {r['seconds']['total']:.0f} |"
        f" {r['plain_us']:.3f} |"
        for r in rows
    ]
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the seconds of the phases against the number of edges."""
    from matplotlib.figure import Figure  # A dependency of the benchmark only.

    picture = Figure(figsize=(7, 4.2), layout="constrained")
    axes = picture.subplots()
    high = [r for r in rows if r["precision"] == "standard"]
    edges = [r["edges"] for r in high]
    for phase, marker in (("setup", "o"), ("prepare", "s"), ("apply", "^")):
        axes.loglog(edges, [r["seconds"][phase] for r in high], marker=marker, label=phase)
    first = high[0]["seconds"]["prepare"]
    line = [first * e / edges[0] for e in edges]
    axes.loglog(edges, line, linestyle=":", color="gray", label="linear")
    axes.set_xlabel("edges")
    axes.set_ylabel(f"seconds, {ITERATIONS} iterations")
    axes.set_title("Secure PageRank, three banks, precision=standard")
    axes.legend()
    axes.grid(visible=True, which="major", alpha=0.3)
    picture.savefig(path)


def main() -> None:
    """Measure all sizes, print the table, and write results and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the two smallest sizes only")
    parser.add_argument("--largest", action="store_true", help="10 million edges as well")
    options = parser.parse_args()
    sizes = [*(SIZES[:2] if options.quick else SIZES), *([LARGEST] if options.largest else [])]
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "iterations": ITERATIONS,
    }
    with tempfile.TemporaryDirectory(prefix="undercurrent-bench-") as folder:
        for accounts, edges in sizes:
            data, out = Path(folder) / f"data{accounts}-{edges}", Path(folder) / "out"
            write_graph(data, accounts, edges)
            if not rows:
                result["cold_total_seconds"] = cold_seconds(data, out)
                result["warm_total_seconds"] = run_once(data, out, "high")["seconds"]["total"]
            plain = plain_seconds(data)
            for precision in ("standard", "high"):
                rows.append(figures(run_once(data, out, precision)) | {"plain_us": plain})
                print(json.dumps(rows[-1]), file=sys.stderr)
    result["rows"] = rows
    result["mpyc_per_element_us"] = of_mpyc("benchmarks.mpyc_elements")
    result["mpyc_dense_pagerank"] = of_mpyc("benchmarks.mpyc_dense")
    (HERE / "results.json").write_text(json.dumps(result, indent=2) + "\n")
    plot(rows, HERE / "growth.svg")
    print(table(rows))
    print(json.dumps({k: v for k, v in result.items() if k != "rows"}, indent=2))


if __name__ == "__main__":
    main()
