"""``undercurrent bench``: speed, bytes and memory of the engine on this machine."""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bank_node.job import Deadlines
from simdata.generate import generate
from simdata.lab import LabRequest, run_lab
from undercurrent.progress import run_interruptible, show_progress

__all__ = ["bench", "figures", "measure", "table_of"]


def bench(
    accounts: Annotated[
        list[int] | None, typer.Option("--accounts", min=60, help="Accounts; repeatable.")
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations of PageRank.")] = 20,
    precision: Annotated[str, typer.Option(help="high or standard.")] = "high",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """Measure secure PageRank of three banks on this machine, with simulated payments.

    Examples:

      undercurrent bench

      undercurrent bench --accounts 10000 --accounts 100000 --precision standard
    """
    rows = [measure(n, iterations, precision) for n in accounts or [10_000, 100_000]]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        Console().print(table_of(rows))


def measure(accounts: int, iterations: int, precision: str) -> dict[str, Any]:
    """Generate payments, run the three banks, and return the figures of the run."""
    with tempfile.TemporaryDirectory(prefix="undercurrent-bench-") as folder:
        data = Path(folder) / "data"
        generate(data, banks=3, accounts=accounts, days=30, seed=1)
        request = LabRequest(
            data,
            "pagerank",
            Path(folder) / "out",
            {"iterations": str(iterations), "precision": precision},
            deadlines=Deadlines(silence=60),
        )
        with show_progress(f"{accounts:,} accounts") as on_event:
            return figures(run_interruptible(run_lab(request, on_event)))


def figures(record: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a run, per (account + edge) and iteration where that is the unit."""
    accounts = sum(party["accounts"] for party in record["parties"])
    edges = sum(party["edges"] for party in record["parties"])
    unit = (accounts + edges) * record["iterations"]
    seconds, sent = record["seconds"], record["bytes_sent"].values()
    return {
        "accounts": accounts,
        "edges": edges,
        "iterations": record["iterations"],
        "precision": record["parameters"]["precision"],
        "seconds": {phase: round(value, 3) for phase, value in seconds.items()},
        "prepare_us": seconds["prepare"] / unit * 1e6,
        "apply_us": seconds["apply"] / unit * 1e6,
        "prepare_bytes": sum(s["prepare"] for s in sent) / unit,
        "apply_bytes": sum(s["apply"] for s in sent) / unit,
        "messages": sum(sum(m.values()) for m in record["messages_sent"].values()),
        "peak_memory_bytes": max(record["peak_memory_bytes"].values()),
    }


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Return the rows as a table."""
    table = Table(
        title="secure PageRank, three processes over TLS; per (account + edge), iteration"
    )
    names = ("accounts", "edges", "precision", "set-up s", "prepare µs", "apply µs")
    for name in (*names, "bytes", "total s", "peak MB"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['accounts']:,}",
            f"{row['edges']:,}",
            row["precision"],
            f"{row['seconds']['setup']:.2f}",
            f"{row['prepare_us']:.3f}",
            f"{row['apply_us']:.3f}",
            f"{row['prepare_bytes'] + row['apply_bytes']:.1f}",
            f"{row['seconds']['total']:.1f}",
            f"{row['peak_memory_bytes'] / 1e6:,.0f}",
        )
    return table
