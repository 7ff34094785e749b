"""Starting workers and listening to them: the one way in which a joint run is started on a machine.

Each job goes to a process of its own on its standard input, which stays open as the worker's
lifeline: when the launcher dies, however suddenly, the workers see it closed and end.  The first
failure ends the others after a grace period; no process is left when ``run_workers`` returns or
raises.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

from bank_node.errors import UndercurrentError
from bank_node.job import Job

__all__ = ["WorkerExit", "WorkersFailedError", "run_workers"]

_LINE_LIMIT = 1 << 22
# Seconds: beyond the workers' deadlines; for those that the others gave up; for those that can tell
# nothing new.
_MARGIN = 5.0
_GIVEN_UP = 3.0
_MOMENT = 1.0

OnEvent = Callable[[str, dict[str, Any]], None]
OnStart = Callable[[dict[str, int]], None]
Wrap = Callable[[Job], Sequence[str]]


@dataclass(frozen=True)
class WorkerExit:
    """How one worker ended.

    Attributes:
        party: id of its party.
        status: exit status; negative: killed by that signal.
        report: its report if it finished.
        failure: its ``failed`` event if it failed.
    """

    party: str
    status: int
    report: dict[str, Any] | None
    failure: dict[str, Any] | None


class WorkersFailedError(UndercurrentError):
    """A joint run failed; the message names the party and the cause."""

    code = "run.failed"

    def __init__(self, message: str, remedy: str, exit_code: int, exits: list[WorkerExit]) -> None:
        super().__init__(message, remedy)
        self.exit_code = exit_code
        self.exits = exits


# One worker has one computing thread.  Big arrays stay with the allocator instead of going back to
# the system after each step: page faults took up to a third of the time of a preparation.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


def _environment() -> dict[str, str]:
    """Return a worker's environment: without what may hold passwords of the node."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_WITHHELD) or k == _LOG_LEVEL}
    return kept | _ENVIRONMENT


_LOG_LEVEL = "UNDERCURRENT_LOG"
_WITHHELD = ("UNDERCURRENT_", "PG")
_NO_EVENT: dict[str, Any] = {
    "event": "failed",
    "code": "worker.output",
    "message": "the worker's standard output is not its own",
    "remedy": "Let nothing else write there: a command in front of the worker, for example",
    "peer": None,
    "exit_code": 1,
}


def _event_of(line: bytes) -> dict[str, Any]:
    """Return the event of a line; a line that holds none is a failure."""
    try:
        event = json.loads(line)
    except ValueError:
        return _NO_EVENT
    return event if isinstance(event, dict) and "event" in event else _NO_EVENT


@dataclass
class _Worker:
    job: Job
    process: asyncio.subprocess.Process
    log: IO[bytes]
    report: dict[str, Any] | None = None
    failure: dict[str, Any] | None = None

    async def listen(self, on_event: OnEvent) -> WorkerExit:
        """Pass the worker's events on until it ends."""
        if self.process.stdout is None:
            raise ValueError("a worker's standard output is a pipe")
        async for line in self.process.stdout:
            event = _event_of(line)
            if event["event"] == "finished":
                self.report = event["report"]
            elif event["event"] == "failed":
                self.failure = event
            on_event(self.job.party, event)
            if event is _NO_EVENT:
                _kill(self, signal.SIGKILL)
                break
        status = await self.process.wait()
        return WorkerExit(self.job.party, status, self.report, self.failure)

    def last_log_line(self) -> str:
        """Return the end of the worker's log, for a worker that died without a word."""
        self.log.seek(0)
        lines = self.log.read()[-2000:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


async def run_workers(
    jobs: Sequence[Job],
    *,
    on_event: OnEvent = lambda _party, _event: None,
    on_start: OnStart = lambda _pids: None,
    wrap: Wrap = lambda _job: (),
) -> list[WorkerExit]:
    """Run one worker for each job and return how they ended, if all finished.

    Args:
        jobs: one per party.
        on_event: called with (party, event) for each line of a worker.
        on_start: called once with the process id of each party's worker.
        wrap: command to put in front of a worker's own, for example a sandbox.

    Raises:
        WorkersFailedError: a worker failed; all have ended.
    """
    workers: list[_Worker] = []
    try:
        for job in jobs:
            workers.append(await _start(job, wrap(job)))  # noqa: PERF401  # kept for clean-up
        on_start({w.job.party: w.process.pid for w in workers})
        exits = await _listen_to_all(workers, on_event)
    finally:
        await asyncio.shield(_end_all(workers))
    if any(e.report is None for e in exits):
        raise _explain(exits, {w.job.party: w.last_log_line() for w in workers})
    return exits


async def _start(job: Job, prefix: Sequence[str]) -> _Worker:
    # The log is read back after the worker's end only, and goes away with its handle.
    log = tempfile.TemporaryFile()  # noqa: SIM115
    process = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-m",
        "bank_node.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        limit=_LINE_LIMIT,
        start_new_session=True,
        pass_fds=() if job.listen_fd is None else (job.listen_fd,),
        env=_environment(),
    )
    if process.stdin is None:
        raise ValueError("a worker's standard input is a pipe")
    process.stdin.write(job.model_dump_json().encode() + b"\n")
    with contextlib.suppress(ConnectionError):
        await process.stdin.drain()
    return _Worker(job, process, log)


