"""Starting the workers of a node and keeping what they leave until it is stored.

::

    NODE/runs/<run>-<attempt>/       results of an attempt, durable once report.json is there
    NODE/columns/<run>-<attempt>/    prepared columns, of a preparation

A worker reads the payments that the database lists; while it does, nothing is taken in.
"""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bank_node.consortium import SignedAgreement
from bank_node.identity import find_credentials
from bank_node.job import DataSource, Deadlines, Rehearsal
from bank_node.node.compute import (
    Attempt,
    StagedResult,
    compute,
    finish,
    listen,
    progress_of,
    read_report,
    read_result,
    sync_tree,
)
from bank_node.node.config import NodeConfig
from bank_node.node.errors import NoAgreementError
from bank_node.node.open_run import OpenRun
from bank_node.node.statement import Progress

__all__ = ["WorkerRunner", "rehearsed_window"]

_DAY = 86_400_000_000
_REHEARSED_DAYS = 28


class WorkerRunner:
    """The workers of one node.

    Args:
        config: the node's configuration.
        day_files: names of the day files that the database lists.
        columns_of: folder of the columns of a preparation, or None.
        is_usable: whether the database lists the columns of a preparation for use.
        outcomes: risk scores (account, risk_score) of closed cases, where the bank feeds them back.
    """

    def __init__(
        self,
        config: NodeConfig,
        day_files: Callable[[], list[str]],
        columns_of: Callable[[str], Path | None],
        is_usable: Callable[[str], bool],
        outcomes: Callable[[], pa.Table | None],
    ) -> None:
        self.data_in_use = asyncio.Lock()
        self._config = config
        self._day_files = day_files
        self._columns_of = columns_of
        self._is_usable = is_usable
        self._outcomes = outcomes

    def is_free(self) -> bool:
        """Return whether nothing is being taken in or read."""
        return not self.data_in_use.locked()

    def sweep(self, runs: Collection[str]) -> None:
        """Remove what attempts have left of other runs than these: results hold accounts."""
        for folder in _folders(self._config.staging):
            if folder.name.rpartition("-")[0] not in runs:
                shutil.rmtree(folder, ignore_errors=True)
        for folder in _folders(self._config.columns):
            preparation = folder.name.rpartition("-")[0]
            if preparation not in runs and not self._is_usable(preparation):
                shutil.rmtree(folder, ignore_errors=True)

    def listen(self) -> socket.socket:
        """Return a listening socket on a free port of this node's range."""
        node = self._config.node
        return listen(node.bind, node.port, node.port_count)

    async def compute(
        self, run: OpenRun, signed: SignedAgreement, on_progress: Callable[[Progress], None]
    ) -> dict[str, Any]:
        """Run this node's worker; its result is durable when this returns."""
        reading = _Held(self.data_in_use)
        await reading.take()

        def on_event(event: dict[str, Any]) -> None:
            progress = progress_of(event)
            if progress is None:
                return
            if progress.phase != "load" or progress.done >= progress.total:
                reading.let_go()
            on_progress(progress)

        try:
            attempt = await asyncio.to_thread(self._attempt, run, signed)
            report = await compute(run.manifest, self._config.node.id, attempt, on_event)
            if run.manifest.prepare_runs:
                await asyncio.to_thread(sync_tree, self.columns(run))
            await asyncio.to_thread(finish, attempt.out, report)
        finally:
            reading.let_go()
            if run.listener is not None:
                run.listener.close()
        return report

    def staged(self, run: OpenRun) -> Mapping[str, Any] | None:
        """Return the report of a durable result of the present attempt, else None."""
        return read_report(self._folder(run))

    def result(self, run: OpenRun) -> StagedResult:
        """Return what the present attempt has left, to be stored."""
        return read_result(self._folder(run))

    def columns(self, run: OpenRun) -> Path:
        """Return the folder of the columns that the present attempt prepares."""
        return self._config.columns / f"{run.run_id}-{run.own.attempt}"

    def drop(self, run: OpenRun) -> None:
        """Remove what the run's attempts have left, but columns that are stored."""
        for folder in self._config.staging.glob(f"{run.run_id}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        if run.manifest.prepare_runs and run.own.phase != "stored":
            for folder in self._config.columns.glob(f"{run.run_id}-*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, run: OpenRun) -> Path:
        return self._config.staging / f"{run.run_id}-{run.own.attempt}"

    def _attempt(self, run: OpenRun, signed: SignedAgreement) -> Attempt:
        config, manifest = self._config, run.manifest
        own = next(m for m in signed.agreement.members if m.id == config.node.id)
        out = self._folder(run)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True, mode=0o700)
        columns = None
        if manifest.prepare_runs:
            columns = self.columns(run)
            columns.parent.mkdir(mode=0o700, exist_ok=True)
        elif manifest.columns:
            columns = self._columns_of(manifest.columns)
        if run.listener is None:
            raise NoAgreementError("the run has no port", "Propose it again")
        ports = {m: p.port for m, p in run.peers.items() if p is not None}
        return Attempt(
            agreement=signed.agreement,
            number=run.own.attempt,
            ports=ports | {config.node.id: run.own.port},
            listener=run.listener,
            credentials=find_credentials(config.keys, own.certificate),
            data=self._data(run, out) if own.role == "bank" else None,
            columns=columns,
            out=out,
            deadlines=Deadlines(
                start=config.runs.start, silence=config.runs.silence, receive=config.runs.receive
            ),
            private=run.private,
        )

    def _data(self, run: OpenRun, out: Path) -> DataSource:
        """Return what the worker reads: the payments taken in, or made-up ones for a rehearsal."""
        base = None if self._config.data is None else self._config.data.base_currency
        folder = self._config.data_folder
        if run.manifest.rehearsal:
            since, until = rehearsed_window(run.manifest.created)
            rehearsal = Rehearsal(seed=run.run_id, since=since, until=until)
            return DataSource(folder=folder, rehearsal=rehearsal)
        return DataSource(
            folder=folder,
            base_currency=base,
            files=self._day_files(),
            outcomes=self._write_outcomes(out),
        )

    def _write_outcomes(self, out: Path) -> Path | None:
        """Write what closed cases say about accounts beside the worker's results; None: nothing."""
        outcomes = self._outcomes()
        if outcomes is None or not len(outcomes):
            return None
        path = out / "outcomes.parquet"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            pq.write_table(outcomes, file)
        return path


def _folders(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []


def rehearsed_window(created: int) -> tuple[int, int]:
    """Return between which times the made-up payments of a rehearsal lie, microseconds."""
    until = created // _DAY * _DAY
    return until - _REHEARSED_DAYS * _DAY, until


class _Held:
    """A lock that is let go once, by whoever comes first."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock
        self._is_held = False

    async def take(self) -> None:
        await self._lock.acquire()
        self._is_held = True

    def let_go(self) -> None:
        if self._is_held:
            self._is_held = False
            self._lock.release()
