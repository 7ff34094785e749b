"""Data sets written by hand, the pooled truth, and runs that are watched from outside.

The pooled truth reads the files of all banks by itself (pyarrow, no code of the node), so that a
fault of the node's ingest shows as a wrong score.
"""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from bank_node.job import Deadlines, Job
from bank_node.launcher import WorkersFailedError
from pagerank import PooledGraph, networkx_pagerank
from simdata.lab import LabRequest, run_lab

ROOT = Path(__file__).parents[2]
UNDERCURRENT = str(Path(sys.executable).with_name("undercurrent"))
SHORT = Deadlines(start=6, silence=2, receive=20)
HEADER = "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency"

Key = tuple[str, str]


# Data sets.


def write_bank(
    data: Path, bank: str, accounts: Iterable[str], payments: Iterable[str], risk: str = "0.1"
) -> None:
    """Write a bank's CSV files; a payment is ``tx,from_bank,from,to_bank,to,amount``."""
    folder = data / "banks" / bank
    folder.mkdir(parents=True)
    rows = [f"{account},{risk}" for account in accounts]
    (folder / "accounts.csv").write_text("\n".join(["account,risk_score", *rows]) + "\n")
    lines = []
    for payment in payments:
        tx, *sides, amount = payment.split(",")
        lines.append(",".join([tx, "2026-01-05T10:00:00Z", *sides, amount, "EUR"]))
    (folder / "transactions.csv").write_text("\n".join([HEADER, *lines]) + "\n")


def three_banks(data: Path) -> Path:
    """Write the smallest data set that makes sense: three banks in a ring."""
    ring = ["t1,A,a1,B,b1,10", "t2,B,b1,C,c1,20", "t3,C,c1,A,a1,30"]
    write_bank(data, "A", ["a1", "a2"], [ring[0], ring[2], "t4,A,a1,A,a2,5"])
    write_bank(data, "B", ["b1", "b2"], [ring[0], ring[1]])
    write_bank(data, "C", ["c1"], [ring[1], ring[2]])
    return data


@dataclass(frozen=True)
class Pooled:
    """All accounts of all banks and the payments between them."""

    accounts: list[Key]
    graph: PooledGraph
    risk: NDArray[np.float64]

    def truth(self, alpha: float = 0.85, *, by_risk: bool = False) -> dict[Key, float]:
        """Return the score of every account, as networkx computes it."""
        scores = networkx_pagerank(self.graph, alpha, self.risk if by_risk else None)
        return dict(zip(self.accounts, scores.tolist(), strict=True))

    def isolated(self) -> set[Key]:
        """Return the accounts without any payment inside the consortium."""
        busy = {*self.graph.source.tolist(), *self.graph.target.tolist()}
        return {key for v, key in enumerate(self.accounts) if v not in busy}


def pool(data: Path, weight: str = "amount", without: Collection[str] = ()) -> Pooled:
    """Pool the files of all banks by distinct ``tx_id``; the payer's file wins.

    Payments with a bank outside the data set are no edges.  ``without`` names payments to leave
    out: rows that no bank can use, and edges that one bank alone knows.
    """
    folders = sorted((data / "banks").iterdir())
    banks = {folder.name.lstrip("0") for folder in folders}
    risk: dict[Key, float] = {}
    payments: dict[str, tuple[Key, Key, Decimal]] = {}
    for folder in folders:
        bank = folder.name.lstrip("0")
        for row in _rows(folder, "accounts"):
            risk[bank, row["account"]] = float(row.get("risk_score") or 0)
        for row in _rows(folder, "transactions"):
            payer = (row["from_bank"].lstrip("0"), row["from_account"])
            payee = (row["to_bank"].lstrip("0"), row["to_account"])
            for key in (payer, payee):
                if key[0] == bank and row["tx_id"] not in without:
                    risk.setdefault(key, 0.0)
            inside = payer[0] in banks and payee[0] in banks and row["tx_id"] not in without
            if inside and (row["tx_id"] not in payments or payer[0] == bank):
                payments[row["tx_id"]] = (payer, payee, Decimal(row["amount"]))
    accounts = sorted(risk)
    number = {key: v for v, key in enumerate(accounts)}
    summed: dict[tuple[int, int], float] = {}
    for payer, payee, amount in payments.values():
        pair = (number[payer], number[payee])
        more = {"amount": float(amount), "count": 1.0, "none": 0.0}[weight]
        summed[pair] = summed.get(pair, 1.0 if weight == "none" else 0.0) + more
    ends = np.array(list(summed), np.int64).reshape(-1, 2)
    weights = np.array(list(summed.values()))
    graph = PooledGraph(len(accounts), ends[:, 0], ends[:, 1], weights)
    return Pooled(accounts, graph, np.array([risk[key] for key in accounts]))


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    if (folder / f"{name}.csv").is_file():
        with (folder / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))
    table = pq.read_table(folder / f"{name}.parquet")
    return [
        {key: "" if value is None else str(value) for key, value in row.items()}
        for row in table.to_pylist()
    ]


