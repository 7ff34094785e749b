"""One party of one joint run: ``python -m bank_node.worker``.

The worker reads its job (``bank_node.job``) as one line of JSON from its standard input, takes in
its own bank's data, connects to the other workers over mutual TLS, runs the analysis, and writes
its own results.  On its standard output it tells what happens, one JSON object a line:
``progress``, then ``finished`` or ``failed``.  Logs go to the standard error; none of the three
ever holds an account, an amount or a share.
"""

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from bank_node.analyses import find_analysis
from bank_node.errors import CurrencyError, ParameterError, UndercurrentError
from bank_node.ingest import BankData, IngestCounts, canonical_account, minor_units, read_bank
from bank_node.intake import read_taken
from bank_node.job import DataSource, Job
from bank_node.operation.rehearsal import rehearsal_data
from bank_node.partition import Partition, build_partition, consortium_edges
from bank_node.results import write_result, write_trace, write_unmatched
from bank_node.running import run_analysis
from bank_node.versions import versions
from graph_mpc.context import Context
from graph_mpc.errors import EngineError
from graph_mpc.network import Network
from graph_mpc.padding import padded_size
from graph_mpc.policy import parse_policy
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.roster import Roster
from graph_mpc.session import (
    Aborted,
    Member,
    PeerError,
    SessionConfig,
    SessionError,
    open_session,
)
from graph_mpc.session.config import Deadlines as SessionDeadlines
from graph_mpc.session.session import Session
from graph_mpc.streams import SeededStreams
from graph_mpc.window import Window

__all__ = ["main"]

_T = TypeVar("_T")
Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class _Loaded:
    """A bank's own data, ready for the engine; the payments themselves are not kept."""

    counts: IngestCounts
    base_currency: str | None
    partition: Partition


