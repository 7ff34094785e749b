"""The database as the running node uses it: one call, one transaction, off the event loop.

Every change of a run goes with its audit entry, its charge and its result in one transaction, and
the head of the audit log is signed at the end of each.
"""

import asyncio
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import structlog
from sqlalchemy.orm import Session

from bank_node.analyses import find_analysis
from bank_node.consortium import (
    Agreement,
    Book,
    RunManifest,
    budget_of,
    parse_manifest,
)
from bank_node.errors import UndercurrentError
from bank_node.identity import SigningKey
from bank_node.node.board import MemberStatus, parse_status
from bank_node.node.compute import StagedResult
from bank_node.node.open_run import OpenRun
from bank_node.node.statement import Statement, parse_statement
from bank_node.people import sweep as sweep_sessions
from bank_node.store import (
    Database,
    audit,
    column_sets,
    ledger,
    messages,
    results,
    retention,
    slots,
)
from bank_node.store import runs as run_table
from bank_node.store.canonical import canonical
from bank_node.store.days import StoredDays
from bank_node.store.verification import Verification

__all__ = ["Entry", "Positions", "Records", "ResultRows", "columns_folder", "run_row"]

_LOG = structlog.get_logger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")
_R = TypeVar("_R", bound="Records")
_RECENT = 1000
_NUMBERS = "messages"
_ACCOUNTS = "accounts"
_AGREEMENT = "agreement"


class OnResult(Protocol):
    """What else is done in the transaction that stores a result."""

    def prepare(self, run: OpenRun, result: StagedResult) -> Callable[[Session], None]:
        """Read what is needed before the transaction; return what is done in it."""
        ...


@dataclass(frozen=True)
class Entry:
    """An entry for the audit log: who did what, about which run."""

    actor: str
    action: str
    details: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class ResultRows:
    """A stored result as rows, for people and programs."""

    columns: list[str]
    rows: list[list[Any]]