# Results.


def read_scores(out: Path) -> dict[Key, float]:
    """Return the scores of all banks' files."""
    scores = {}
    for path in sorted(out.glob("*/scores.csv")):
        types = pa_csv.ConvertOptions(column_types={"account": "string"})
        table = pa_csv.read_csv(path, convert_options=types)
        for account, score in zip(*table.to_pydict().values(), strict=True):
            scores[path.parent.name.lstrip("0"), account] = score
    return scores


def worst_error(scores: Mapping[Key, float], truth: Mapping[Key, float]) -> float:
    """Return the largest relative error; all accounts must be there and no other.

    A score below a thousandth of the mean counts as that: an account without any risk that gets no
    money from one has the score 0, of which there is no relative error.
    """
    assert set(scores) == set(truth)
    least = 1e-3 / len(truth)
    return max(abs(scores[key] - truth[key]) / max(truth[key], least) for key in truth)


# Runs.


@dataclass
class Watch:
    """What was seen of a run from outside.

    Attributes:
        request: the run.
        act: called once, with the process ids, when the first party reaches ``at`` iterations.
        at: iterations after which the run counts as being in its middle.
    """

    request: LabRequest
    act: Callable[[dict[str, int]], None] = lambda _pids: None
    at: int = 5
    wrap: Callable[[Job], Sequence[str]] = lambda _job: ()
    pids: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    acted: float | None = None

    def run(self) -> dict[str, Any]:
        """Run to the end and return what stands in run.json."""
        return asyncio.run(
            run_lab(self.request, on_event=self._listen, on_start=self.pids.update, wrap=self.wrap)
        )

    def fail(self) -> WorkersFailedError:
        """Run, which must fail for a worker's reason, leaving neither process nor file."""
        with pytest.raises(WorkersFailedError) as caught:
            self.run()
        assert [party for party, pid in self.pids.items() if is_there(pid)] == []
        assert_nothing_at(self.request.out)
        return caught.value

    def _listen(self, party: str, event: dict[str, Any]) -> None:
        self.events.append((party, event))
        if self.acted is None and event.get("phase") == "iterate" and event["done"] >= self.at:
            self.acted = time.monotonic()
            self.act(self.pids)


def request_of(data: Path, out: Path, **changes: Any) -> LabRequest:
    """Return a request for PageRank with short deadlines."""
    values: dict[str, Any] = {"analysis": "pagerank", "deadlines": SHORT} | changes
    return LabRequest(data=data, out=out, **values)


def is_there(pid: int) -> bool:
    """Whether a process exists in any state, a zombie included."""
    return Path(f"/proc/{pid}").exists()


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended (its parent may not have looked yet)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition, at most that long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def assert_nothing_at(out: Path) -> None:
    """Nothing was written: neither the folder nor a temporary one beside it."""
    beside = (
        [path.name for path in out.parent.glob(f".{out.name}.*")] if out.parent.is_dir() else []
    )
    assert beside == []
    assert not out.exists()


# Namespaces.


def unshare_command() -> list[str] | None:
    """Return the command that gives a process its own mounts, or None where it is not allowed."""
    program = shutil.which("unshare")
    if program is None:
        return None
    options = ["-m"] if os.geteuid() == 0 else ["-rm"]
    probe = [program, *options, "sh", "-c", "mount -t tmpfs none /mnt"]
    works = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    return [program, *options] if works else None


def covering(unshare: Sequence[str], covered: Sequence[Path]) -> list[str]:
    """Return what stands in front of a command for which these folders shall be empty."""
    script = """
        while [ "$1" != -- ]; do
            mount -t tmpfs none "$1" && test -z "$(ls -A "$1")" || exit 9
            shift
        done
        shift
        exec "$@"
    """
    return [*unshare, "sh", "-c", script, "sh", *map(str, covered), "--"]
