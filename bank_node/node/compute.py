"""One attempt of a joint run at this node: its worker's job, its events, and what it leaves.

The worker writes into a folder of its own; ``finish`` makes what lies there durable before the
node votes ``computed``, and ``read_result`` reads it again when it is stored.  Private inputs go
into the job only, which reaches the worker on its standard input.
"""

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from bank_node.consortium import Agreement, RunManifest
from bank_node.files import sync
from bank_node.job import CredentialPaths, DataSource, Deadlines, Job, Manifest, MemberEntry
from bank_node.launcher import WorkerExit, run_workers
from bank_node.node.statement import Progress

__all__ = [
    "Attempt",
    "StagedResult",
    "compute",
    "finish",
    "listen",
    "read_report",
    "read_result",
    "sync_tree",
]

_REPORT = "report.json"


@dataclass(frozen=True)
class Attempt:
    """What one attempt needs, besides the manifest that all agreed on.

    Attributes:
        agreement: in effect; has the members' hosts and certificates.
        number: of the attempt.
        ports: of each member's worker.
        listener: this node's own listening socket.
        credentials: this node's certificate, key, and the consortium's authority.
        data: the bank's data; None for a compute party.
        private: private inputs of this bank.
        columns: folder of prepared columns that are filled or used.
        out: folder for what the worker writes.
        deadlines: when workers give each other up.
    """

    agreement: Agreement
    number: int
    ports: Mapping[str, int]
    listener: socket.socket
    credentials: CredentialPaths
    data: DataSource | None
    columns: Path | None
    out: Path
    deadlines: Deadlines
    private: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StagedResult:
    """What a worker left, as read back.

    Attributes:
        accounts: own accounts with a score or a band, as text; None for other results.
        values: float64, one per account.
        trace: rows of a trace; None for other results.
    """

    accounts: pa.Array | None
    values: NDArray[np.float64] | None
    trace: pa.Table | None

    @property
    def rows(self) -> int:
        """Number of rows."""
        if self.trace is not None:
            return int(self.trace.num_rows)
        return 0 if self.accounts is None else len(self.accounts)


def listen(bind: str, first: int, count: int) -> socket.socket:
    """Return a listening socket on the first free port of a range.

    Raises:
        OSError: none is free.
    """
    problem: OSError | None = None
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    for port in range(first, first + count):
        try:
            return socket.create_server((bind, port), family=family, backlog=64)
        except OSError as error:
            problem = error
    raise problem or OSError("no port")


async def compute(
    manifest: RunManifest,
    me: str,
    attempt: Attempt,
    on_event: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Run this node's worker to its end and return its report.

    Raises:
        WorkersFailedError: it failed, here or because of a peer.
    """
    job = _job(manifest, me, attempt)
    exits: list[WorkerExit] = await run_workers(
        [job], on_event=lambda _party, event: on_event(event)
    )
    report = exits[0].report
    if report is None:
        raise ValueError("a worker that ended well has reported")
    return report


def progress_of(event: Mapping[str, Any]) -> Progress | None:
    """Return how far a worker is, from one of its events."""
    if event.get("event") != "progress":
        return None
    return Progress(str(event["phase"]), int(event["done"]), int(event["total"]))


def _job(manifest: RunManifest, me: str, attempt: Attempt) -> Job:
    by_id = {member.id: member for member in attempt.agreement.members}
    return Job(
        manifest=Manifest(
            # A session of one attempt must never meet one of another.
            run_id=f"{manifest.run_id}-{attempt.number}",
            consortium=manifest.consortium,
            analysis=manifest.analysis,
            version=manifest.version,
            parameters=dict(manifest.parameters),
            policy=manifest.policy,
            prepare_runs=manifest.prepare_runs,
            use_prepared=bool(manifest.columns),
            members=[
                MemberEntry(
                    id=member.id,
                    role=member.role,
                    host=by_id[member.id].host,
                    port=attempt.ports[member.id],
                    certificate=by_id[member.id].certificate,
                )
                for member in manifest.members
            ],
        ),
        party=me,
        credentials=attempt.credentials,
        listen_fd=attempt.listener.fileno(),
        deadlines=attempt.deadlines,
        data=attempt.data,
        private=dict(attempt.private),
        columns=attempt.columns,
        out=attempt.out,
        lifeline=True,
    )


def finish(out: Path, report: Mapping[str, Any]) -> None:
    """Make a worker's result durable: the report is the last file, and all are synced to disk."""
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in out.iterdir():
        sync(path)
    temporary = out / f".{_REPORT}"
    temporary.write_text(json.dumps(report), "utf-8")
    sync(temporary)
    temporary.replace(out / _REPORT)
    sync(out)


def read_report(out: Path) -> dict[str, Any] | None:
    """Return the report of an attempt whose result is durable, else None."""
    try:
        report: dict[str, Any] = json.loads((out / _REPORT).read_text("utf-8"))
    except FileNotFoundError:
        return None
    return report


def read_result(out: Path) -> StagedResult:
    """Read what a worker wrote: scores or bands per account, rows of a trace, or nothing."""
    scores, trace = out / "scores.csv", out / "trace.csv"
    if trace.is_file():
        return StagedResult(None, None, _read(trace, ("account", "kind")))
    if scores.is_file():
        table = _read(scores, ("account",))
        values = table.column(1).to_numpy().astype(np.float64)
        return StagedResult(table.column(0).combine_chunks(), values, None)
    return StagedResult(None, None, None)


def _read(path: Path, text: tuple[str, ...]) -> pa.Table:
    types = {name: pa.string() for name in text}
    options = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return pa_csv.read_csv(path, convert_options=options).combine_chunks()


def sync_tree(folder: Path) -> None:
    """Make all files below a folder durable."""
    for path in sorted(folder.rglob("*"), reverse=True):
        sync(path)
    sync(folder)
