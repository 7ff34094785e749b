"""Waiting for a joint run of the running node, with a progress bar where there is a terminal."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bank_node.node.client import ask

__all__ = ["describe_time", "wait_for_run"]

_PAUSE = 0.5
_OVER = frozenset({"stored", "refused", "abandoned"})
_PHASES = {
    "load": "taking in data",
    "setup": "set-up",
    "prepare": "preparing columns",
    "apply": "iterating",
    "reveal": "releasing results",
}


def describe_time(microseconds: int) -> str:
    """Return a time as people read it, UTC."""
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "no time"


def wait_for_run(folder: Path, run_id: str, *, quiet: bool = False) -> dict[str, Any]:
    """Ask until the run is over at this node, and return it; Ctrl-C leaves the run as it is."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as bar:
        task = bar.add_task("waiting for the other members", total=None)
        while True:
            run: dict[str, Any] = ask(folder, "GET", f"/runs/{run_id}")
            if run["phase"] in _OVER:
                return run
            progress = run["progress"]
            if progress is not None:
                name = _PHASES.get(progress["phase"], progress["phase"])
                total = max(progress["total"], 1)
                bar.update(task, description=name, completed=progress["done"], total=total)
            else:
                bar.update(task, description=run["waiting_for"] or run["phase"], total=None)
            time.sleep(_PAUSE)
