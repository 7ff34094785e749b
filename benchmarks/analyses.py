"""Benchmark of the other analyses: ``python -m benchmarks.analyses``.

Risk propagation, threshold tests, flow traces (fresh and with columns prepared ahead) and round
trips; three banks, each a process, over mutual TLS on loopback.  Each is run several times and the
best is kept: others use the machine too.  Writes ``analyses.json`` beside this file and prints a
table in Markdown.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bank_node.job import Deadlines
from benchmarks.engine import machine
from benchmarks.graphs import write_graph
from simdata.generate import generate
from simdata.lab import LabRequest, run_lab

HERE = Path(__file__).parent
LONG = Deadlines(start=600, silence=120, receive=1200)
TIMES = 3


def run(request: LabRequest) -> dict[str, Any]:
    """Run the three banks and return ``run.json``."""
    return asyncio.run(run_lab(replace(request, deadlines=LONG, force=True)))


def best(request: LabRequest, seconds: Callable[[dict[str, Any]], float]) -> dict[str, Any]:
    """Return the fastest of several runs."""
    return min((run(request) for _ in range(TIMES)), key=seconds)


def computing(record: dict[str, Any]) -> float:
    """Return the seconds of a run without reading data and starting processes."""
    phases = ("setup", "prepare", "apply", "reveal")
    return float(sum(record["seconds"][phase] for phase in phases))


def row(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of a run."""
    phases = ("setup", "prepare", "apply", "reveal")
    parties = record["bytes_sent"].values()
    sent = {phase: sum(p.get(phase, 0) for p in parties) / 1e6 for phase in phases}
    return {
        "name": name,
        "seconds": record["seconds"],
        "megabytes": sent,
        "peak_megabytes": max(record["peak_memory_bytes"].values()) / 1e6,
    }


def risk(folder: Path) -> list[dict[str, Any]]:
    """Risk propagation over 200,000 payments, two iterations."""
    data = folder / "risk"
    write_graph(data, 50_000, 200_000)
    rows = []
    for precision in ("standard", "high"):
        parameters = {"iterations": "2", "delta": "0.3", "precision": precision}
        request = LabRequest(data, "risk-propagation", folder / "out", parameters)
        record = best(request, lambda r: float(r["seconds"]["total"]))
        rows.append(row(f"risk propagation, 50,000 / 200,000, 2 iterations, {precision}", record))
    return rows


def thresholds(folder: Path) -> list[dict[str, Any]]:
    """The release of 200,000 accounts under bands and threshold."""
    data = folder / "bands"
    write_graph(data, 200_000, 400_000)
    rows = []
    for policy, borders in (
        ("bands:0.5", 1),
        ("bands:0.2,0.4,0.6,0.8", 4),
        ("threshold:0.8:0.05", 1),
    ):
        request = LabRequest(
            data, "risk-propagation", folder / "out", {"iterations": "1", "delta": "0.3"}, policy
        )
        record = best(request, lambda r: float(r["seconds"]["reveal"]))
        values = sum(record["padded_sizes"]["accounts"].values())
        made = row(f"release of 200,000 accounts, {policy}", record)
        made["us_per_value_and_border"] = record["seconds"]["reveal"] / values / borders * 1e6
        made["bytes_per_value_and_border"] = made["megabytes"]["reveal"] * 1e6 / values / borders
        rows.append(made)
    return rows


def traces(folder: Path) -> list[dict[str, Any]]:
    """A trace over 30 daily slices of 100,000 accounts and a million payments."""
    data = folder / "trace"
    generate(data, accounts=100_000, days=30, seed=3)
    asked = {"bank": "bank1", "hops": "3", "slice": "1d"}
    account = {"account": ["A0099323"]}
    fresh = LabRequest(data, "trace", folder / "out", asked | account)
    rows = [row("trace, 100,000 / 1,000,000, 30 slices, 3 hops", best(fresh, computing))]
    ready = folder / "ready"
    prepare = LabRequest(
        data, "trace", ready, {"traces": "bank1=1", "hops": "3", "slice": "1d"}, prepare_runs=TIMES
    )
    rows.append(row(f"the same, columns for {TIMES} runs prepared", run(prepare)))
    rows[-1]["stored_megabytes"] = (
        sum(p.stat().st_size for p in ready.rglob("*") if p.is_file()) / 1e6 / TIMES
    )
    prepared = replace(fresh, prepared=ready)
    rows.append(row("the same, with prepared columns", best(prepared, computing)))
    return rows


def round_trips(folder: Path) -> list[dict[str, Any]]:
    """Round trips of 400 of 20,000 accounts: seconds for each column."""
    data = folder / "round"
    generate(data, accounts=20_000, days=30, seed=3, payments_per_account=6)
    rows = []
    for precision in ("standard", "high"):
        parameters = {"hops": "4", "scope": "in_scope", "precision": precision}
        _limit_scope(data, 400)
        record = run(LabRequest(data, "round-trip", folder / "out", parameters))
        columns = sum(record["padded_sizes"]["columns"].values())
        made = row(f"round trips, 20,000 / 120,000, 4 hops, {columns} columns, {precision}", record)
        made["seconds_per_column"] = computing(record) / columns
        rows.append(made)
    return rows


def _limit_scope(data: Path, accounts: int) -> None:
    """Put the first accounts of each bank in scope, and no others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in data.glob("banks/*/accounts.parquet"):
        table = pq.read_table(path)
        if "in_scope" in table.column_names:
            table = table.drop_columns(["in_scope"])
        scope = pa.array([i < accounts // 3 for i in range(len(table))])
        pq.write_table(table.append_column("in_scope", scope), path)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows in Markdown."""
    lines = [
        "| run | set-up s | prepare s | apply s | reveal s | total s | MB by phase | peak MB |",
        "|---|" + "---:|" * 7,
    ]
    for r in rows:
        s, m = r["seconds"], r["megabytes"]
        sent = " + ".join(f"{m[phase]:,.0f}" for phase in ("setup", "prepare", "apply", "reveal"))
        lines.append(
            f"| {r['name']} | {s['setup']:.2f} | {s['prepare']:.2f} | {s['apply']:.2f} |"
            f" {s['reveal']:.2f} | {s['total']:.1f} | {sent} | {r['peak_megabytes']:,.0f} |"
        )
    return "\n".join(lines)


ALL = {"risk": risk, "thresholds": thresholds, "traces": traces, "round-trips": round_trips}


def main() -> None:
    """Measure, print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(ALL), help="one of the groups")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="undercurrent-bench-") as folder:
        for name, measured in ALL.items():
            if options.only in (None, name):
                rows += measured(Path(folder))
    result = {"date": datetime.now(UTC).date().isoformat(), "machine": machine(), "rows": rows}
    if options.only is None:
        (HERE / "analyses.json").write_text(json.dumps(result, indent=2) + "\n")
    print(table(rows))
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