def main() -> int:
    """Run the job on standard input and return the exit code."""
    # A core file would hold keys, accounts and shares.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The event lines have the standard output for themselves, whatever a library prints.
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(stream=sys.stderr, level=os.environ.get("UNDERCURRENT_LOG", "WARNING"))

    def emit(event: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            events.write(json.dumps(event) + "\n")

    try:
        job = _read_job(sys.stdin.readline())
        report = asyncio.run(_with_signals(job, emit))
    except (KeyboardInterrupt, asyncio.CancelledError):
        emit(_failed("worker.interrupted", "the run was interrupted", "Start it again", None, 130))
        return 130
    except Exception as error:
        event = _describe(error)
        emit(event)
        return int(event["exit_code"])
    emit({"event": "finished", "report": report})
    return 0


def _read_job(line: str) -> Job:
    try:
        return Job.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise ParameterError(
            f"the job on standard input is wrong at {'.'.join(map(str, first['loc']))}:"
            f" {first['msg']}",
            "Give one line of JSON as described in bank_node.job",
        ) from None


async def _with_signals(job: Job, emit: Emit) -> dict[str, Any]:
    """Run the job; SIGTERM, SIGINT and a closed lifeline cancel it."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_run(job, emit))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    if job.lifeline:
        threading.Thread(target=_watch_lifeline, args=(loop, task), daemon=True).start()
    return await task


def _watch_lifeline(loop: asyncio.AbstractEventLoop, task: "asyncio.Future[Any]") -> None:
    sys.stdin.read()
    with contextlib.suppress(RuntimeError):  # The loop is closed: the run is over anyway.
        loop.call_soon_threadsafe(task.cancel)


async def _run(job: Job, emit: Emit) -> dict[str, Any]:
    start = time.perf_counter()
    manifest = job.manifest
    analysis = find_analysis(manifest.analysis)
    if analysis.version != manifest.version:
        raise ParameterError(
            f"analysis {analysis.name} has version {analysis.version} here, the run asks for"
            f" {manifest.version}",
            "Install the same version of Undercurrent at every party",
        )
    parameters = analysis.parse(manifest.parameters)
    policy = parse_policy(manifest.policy)
    roster = _roster(job)
    me = roster.ids.index(job.party)
    loaded = _load(job, analysis.window(parameters), emit)
    disclosed = 0
    if loaded is not None and not manifest.prepare_runs:
        # Charged before anything is computed, from sizes that all parties will know.
        padded = padded_size(len(loaded.partition.accounts))
        disclosed = analysis.released_values(parameters, job.party, padded) * policy.bits_per_value
    emit({"event": "ledger", "disclosed_bits": disclosed})
    seconds = {"load": time.perf_counter() - start}
    own = None
    if loaded is not None:
        own = _own_input(loaded.partition, job.private)
    connecting = time.perf_counter()
    async with open_session(_session_config(job, me)) as session:
        seconds["connect"] = time.perf_counter() - connecting
        ctx = _context(session, roster, me, manifest.run_id, emit)
        await _or_abort(session, _agree_on_currency(ctx, loaded))
        running = run_analysis(job, analysis, session, ctx, parameters, policy, own)
        outcome = await _or_abort(session, running)
        nbytes, messages = ctx.network.count()
        sent = sum(peer.bytes_sent for peer in session.statistics.values())
    if loaded is not None:
        _write(job, loaded, outcome)
    seconds |= ctx.seconds | {"total": time.perf_counter() - start}
    return _report(job, loaded, outcome) | {
        "seconds": seconds,
        "bytes_sent": nbytes | {"all_with_framing": sent},
        "messages_sent": messages,
        "disclosed_bits": disclosed,
        "parameters": analysis.public(parameters),
    }


def _own_input(partition: Partition, private: dict[str, Any]) -> OwnerInput:
    """Return what this bank brings; accounts asked about become vertices."""
    vertex = {
        "risk_score": partition.risk,
        "balance": partition.balance,
        "balance_known": partition.balance_known,
        "in_scope": partition.in_scope,
    }
    sources = [
        _vertices(partition, f"trace {number}", accounts)
        for number, accounts in enumerate(private.get("traces", []), start=1)
    ]
    return OwnerInput(partition.graph, vertex, {"sources": sources})


def _vertices(partition: Partition, question: str, accounts: list[str]) -> NDArray[np.int64]:
    """Return the vertices of own accounts; the error says which one is none, not its id."""
    wanted = pa.array([canonical_account(a) for a in accounts], partition.accounts.type)
    found = pc.index_in(wanted, partition.accounts)
    if found.null_count:
        number = found.is_null().to_pylist().index(True) + 1
        raise ParameterError(
            f"account number {number} of {question} is no account of {partition.bank}",
            "Check its spelling, and that it is this bank's own",
        )
    return np.asarray(found.to_numpy(), np.int64)


async def _or_abort(session: Session, running: Awaitable[_T]) -> _T:
    """Await a step; tell the others by a code if it ends for a reason of our own."""
    try:
        return await running
    except (EngineError, UndercurrentError) as error:
        session.abort(error.code)
        raise


async def _agree_on_currency(ctx: Context, loaded: _Loaded | None) -> None:
    """Refuse to add up amounts in different base currencies; a bank's base currency is public."""
    name = (loaded.base_currency or "") if loaded is not None else ""
    own = np.array([int.from_bytes(name.encode()[:7], "big")], np.int64)
    published = await ctx.network.gather_published(("currency",), own)
    used = {int(code[0]) for code in published.values()} - {0}
    if len(used) > 1:
        names = sorted(
            code.to_bytes(7, "big").strip(b"\x00").decode("ascii", "replace") for code in used
        )
        raise CurrencyError(
            f"the banks' amounts are in different currencies: {', '.join(names)}",
            "Set base_currency and rates in dataset.toml",
        )


def _roster(job: Job) -> Roster:
    members = job.manifest.members
    owners = tuple(i for i, member in enumerate(members) if member.role == "bank")
    roster = Roster(tuple(member.id for member in members), owners)
    if job.party not in roster.ids:
        raise ParameterError(
            f"party {job.party} is not a member of the run", "Check the manifest's members"
        )
    is_bank = members[roster.ids.index(job.party)].role == "bank"
    if is_bank != (job.data is not None):
        raise ParameterError(
            f"party {job.party} {'has no data' if is_bank else 'is a compute party but has data'}",
            "Give data to banks and to nobody else",
        )
    return roster


def _load(job: Job, window: Window, emit: Emit) -> _Loaded | None:
    if job.data is None:
        return None
    emit({"event": "progress", "phase": "load", "done": 0, "total": 1})
    banks = [member.id for member in job.manifest.members if member.role == "bank"]
    data = _read(job.data, job.party, banks, job.out / "rejected.csv")
    partition = build_partition(
        data,
        job.party,
        banks,
        since=window.since,
        until=window.until,
        slice_us=window.slice_us,
    )
    if job.data.outcomes is not None:
        from alerts import merged_risk  # Loads far more than the other workers need.

        outcomes = pq.read_table(job.data.outcomes)
        risk = merged_risk(partition.accounts, partition.risk, outcomes)
        partition = replace(partition, risk=risk)
    emit({"event": "progress", "phase": "load", "done": 1, "total": 1})
    loaded = _Loaded(data.counts, data.base_currency, partition)
    del data
    pa.default_memory_pool().release_unused()
    return loaded


def _read(source: DataSource, party: str, banks: list[str], rejected: Path) -> BankData:
    """Return the bank's data: made up for a rehearsal, as its node took it in, or a data set's."""
    if source.rehearsal is not None:
        made_up = source.rehearsal
        return rehearsal_data(made_up.seed, banks, party, since=made_up.since, until=made_up.until)
    if source.files is not None:
        return read_taken(source.folder, source.files, party, source.base_currency)
    return read_bank(
        source.folder,
        party,
        base_currency=source.base_currency,
        rates=source.rates,
        rejected=rejected,
    )


def _session_config(job: Job, me: int) -> SessionConfig:
    manifest = job.manifest
    return SessionConfig(
        run_id=manifest.run_id,
        consortium=manifest.consortium,
        me=me,
        members=tuple(Member(m.id, m.host, m.port, m.certificate) for m in manifest.members),
        certificate=job.credentials.certificate,
        private_key=job.credentials.private_key,
        authority=job.credentials.authority,
        bind=job.bind,
        listen_fd=job.listen_fd,
        deadlines=SessionDeadlines(
            start=job.deadlines.start,
            silence=job.deadlines.silence,
            receive=job.deadlines.receive,
        ),
    )


def _context(session: Session, roster: Roster, me: int, run_id: str, emit: Emit) -> Context:
    seeds = {peer: session.seed(peer) for peer in range(roster.parties) if peer != me}

    def progress(phase: str, done: int, total: int) -> None:
        emit({"event": "progress", "phase": phase, "done": done, "total": total})

    return Context(
        me=me,
        roster=roster,
        network=Network(me, roster.parties, session),
        streams=SeededStreams(me, seeds, run_id),
        progress=progress,
    )


def _write(job: Job, loaded: _Loaded, outcome: Outcome) -> None:
    partition = loaded.partition
    if outcome.table is not None:
        decimals = minor_units(loaded.base_currency)
        write_trace(job.out / "trace.csv", partition.accounts, outcome.table, decimals)
    elif outcome.result is not None:
        accounts = partition.accounts
        if outcome.vertices is not None:
            accounts = accounts.take(pa.array(outcome.vertices))
        write_result(job.out / "scores.csv", accounts, outcome.result)
    if outcome.unmatched is not None and outcome.unmatched.any():
        write_unmatched(
            job.out / "unmatched.csv", partition.accounts, partition.graph, outcome.unmatched
        )


def _report(job: Job, loaded: _Loaded | None, outcome: Outcome) -> dict[str, Any]:
    """Return counts and sizes of this party for the record of the run."""
    counts: dict[str, Any] = {"accounts": 0, "edges": 0}
    if loaded is not None:
        ingest = loaded.counts
        counts = {
            "accounts": len(loaded.partition.accounts),
            "edges": consortium_edges(loaded.partition),
            "ingest": {
                "accounts": ingest.accounts,
                "accounts_only_in_payments": ingest.accounts_only_in_payments,
                "transactions": ingest.transactions,
                "rounded": ingest.rounded,
                "rejected": dict(ingest.rejected),
            },
        }
    return counts | {
        "party": job.party,
        "iterations": outcome.iterations,
        "accuracy": outcome.accuracy,
        "padded_sizes": outcome.padded_sizes,
        "reconciliation": outcome.reconciliation,
        "released": _released(outcome),
        "peak_memory_bytes": _peak_memory(),
        "versions": versions(),
    }


def _released(outcome: Outcome) -> dict[str, int]:
    """Return what this party in fact learned: values, and the bits that they hold."""
    if outcome.result is None:
        return {"values": 0, "bits": 0}
    return {"values": int(outcome.result.values.size), "bits": outcome.result.released_bits()}


def _peak_memory() -> int:
    """Return the most memory that this process has had, in bytes."""
    # On Linux getrusage counts what the parent had when it started us; the status file does not.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _describe(error: Exception) -> dict[str, Any]:
    """Return the event for an error; only errors made for users are told in words."""
    if isinstance(error, Aborted) and isinstance(error.__cause__, Exception):
        return _describe(error.__cause__)  # Why this party ended the run for all.
    if isinstance(error, UndercurrentError):
        return _failed(error.code, error.message, error.remedy, None, error.exit_code)
    if isinstance(error, EngineError):
        return _failed(error.code, error.message, error.remedy, None, error.exit_code)
    if isinstance(error, PeerError):
        told = _failed(error.code, error.message, error.remedy, error.peer, 4)
        return told | {"reporter": error.reporter}
    if isinstance(error, SessionError):
        return _failed(error.code, error.message, error.remedy, None, 1)
    if isinstance(error, OSError) and error.filename is not None:
        problem = f"{error.filename}: {error.strerror}"
        return _failed("worker.file", problem, "Check the path, its access and the disk", None, 1)
    traceback.print_exc()
    kind = type(error).__name__
    return _failed("worker.internal", f"unexpected {kind}", "See the worker's log", None, 1)


def _failed(
    code: str, message: str, remedy: str, peer: str | None, exit_code: int
) -> dict[str, Any]:
    return {
        "event": "failed",
        "code": code,
        "message": message,
        "remedy": remedy,
        "peer": peer,
        "exit_code": exit_code,
    }


if __name__ == "__main__":
    sys.exit(main())
