"""The runs of a node: judged, signed, started, stored or given up, each move on record first.

Every change of this node's standing is one transaction (standing, audit entry, ledger, result) and
is told to the others only after it is committed, so a node that dies at any moment comes back to
what it last said.  All methods take one lock: there is one move at a time; computations run beside.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import structlog

from bank_node.consortium import RunManifest, SignedAgreement, parse_manifest, sign_manifest
from bank_node.consortium.bounds import asking_banks
from bank_node.errors import UndercurrentError
from bank_node.identity import SigningKey
from bank_node.node.config import NodeConfig
from bank_node.node.errors import RunStateError, UnknownRunError
from bank_node.node.hearing import Hearing
from bank_node.node.judge import Verdict, judge, most_disclosed
from bank_node.node.machine import Limits, Move, decide
from bank_node.node.open_run import OpenRun
from bank_node.node.queue import Queue
from bank_node.node.records import Entry, Records
from bank_node.node.statement import Phase, Progress, Statement, StatementError, parse_statement
from bank_node.node.words import about, failure_of, measured, own_words, told_of
from bank_node.store.errors import BudgetExceeded, ConflictError

__all__ = ["RunKeeper", "Runner"]

_T = TypeVar("_T")
_LOG = structlog.get_logger(__name__)
_SECOND = 1_000_000
_HEARTBEAT = 30 * _SECOND
_PROGRESS = 2 * _SECOND
_LAST_WORD = 15 * _SECOND
_AGAIN = 5 * _SECOND
_JUDGE_AGAIN = 3 * _SECOND
_NO_VOTES = 7 * 86_400 * _SECOND
_MOST_OPEN = 5000
_REMEMBERED = 2 * 86_400 * _SECOND


class Runner(Protocol):
    """Starts workers and keeps what they leave; the only part that touches data."""

    def is_free(self) -> bool:
        """Return whether a worker could begin to read now, without waiting for a taking in."""
        ...

    def sweep(self, runs: Collection[str]) -> None:
        """Remove what attempts have left of other runs than these."""
        ...

    def listen(self) -> Any:
        """Return a listening socket for the next worker, or raise OSError."""
        ...

    async def compute(
        self,
        run: OpenRun,
        signed: SignedAgreement,
        on_progress: Callable[[Progress], None],
    ) -> dict[str, Any]:
        """Run the worker of the present attempt; its result is durable when this returns."""
        ...

    def staged(self, run: OpenRun) -> Mapping[str, Any] | None:
        """Return the report of a durable result of the present attempt, else None."""
        ...

    def drop(self, run: OpenRun) -> None:
        """Remove what the run's attempts have left."""
        ...

    def result(self, run: OpenRun) -> Any:
        """Return the durable result, to be stored."""
        ...


def _ignore(_run: OpenRun) -> None:
    """Let nobody know."""