async def _listen_to_all(workers: list[_Worker], on_event: OnEvent) -> list[WorkerExit]:
    """Wait for all of them to end; see ``_wait_for_all`` for how long."""
    listening = {asyncio.ensure_future(w.listen(on_event)): w for w in workers}
    try:
        await _wait_for_all(listening)
    finally:
        for task in listening:
            task.cancel()
    return [task.result() for task in listening]


async def _wait_for_all(listening: "dict[asyncio.Task[WorkerExit], _Worker]") -> None:
    """Wait; after a first failure the others have their deadlines to end by themselves.

    They have less time when that would tell nothing new: a moment when a worker has told a cause
    of its own, such as wrong input, and a little more when only those are left that the others gave
    up, which may be stopped for ever.
    """
    loop = asyncio.get_running_loop()
    pending: set[asyncio.Task[WorkerExit]] = set(listening)
    end: float | None = None
    while pending:
        timeout = None if end is None else max(end - loop.time(), 0.0)
        done, pending = await asyncio.wait(
            pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            await _end(pending, listening)
            return
        ended = [task.result() for task in listening if task.done()]
        if any(e.report is None for e in ended):
            grace = _patience(ended, [listening[task] for task in pending])
            end = min(loop.time() + grace, end or float("inf"))


def _patience(ended: list[WorkerExit], left: list[_Worker]) -> float:
    """Return the seconds that are left to workers after a failure."""
    named = {e.failure["peer"] for e in ended if e.failure is not None}
    if None in named:
        return _MOMENT
    if {worker.job.party for worker in left} <= named:
        return _GIVEN_UP
    deadlines = [worker.job.deadlines for worker in left]
    return max(max(d.silence, d.start) for d in deadlines) + _MARGIN


async def _end(
    pending: "set[asyncio.Task[WorkerExit]]", listening: "dict[asyncio.Task[WorkerExit], _Worker]"
) -> None:
    """Ask workers to end, then make them."""
    for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, None)):
        for task in pending:
            _kill(listening[task], number)
        if pending:
            _done, pending = await asyncio.wait(pending, timeout=patience)


async def _end_all(workers: list[_Worker]) -> None:
    """Ask every worker that is left to end, then make it."""
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0)):
        left = [w for w in workers if w.process.returncode is None]
        for worker in left:
            _kill(worker, number)
        if left:
            waits = [asyncio.ensure_future(w.process.wait()) for w in left]
            await asyncio.wait(waits, timeout=patience)
    for worker in workers:
        if worker.process.stdin is not None:
            worker.process.stdin.close()


def _kill(worker: _Worker, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.process.pid, number)


def _explain(exits: list[WorkerExit], logs: dict[str, str]) -> WorkersFailedError:
    """Return one line for all: the cause where it arose, or the peer that the others name."""
    causes = [e for e in exits if e.failure is not None and e.failure["peer"] is None]
    # Those that were ended because of another one's failure say no more than that.
    for cause in sorted(causes, key=lambda e: (e.failure or {})["exit_code"] == 130):
        failure = cause.failure or {}
        if failure["exit_code"] != 130 or len(causes) == len(exits):
            return WorkersFailedError(
                f"{cause.party}: {failure['message']}",
                failure["remedy"],
                failure["exit_code"],
                exits,
            )
    # What the culprit says of itself is no help, and a witness knows more than who was told.
    named = [e for e in exits if e.failure is not None and e.failure["peer"] not in (None, e.party)]
    if named:
        first = min(named, key=lambda e: (e.failure or {}).get("reporter") is not None)
        failure = first.failure or {}
        others = " and ".join(e.party for e in named)
        return WorkersFailedError(
            f"{failure['message']} (seen by {others})", failure["remedy"], 4, exits
        )
    silent = next(e for e in exits if e.report is None)
    how = f"was killed by signal {-silent.status}" if silent.status < 0 else "ended without a word"
    last = f" ({logs[silent.party]})" if logs[silent.party] else ""
    return WorkersFailedError(
        f"the worker of {silent.party} {how}{last}", "See its log, then run again", 4, exits
    )