def _in_thread(
    method: Callable[Concatenate[_R, _P], _T],
) -> Callable[Concatenate[_R, _P], "asyncio.Future[_T]"]:
    """Make a method of the database one that the event loop can await."""

    @functools.wraps(method)
    async def call(self: _R, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    return call  # type: ignore[return-value]


class Records:
    """A node's database.

    Args:
        database: opened.
        book: the installed agreements, which label the budget periods.
        key: returns the key that signs the audit log now.
        own_keys: returns all public keys that have signed it.
        on_result: what else is done in the transaction that stores a result.
    """

    def __init__(
        self,
        database: Database,
        book: Book,
        key: Callable[[], SigningKey],
        own_keys: Callable[[], Sequence[str]],
        on_result: OnResult | None = None,
    ) -> None:
        self.database = database
        self._book = book
        self._key = key
        self._own_keys = own_keys
        self.on_result = on_result

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    # Runs.

    @_in_thread
    def save(
        self,
        run: OpenRun,
        entry: Entry | None,
        at: int,
        *,
        charge: Agreement | None = None,
        result: StagedResult | None = None,
    ) -> None:
        """Put a run's standing on record, with all that belongs to the same moment.

        Raises:
            StoreError: nothing of it was kept; ``BudgetExceeded`` among others.
        """
        further = self._further(run, result)
        with self.database.begin() as session:
            if not run_table.add(session, run_row(run, at)):
                row = run_row(run, at)
                run_table.change(
                    session,
                    run.run_id,
                    at,
                    phase=row.phase,
                    attempt=row.attempt,
                    reason_code=row.reason_code,
                    reason=row.reason,
                    closed=row.closed,
                    port=row.port,
                    details=row.details,
                )
            if charge is not None:
                self._charge(session, run, charge, at)
            if result is not None:
                self._store(session, run, result, at)
                further(session)
            if entry is not None:
                manifest = run.manifest
                self._append(
                    session,
                    Entry(entry.actor, entry.action, entry.details, run.run_id, manifest.digest),
                    at,
                )

    @_in_thread
    def save_peer(
        self, run_id: str, member: str, statement: Statement, sequence: int, at: int
    ) -> None:
        """Keep what a member has stated of a run."""
        with self.database.begin() as session:
            messages.save_statement(session, run_id, member, sequence, statement.content(), at)

    @_in_thread
    def open_runs(self, me: str, since: int) -> list[OpenRun]:
        """Return the runs that are open, and those that ended after a time: others may wait."""
        with self.database.read() as session:
            found = run_table.open_runs(session)
            recent = run_table.newest(session, limit=_RECENT)
            found += [r for r in recent if r.closed is not None and r.closed >= since]
            return _readable(session, found, me)

    @_in_thread
    def run(self, run_id: str, me: str) -> OpenRun | None:
        """Return a run by its id or the beginning of it; None: none, or several."""
        with self.database.read() as session:
            row = run_table.find(session, run_id)
            if row is None:
                recent = run_table.newest(session, limit=_RECENT)
                found = [r for r in recent if r.run_id.startswith(run_id)]
                row = found[0] if len(found) == 1 else None
            return None if row is None else _restored(session, row, me)

    @_in_thread
    def find(self, run_id: str, me: str) -> OpenRun | None:
        """Return a run by its whole id."""
        with self.database.read() as session:
            row = run_table.find(session, run_id)
            return None if row is None else _restored(session, row, me)

    @_in_thread
    def runs(self, limit: int, me: str) -> list[OpenRun]:
        """Return the newest runs."""
        with self.database.read() as session:
            return _readable(session, run_table.newest(session, limit=limit), me)

    @_in_thread
    def is_closed(self, run_id: str) -> bool:
        """Return whether a run of that id is over here."""
        with self.database.read() as session:
            row = run_table.find(session, run_id)
            return row is not None and row.closed is not None

    @_in_thread
    def result(self, run_id: str) -> ResultRows:
        """Return what a run released to this node."""
        with self.database.read() as session:
            trace = results.trace_of(session, run_id)
            if trace.num_rows:
                named = [n for n in trace.column_names if trace[n].null_count < trace.num_rows]
                rows = trace.select(named).to_pydict()
                return ResultRows(named, [list(r) for r in zip(*rows.values(), strict=True)])
            scores = results.scores_of(session, run_id)
            pairs = zip(scores["account"].to_pylist(), scores["value"].to_pylist(), strict=True)
            return ResultRows(["account", "value"], [list(pair) for pair in pairs])

    @_in_thread
    def forget(self, before: int, at: int) -> int:
        """Remove runs that ended before a time and old audit entries; return how many runs."""
        with self.database.begin() as session:
            gone = retention.forget(session, before)
            messages.forget_positions(session)
            audit.prune(session, self._key(), before, at=at, public_keys=self._own_keys())
            return gone.runs

    @_in_thread
    def end_sessions(self, at: int) -> None:
        """Remove people's sessions that are over."""
        with self.database.begin() as session:
            sweep_sessions(session, at)

    # Budgets and columns.

    @_in_thread
    def budget_left(self, agreement: Agreement, now: int) -> dict[str, int]:
        """Return what is left of each bank's budget in the present period."""
        label, _begin, _end = self._book.period(now)
        with self.database.read() as session:
            return ledger.left(session, label, _budgets(agreement))

    @_in_thread
    def prepared_for(self, analysis: str, public: Mapping[str, Any]) -> str:
        """Return the id of a preparation whose columns fit, or nothing."""
        with self.database.read() as session:
            found = column_sets.usable(session, analysis, _purpose(analysis, public))
            return "" if found is None else found.preparation

    # Schedule, agreement, members.

    @_in_thread
    def has_slot(self, schedule: str, slot: str) -> bool:
        """Return whether a slot has got its run."""
        with self.database.read() as session:
            return slots.run_of(session, schedule, slot) is not None

    def is_usable(self, preparation: str) -> bool:
        """Return whether the columns of a preparation may still be used."""
        with self.database.read() as session:
            found = column_sets.find(session, preparation)
            return found is not None and found.left > 0

    @_in_thread
    def owner(self) -> str:
        """Return whose node last started on this database; empty: none did."""
        with self.database.read() as session:
            last = audit.head(session)
            after = max((last.number if last else 0) - _RECENT, 0)
            found = audit.entries(session, after=after, limit=_RECENT)
        return next((e.actor for e in reversed(found) if e.action == "node.started"), "")

    @_in_thread
    def claim_slot(self, schedule: str, slot: str, run_id: str, at: int) -> bool:
        """Claim a slot for its run; false if it has one."""
        with self.database.begin() as session:
            return slots.claim(session, schedule, slot, run_id, at)

    @_in_thread
    def last_version(self) -> int:
        """Return the version of the agreement that was last noted; 0: none was."""
        with self.database.read() as session:
            return messages.counter(session, _AGREEMENT)

    @_in_thread
    def note_agreement(self, version: int, entry: Entry, at: int, *, discard: bool) -> None:
        """Note that a version came into effect, and that prepared columns must not be used."""
        with self.database.begin() as session:
            messages.set_counter(session, _AGREEMENT, version)
            if discard:
                column_sets.discard_all(session, at)
            self._append(session, entry, at)

    @_in_thread
    def save_status(self, member: str, status: MemberStatus, sequence: int) -> None:
        """Keep what a member says of itself."""
        content = {k: v for k, v in vars(status).items() if k != "at"}
        with self.database.begin() as session:
            messages.save_peer(session, member, sequence, content, status.at)

    @_in_thread
    def statuses(self) -> list[tuple[str, MemberStatus]]:
        """Return what each member last said of itself."""
        with self.database.read() as session:
            said = messages.peers(session).values()
        parsed = [(s.member, parse_status(s.content, s.at)) for s in said]
        return [(member, status) for member, status in parsed if status is not None]

    def next_sequence(self) -> int:
        """Return the next number for a connection; never the same twice."""
        with self.database.begin() as session:
            return messages.next_number(session, _NUMBERS)

    # Payments.

    def days(self) -> StoredDays:
        """Return the list of what was taken in."""
        return StoredDays(self.database)

    def day_files(self) -> list[str]:
        """Return the names of the files that count."""
        return [entry.file for entry in self.days().listed()]

    @_in_thread
    def accounts(self) -> int | None:
        """Return how many own accounts there are; None: nothing was taken in yet."""
        with self.database.read() as session:
            return messages.counter(session, _ACCOUNTS) - 1 if self._has_accounts(session) else None

    @_in_thread
    def set_accounts(self, accounts: int) -> None:
        """Keep how many own accounts there are."""
        with self.database.begin() as session:
            messages.set_counter(session, _ACCOUNTS, accounts + 1)

    # The audit log.

    @_in_thread
    def append(self, entry: Entry, at: int) -> None:
        """Add an entry to the audit log."""
        with self.database.begin() as session:
            self._append(session, entry, at)

    def append_in(self, session: Session, entry: Entry, at: int) -> None:
        """Add an entry to the audit log within a transaction of the caller's."""
        self._append(session, entry, at)

    def verify_log(self) -> Verification:
        """Return whether the audit log is what was written."""
        with self.database.read() as session:
            return audit.verify(session, self._own_keys())

    # Parts of the transactions.

    def _append(self, session: Session, entry: Entry, at: int) -> None:
        told: dict[str, Any] = {"actor": entry.actor, "action": entry.action}
        told |= {"run_id": entry.run_id, "digest": entry.digest}
        audit.append(session, at=at, details=entry.details, **told)
        audit.sign_head(session, self._key(), at, self._own_keys())

    def _further(self, run: OpenRun, result: StagedResult | None) -> Callable[[Session], None]:
        """Return what is to be done with a result beside storing it."""
        is_real = not (run.manifest.prepare_runs or run.manifest.rehearsal)
        if result is None or self.on_result is None or not is_real:
            return lambda _session: None
        return self.on_result.prepare(run, result)

    def _charge(self, session: Session, run: OpenRun, agreement: Agreement, at: int) -> None:
        label, _begin, _end = self._book.period(at)
        attempt, budgets = run.own.attempt, _budgets(agreement)
        ledger.charge(session, run.run_id, attempt, run.bits, label, budgets, at)
        if run.manifest.columns:
            column_sets.mark_used(session, run.manifest.columns)

    def _store(self, session: Session, run: OpenRun, result: StagedResult, at: int) -> None:
        manifest = run.manifest
        if manifest.prepare_runs:
            analysis = find_analysis(manifest.analysis)
            public = analysis.public(analysis.parse(manifest.parameters))
            purpose = _purpose(manifest.analysis, public)
            runs = manifest.prepare_runs
            columns = column_sets.ColumnSet(
                run.run_id, manifest.analysis, purpose, runs, used=0, created=at
            )
            column_sets.add(session, columns)
        elif not manifest.rehearsal:
            if result.trace is not None:
                results.store_trace(session, run.run_id, result.trace)
            elif result.accounts is not None and result.values is not None:
                results.store_scores(session, run.run_id, result.accounts, result.values)

    @staticmethod
    def _has_accounts(session: Session) -> bool:
        return messages.counter(session, _ACCOUNTS) > 0


class Positions:
    """The positions of the others' messages in the database, for the bus's guard."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self, sender: str, topic: str) -> tuple[int, str] | None:
        """Return number and nonce of the last message that was handled."""
        with self._database.read() as session:
            return messages.last_position(session, sender, topic)

    def save(self, sender: str, topic: str, sequence: int, nonce: str) -> None:
        """Put these in its place."""
        with self._database.begin() as session:
            messages.save_position(session, sender, topic, sequence, nonce)


def columns_folder(columns: Path, preparation: str) -> Path | None:
    """Return the folder of the columns of a preparation; None: it is not there."""
    return next(iter(sorted(columns.glob(f"{preparation}-*"))), None)


def _budgets(agreement: Agreement) -> dict[str, int]:
    return {bank: budget_of(agreement, bank) for bank in agreement.banks}


def _purpose(analysis: str, public: Mapping[str, Any]) -> str:
    """Return the digest of what prepared columns are for."""
    text = canonical({"analysis": analysis, "parameters": {k: str(v) for k, v in public.items()}})
    return hashlib.sha256(text.encode()).hexdigest()


def run_row(run: OpenRun, at: int) -> run_table.Run:
    """Return a run as it is stored."""
    manifest, own = run.manifest, run.own
    return run_table.Run(
        run_id=run.run_id,
        manifest=manifest.canonical().decode(),
        digest=manifest.digest,
        analysis=manifest.analysis,
        policy=manifest.policy,
        proposer=manifest.proposer,
        schedule=manifest.schedule,
        slot=manifest.slot,
        rehearsal=manifest.rehearsal,
        phase=own.phase,
        created=manifest.created,
        expires=manifest.expires,
        updated=at,
        attempt=own.attempt,
        reason_code=own.code,
        reason=own.reason,
        closed=run.since if own.is_final else None,
        port=own.port or None,
        details=run.details(),
    )


def _readable(session: Session, rows: Sequence[run_table.Run], me: str) -> list[OpenRun]:
    """Return the runs of rows; one that cannot be read must not keep the node from the others."""
    found = []
    for row in rows:
        try:
            found.append(_restored(session, row, me))
        except (UndercurrentError, ValueError, KeyError, TypeError):
            _LOG.exception("run_unreadable", run_id=row.run_id)
    return found


def _restored(session: Session, row: run_table.Run, me: str) -> OpenRun:
    manifest: RunManifest = parse_manifest(row.manifest)
    said = messages.statements_of(session, row.run_id)
    peers: dict[str, Statement | None] = {m.id: None for m in manifest.members if m.id != me}
    peers |= {m: parse_statement(s.content) for m, s in said.items() if m in peers}
    return OpenRun.restored(manifest, row.details, peers)