class RunKeeper:
    """Keeps all runs of one node.

    Args:
        config: the node's configuration.
        records: its database.
        runner: starts workers.
        key: returns its signing key.
        agreement: the agreement in effect now, or None.
        agreement_of: the installed agreement that a manifest names, or None.
        online: whether a member has said lately that it is there.
        padded: padded number of accounts of each bank that has told it.
        publish: tells the others where this node stands in a run.
        clear: takes back what was published of a run that is over for all.
        clock: microseconds since 1970.
        observe: called after each change of this node's standing.
    """

    def __init__(
        self,
        config: NodeConfig,
        records: Records,
        runner: Runner,
        key: Callable[[], SigningKey],
        agreement: Callable[[], SignedAgreement | None],
        agreement_of: Callable[[RunManifest], SignedAgreement | None],
        online: Callable[[str], bool],
        padded: Callable[[], Mapping[str, int]],
        publish: Callable[[str, dict[str, Any], int], Awaitable[None]],
        clear: Callable[[str], Awaitable[None]],
        clock: Callable[[], int],
        observe: Callable[[OpenRun], None] = _ignore,
    ) -> None:
        self.me = config.node.id
        self.open: dict[str, OpenRun] = {}
        self._config = config
        self._records = records
        self._runner = runner
        self._key = key
        self._agreement = agreement
        self._agreement_of = agreement_of
        self._padded = padded
        self._publish = publish
        self._clear = clear
        self._clock = clock
        self._observe = observe
        self._lock = asyncio.Lock()
        self._steps: set[asyncio.Future[Any]] = set()
        self._began = clock()
        section = config.runs
        self._limits = Limits(section.attempts, min(section.start, 30.0), section.retry_after)
        self._hearing = Hearing(self._agreement_for, agreement_of, clock)
        self._queue = Queue(self.open, section.at_once, runner.is_free, online, clock)

    # What comes from outside.

    async def recover(self) -> None:
        """Take up the runs that were open when the node last ended."""
        await self._whole(self._recover())

    async def _recover(self) -> None:
        async with self._lock:
            since = self._clock() - _REMEMBERED
            runs = await self._records.open_runs(self.me, since)
            # What a node left that died between storing a result and removing its files.
            self._runner.sweep({run.run_id for run in runs if not run.own.is_final})
            for run in runs:
                self.open[run.run_id] = run
                if run.own.phase in ("ready", "running"):
                    await self._state(
                        run, "failed", code="node.restarted", reason=f"{self.me} was restarted"
                    )
                elif run.own.phase == "computed" and self._runner.staged(run) is None:
                    await self._state(
                        run, "abandoned", code="node.result-lost", reason="the result is gone"
                    )
                if run.has_private and run.own.phase in ("judging", "consented", "failed"):
                    await self._state(run, "abandoned", **self._question_lost())

    async def receive(
        self, sender: str, topic_run: str, content: Mapping[str, Any], sequence: int
    ) -> None:
        """Take note of what a member has stated, and make the moves that follow.

        Args:
            sender: id of the member.
            topic_run: the run that the topic names.
            content: the statement, with the manifest.
            sequence: number of the message.
        """
        try:
            manifest = parse_manifest(str(content.get("manifest", "")))
            statement = parse_statement({k: v for k, v in content.items() if k != "manifest"})
        except (StatementError, UndercurrentError):
            _LOG.warning("statement_refused", member=sender)
            return
        if manifest.run_id != topic_run:
            _LOG.warning("statement_misplaced", member=sender)
            return
        await self._whole(self._receive(sender, manifest, statement, sequence))

    async def _receive(
        self, sender: str, manifest: RunManifest, statement: Statement, sequence: int
    ) -> None:
        async with self._lock:
            was_open = manifest.run_id in self.open
            run = await self._run_of(manifest, sender)
            if run is None or sender not in run.peers:
                return
            checked = self._hearing.checked(run, sender, manifest, statement)
            if checked is None:
                return
            is_news = checked != run.peers[sender]
            if run.own.is_final and (not checked.is_final or (is_news and not was_open)):
                await self._tell(run)  # It was away when this node was done, or has not heard it.
            if not is_news:
                return
            await self._records.save_peer(run.run_id, sender, checked, sequence, self._clock())
            run.peers[sender] = checked
            await self._advance(run)

    async def begin(
        self, manifest: RunManifest, person: str, private: Mapping[str, Any] | None = None
    ) -> OpenRun:
        """Open a run that this node proposes or that is due."""
        return await self._whole(self._begin(manifest, person, private))

    async def _begin(
        self, manifest: RunManifest, person: str, private: Mapping[str, Any] | None
    ) -> OpenRun:
        async with self._lock:
            known = self.open.get(manifest.run_id)
            if known is not None:
                return known
            if await self._records.is_closed(manifest.run_id):
                raise RunStateError(f"run {manifest.run_id} is over", "Propose a new one")
            run = await self._take_up(manifest, person, private or {}, is_own=True)
            await self._advance(run)
            return run

    async def approve(self, run_id: str, person: str) -> OpenRun:
        """Consent to a run that waits for a person."""
        return await self._whole(self._approve(run_id, person))

    async def _approve(self, run_id: str, person: str) -> OpenRun:
        async with self._lock:
            run = self._named(run_id, "judging")
            run.approved_by = person
            await self._advance(run)
            return run

    async def reject(self, run_id: str, reason: str, person: str) -> OpenRun:
        """Refuse a run that waits for a person, or give up one that this node has not voted for.

        Before its vote ``computed`` each member may leave: nobody stores without all votes.
        """
        return await self._whole(self._reject(run_id, reason, person))

    async def _reject(self, run_id: str, reason: str, person: str) -> OpenRun:
        async with self._lock:
            may_leave = ("judging", "consented", "ready", "running", "failed")
            run = self._named(run_id, *may_leave, *self._forced(run_id))
            if run.own.phase in ("ready", "running"):
                await self._end_attempt(run)
            phase: Phase = "refused" if run.own.phase == "judging" else "abandoned"
            told = reason or f"{self.me} does not want it"
            await self._state(run, phase, person=person, code="node.rejected", reason=told)
            await self._end_attempt(run)
            return run

    async def tick(self) -> None:
        """Make the moves that time brings, in the order of the queue, and say again what stands."""
        await self._whole(self._tick())

    async def _tick(self) -> None:
        async with self._lock:
            now = self._clock()
            for run in sorted(self.open.values(), key=lambda r: r.order):
                try:
                    await self._advance(run)
                    await self._remind(run, now)
                except Exception:
                    # Of the database, for example: the run stays where it is and is tried again.
                    run.not_before = now + _AGAIN
                    _LOG.exception("run_not_moved", run_id=run.run_id)

    async def tell_again(self) -> None:
        """Publish every standing again: a broker may have lost it."""
        async with self._lock:
            for run in self.open.values():
                await self._tell(run)

    async def _whole(self, step: Coroutine[Any, Any, _T]) -> _T:
        """Do a step to its end, even if who asked for it is cancelled meanwhile.

        Else the database could have a standing that the node does not know of.
        """
        task = asyncio.ensure_future(step)
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End the computations; their runs stand as failed when the node comes back."""
        await asyncio.gather(*self._steps, return_exceptions=True)
        tasks = [run.task for run in self.open.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for run in self.open.values():
            if run.listener is not None:
                run.listener.close()

    # Steps; the lock is held.

    async def _run_of(self, manifest: RunManifest, sender: str) -> OpenRun | None:
        """Return the run of a peer's manifest, taken up if it is new; None if it comes too late."""
        run = self.open.get(manifest.run_id)
        if run is not None:
            return run
        if len(self.open) >= _MOST_OPEN:
            _LOG.warning("too_many_runs", open=len(self.open))
            return None
        run = await self._records.find(manifest.run_id, self.me)
        if run is not None:
            self.open[run.run_id] = run
            return run
        if not self._hearing.may_be_new(manifest):
            return None
        run = await self._take_up(manifest, sender, {})
        if manifest.proposer == self.me:
            # Somebody speaks in this node's name, or its database was put back.
            reason = f"{self.me} has not proposed it"
            await self._state(run, "refused", code="node.not-proposed", reason=reason)
        return run

    async def _take_up(
        self,
        manifest: RunManifest,
        person: str,
        private: Mapping[str, Any],
        *,
        is_own: bool = False,
    ) -> OpenRun:
        members = [m.id for m in manifest.members]
        signed = self._agreement_for(manifest)
        if signed is not None:
            members = [m.id for m in signed.agreement.members]
        peers: dict[str, Statement | None] = {m: None for m in members if m != self.me}
        run = OpenRun(manifest, Statement(), self._clock(), peers)
        # Before the first record, so that a node that dies right after it knows what is lost.
        run.private, run.has_private = private, bool(private)
        if is_own and manifest.proposer == self.me:
            run.approved_by = person  # Who proposes a run has consented to it.
        await self._save(run, Entry(person or "schedule", "run.proposed", about(manifest)))
        self.open[run.run_id] = run
        return run

    def _named(self, run_id: str, *phases: str) -> OpenRun:
        found = [run for name, run in self.open.items() if name.startswith(run_id)]
        if len(found) != 1:
            raise UnknownRunError(
                f"{len(found) or 'no'} open runs are called {run_id}",
                "See undercurrent runs list --open",
            )
        if found[0].own.phase not in phases:
            raise RunStateError(
                f"run {found[0].run_id} is {found[0].own.phase} here",
                f"This can be done while it is {' or '.join(phases)}",
            )
        return found[0]

    async def _advance(self, run: OpenRun) -> None:
        """Make all moves that can be made now."""
        while not run.own.is_final and self._clock() >= run.not_before:
            if run.own.phase == "judging":
                if self._clock() - run.judged >= _JUDGE_AGAIN or run.approved_by:
                    await self._judge(run)
            elif self._is_hopeless(run):
                reason = "the votes of all members have not come in time"
                await self._state(run, "abandoned", code="node.no-votes", reason=reason)
                await self._end_attempt(run)
            elif self._is_superseded(run):
                await self._end_attempt(run)
                await self._state(
                    run,
                    "abandoned",
                    code="consortium.superseded",
                    reason="another agreement has come into effect",
                )
            may_begin = self._config.runs.enabled and self._queue.may_begin(run)
            move = decide(run.view(self.me, may_begin=may_begin), self._clock(), self._limits)
            if move.act == "wait":
                return
            await self._execute(run, move)

    def _agreement_for(self, manifest: RunManifest) -> SignedAgreement | None:
        """Return the agreement that counts for a manifest: the one it names, else today's."""
        return self._agreement_of(manifest) or self._agreement()

    def _is_superseded(self, run: OpenRun) -> bool:
        signed = self._agreement()
        waits = run.own.phase in ("consented", "ready", "failed")
        return waits and (signed is None or signed.hash != run.manifest.agreement)

    def _is_hopeless(self, run: OpenRun) -> bool:
        """Return whether a result has waited for the others' votes for longer than any run lasts.

        A commitment that nobody can decide any more has to end somehow: a member was removed, or
        never came back.  By then somebody else may have stored; the audit logs tell.
        """
        # Counted from this node's start: the others' votes may have been said while it was down.
        waited = self._clock() - max(run.since, run.manifest.expires, self._began)
        return run.own.phase == "computed" and waited > _NO_VOTES

    async def _judge(self, run: OpenRun) -> None:
        signed = self._agreement()
        run.judged = self._clock()
        if signed is None:
            run.waiting_for = "an agreement in effect"
            return
        left = await self._records.budget_left(signed.agreement, self._clock())
        for other in self.open.values():
            if other is not run and other.own.phase in ("consented", "ready"):
                left = {bank: n - other.bits.get(bank, 0) for bank, n in left.items()}
        verdict = self._verdict(run, signed, left)
        run.bits = verdict.bits or {}
        if verdict.answer == "refuse":
            await self._state(run, "refused", code=verdict.code, reason=verdict.reason)
        elif verdict.answer == "consent" or (verdict.answer == "ask" and run.approved_by):
            run.waiting_for = ""
            signature = sign_manifest(self._key(), run.manifest)
            who = run.approved_by or "policy"
            await self._state(run, "consented", person=who, signature=signature)
        else:
            waits = "a person's approval" if verdict.answer == "ask" else verdict.reason
            if waits != run.waiting_for:
                run.waiting_for = waits
                await self._save(run, None)
                await self._tell(run)

    def _forced(self, run_id: str) -> tuple[str, ...]:
        """Return ``computed`` for a run whose agreement has ended: votes may never come."""
        signed = self._agreement()
        found = [r for name, r in self.open.items() if name.startswith(run_id)]
        ended = [r for r in found if signed is None or signed.hash != r.manifest.agreement]
        return ("computed",) if ended else ()

    def _question_lost(self) -> dict[str, Any]:
        reason = f"{self.me} was restarted; its question was kept in memory only"
        return {"code": "node.question-lost", "reason": reason}

    def _is_unasked(self, run: OpenRun) -> bool:
        """Return whether the run has a question of this bank that this bank has not asked."""
        manifest = run.manifest
        names_me = self.me in asking_banks(manifest.parameters.get("traces", ""))
        return names_me and not (run.has_private or manifest.prepare_runs or manifest.rehearsal)

    def _verdict(self, run: OpenRun, signed: SignedAgreement, left: Mapping[str, int]) -> Verdict:
        """Judge a manifest; one that the judgement cannot cope with is refused."""
        if self._is_unasked(run):
            return Verdict("refuse", "node.not-asked", f"{self.me} has not asked this question")
        try:
            return judge(run.manifest, signed, self._config, self._padded(), left, self._clock())
        except Exception:
            _LOG.exception("judgement_failed", run_id=run.run_id)
            return Verdict("refuse", "node.system", "the manifest cannot be judged")

    async def _execute(self, run: OpenRun, move: Move) -> None:
        told: dict[str, Any] = {"code": move.code, "reason": move.reason}
        if move.act == "get-ready":
            await self._get_ready(run, move.attempt)
        elif move.act == "start":
            await self._start(run)
        elif move.act in ("stop", "fail", "drop"):
            await self._end_attempt(run)
            await self._state(run, "failed", **told)
        elif move.act == "try-again":
            await self._state(run, "consented", attempt=move.attempt, started=False)
        elif move.act == "store":
            await self._store(run)
        else:
            await self._end_attempt(run)
            await self._state(run, "refused" if move.act == "refuse" else "abandoned", **told)

    async def _get_ready(self, run: OpenRun, attempt: int) -> None:
        if run.has_private and not run.private:
            await self._state(run, "abandoned", **self._question_lost())
            return
        try:
            run.listener = self._runner.listen()
        except OSError:
            _LOG.error("no_port", run_id=run.run_id)
            run.not_before = self._clock() + 5 * _SECOND
            return
        port = run.listener.getsockname()[1]
        try:
            await self._state(run, "ready", attempt=attempt, port=port, started=False)
        except UndercurrentError:
            run.listener.close()
            raise

    async def _start(self, run: OpenRun) -> None:
        """Charge the budgets, state ``running``, and start the worker."""
        signed = self._agreement()
        if signed is None or signed.hash != run.manifest.agreement or run.listener is None:
            await self._end_attempt(run)
            await self._state(run, "failed", code="node.no-agreement", reason="no agreement")
            return
        port = run.own.port
        try:
            await self._state(run, "running", charge=signed.agreement, port=port, started=True)
        except (BudgetExceeded, ConflictError) as error:
            await self._end_attempt(run)
            await self._state(run, "abandoned", code=error.code, reason=error.message)
            return
        run.task = asyncio.create_task(self._compute(run, signed))

    async def _compute(self, run: OpenRun, signed: SignedAgreement) -> None:
        """Run the worker beside everything else, and state how it ended."""
        attempt = run.own.attempt
        try:
            report = await self._runner.compute(run, signed, lambda p: self._note(run, p))
            failure = self._wrong_report(run, signed, report)
        except Exception as error:
            _LOG.exception("computation_failed", run_id=run.run_id)
            report, failure = {}, failure_of(error)
            run.trouble = own_words(error)
        while not await self._settled(run, attempt, report, failure):  # noqa: ASYNC110 - of a disk
            await asyncio.sleep(_AGAIN / _SECOND)

    async def _settled(
        self,
        run: OpenRun,
        attempt: int,
        report: Mapping[str, Any],
        failure: tuple[str, str] | None,
    ) -> bool:
        """State how a computation ended; false if that cannot be put on record now."""
        async with self._lock:
            if run.own.phase != "running" or run.own.attempt != attempt:
                return True
            try:
                if failure is None:
                    run.report, run.measured = report, measured(report)
                    await self._state(run, "computed", details=told_of(report))
                else:
                    self._runner.drop(run)
                    await self._state(run, "failed", code=failure[0], reason=failure[1])
            except UndercurrentError as error:
                run.waiting_for = "its end to be put on record"
                _LOG.error("run_not_recorded", run_id=run.run_id, code=error.code)
                return False
            run.task = None
            run.listener = None
            await self._advance(run)
            return True

    def _wrong_report(
        self, run: OpenRun, signed: SignedAgreement, report: Mapping[str, Any]
    ) -> tuple[str, str] | None:
        """Return why a finished run must not be stored: it discloses more than was charged.

        The sizes that the workers exchanged are the true ones, whatever a bank told before.
        """
        if run.manifest.rehearsal or run.manifest.prepare_runs:
            return None
        sizes = report["padded_sizes"]["accounts"]
        for bank, bits in most_disclosed(run.manifest, signed.agreement, sizes).items():
            if bits > run.bits.get(bank, 0):
                return "node.size-changed", f"{bank} has more accounts than it told"
        return None

    def _note(self, run: OpenRun, progress: Progress) -> None:
        """Take note of a worker's progress; it is told with the next reminder."""
        if run.own.phase == "running":
            run.own = replace(run.own, progress=progress)

    async def _end_attempt(self, run: OpenRun) -> None:
        """End the worker of an attempt and remove what it left."""
        if run.task is not None:
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)
            run.task = None
        if run.listener is not None:
            run.listener.close()
            run.listener = None
        self._runner.drop(run)

    async def _store(self, run: OpenRun) -> None:
        """Store the result; what cannot be stored now is tried again, for all have voted."""
        if self._runner.staged(run) is None:
            await self._state(
                run, "abandoned", code="node.result-lost", reason="the result is gone"
            )
            return
        try:
            result = await asyncio.to_thread(self._runner.result, run)
            await self._state(run, "stored", result=result)
        except Exception:
            run.not_before = self._clock() + _AGAIN
            run.waiting_for = "its result to be stored"
            _LOG.exception("store_failed", run_id=run.run_id)
            return
        self._runner.drop(run)

    async def _state(
        self,
        run: OpenRun,
        phase: Phase,
        *,
        person: str = "",
        charge: Any = None,
        result: Any = None,
        details: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        """Put this node's new standing on record, then tell the others."""
        own = run.own.moved(phase, **changes)
        stands = replace(
            run,
            own=own,
            since=self._clock(),
            tries=run.tries + (phase == "running"),
            waiting_for="" if own.is_final else run.waiting_for,
        )
        entry = Entry(
            person or self.me,
            f"run.{phase}",
            {"attempt": own.attempt}
            | {k: v for k, v in (("code", own.code), ("reason", own.reason)) if v}
            | ({"bits": dict(run.bits)} if charge is not None else {})
            | dict(details or {}),
        )
        await self._save(stands, entry, charge=charge, result=result)
        # Nobody is told what is not on record yet, this node's own people included.
        run.own, run.since, run.tries = stands.own, stands.since, stands.tries
        run.waiting_for = stands.waiting_for
        _LOG.info(
            "run",
            run_id=run.run_id,
            phase=phase,
            attempt=run.own.attempt,
            code=run.own.code or None,
        )
        self._observe(run)
        await self._tell(run)

    async def _save(
        self, run: OpenRun, entry: Entry | None, *, charge: Any = None, result: Any = None
    ) -> None:
        await self._records.save(run, entry, self._clock(), charge=charge, result=result)

    async def _tell(self, run: OpenRun) -> None:
        run.told = self._clock()
        content = run.own.content() | {"manifest": run.manifest.canonical().decode()}
        await self._publish(run.run_id, content, run.manifest.expires)

    async def _remind(self, run: OpenRun, now: int) -> None:
        """Say again what stands: progress often, the rest seldom; forget what is over for all."""
        is_late = now > min(run.manifest.expires, run.since + _REMEMBERED) + 3600 * _SECOND
        # The last word stays for a while, so that it reaches the others before it is taken back.
        has_stood = now - max(run.since, run.told) > _LAST_WORD
        if run.own.is_final and has_stood and (run.is_over_for_all or is_late):
            await self._clear(run.run_id)
            del self.open[run.run_id]
            return
        pause = _PROGRESS if run.own.progress is not None else _HEARTBEAT
        if now - run.told >= pause:
            await self._tell(run)
