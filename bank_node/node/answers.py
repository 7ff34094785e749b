"""What the running node answers to its own people: the commands of the control socket."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from bank_node.analyses import find_analysis
from bank_node.consortium import (
    AnalysisRule,
    RunManifest,
    SignedAgreement,
    budget_of,
    proposed_manifest,
)
from bank_node.consortium.bounds import has_window
from bank_node.consortium.canonical import moment_text
from bank_node.errors import ParameterError
from bank_node.ingest import canonical_account, canonical_bank
from bank_node.node.accounts import look_up
from bank_node.node.board import Board
from bank_node.node.config import NodeConfig
from bank_node.node.control import KeepQuestion, Proposal, Question
from bank_node.node.errors import (
    NoAgreementError,
    OutOfScopeError,
    RunStateError,
    UnknownRunError,
)
from bank_node.node.keeper import RunKeeper
from bank_node.node.open_run import OpenRun
from bank_node.node.records import Entry, Records
from bank_node.node.runner import rehearsed_window
from bank_node.node.taking import Taking
from bank_node.versions import versions

__all__ = ["Answers"]

_TRACE = "trace"
_VALID = 3_600_000_000


class Answers:
    """The commands of one node; ``Controlled`` of the control socket.

    Args:
        config: the node's configuration.
        records: its database.
        keeper: its runs.
        board: the members' statuses.
        taking: its data source.
        agreement: the agreement in effect, or None.
        why_not: why there is none.
        connected: whether the broker is reached.
        period: label, begin and end of the budget period of a time.
        clock: microseconds since 1970.
    """

    def __init__(
        self,
        config: NodeConfig,
        records: Records,
        keeper: RunKeeper,
        board: Board,
        taking: Taking,
        agreement: Callable[[], SignedAgreement | None],
        why_not: Callable[[], str],
        connected: Callable[[], bool],
        period: Callable[[int], tuple[str, int, int]],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._records = records
        self._keeper = keeper
        self._board = board
        self._taking = taking
        self._agreement = agreement
        self._why_not = why_not
        self._connected = connected
        self._period = period
        self._clock = clock

    async def status(self) -> dict[str, Any]:
        """Return who the node is and how it stands."""
        signed, now = self._agreement(), self._clock()
        told: dict[str, Any] = {
            "node": self._config.node.id,
            "role": self._config.node.role,
            "consortium": self._config.node.consortium,
            "version": versions()["undercurrent"],
            "broker": {"url": self._config.broker.url, "connected": self._connected()},
            "agreement": None,
            "no_agreement": self._why_not(),
            "members": {},
            "runs": self._count(),
            "accounts": await self._records.accounts(),
            "intake_problem": self._taking.problem,
            "at": now,
        }
        if signed is not None:
            told["agreement"] = {
                "version": signed.agreement.version,
                "hash": signed.hash,
                "expires": signed.agreement.expires,
            }
            told["members"] = self._members(signed)
            told["budget"] = await self._budget(signed, now)
        return told

    async def runs(self, *, only_open: bool, limit: int) -> list[dict[str, Any]]:
        """Return runs, the newest first."""
        if only_open:
            runs = [r for r in self._keeper.open.values() if not r.own.is_final]
            return [_brief(r) for r in sorted(runs, key=lambda r: -r.manifest.created)[:limit]]
        kept = await self._records.runs(limit, self._config.node.id)
        return [_brief(self._keeper.open.get(r.run_id, r)) for r in kept]

    async def run(self, run_id: str) -> dict[str, Any]:
        """Return a run with what every member has stated."""
        found = [r for name, r in self._keeper.open.items() if name.startswith(run_id)]
        if len(found) == 1:
            return _whole(found[0], self._config.node.id)
        kept = await self._records.run(run_id, self._config.node.id)
        if kept is None:
            raise UnknownRunError(f"there is no run {run_id}", "See undercurrent runs list")
        return _whole(kept, self._config.node.id)

    async def result(self, run_id: str, person: str) -> dict[str, Any]:
        """Return what a run released to this node; reading it is on record."""
        kept = await self._records.run(run_id, self._config.node.id)
        if kept is None:
            raise UnknownRunError(f"there is no run {run_id}", "See undercurrent runs list")
        if kept.own.phase != "stored":
            raise RunStateError(
                f"run {kept.run_id} has no result: it is {kept.own.phase}",
                f"See undercurrent runs show {kept.run_id}",
            )
        await self._records.append(
            Entry(person, "result.read", {}, kept.run_id, kept.manifest.digest), self._clock()
        )
        rows = await self._records.result(kept.run_id)
        return _brief(kept) | {"columns": rows.columns, "rows": rows.rows}

    async def propose(self, proposal: Proposal, person: str) -> dict[str, Any]:
        """Propose a run of public parameters."""
        signed = self._in_effect()
        rule = _rule(signed, proposal.analysis)
        raw = dict(proposal.parameters)
        public, private = find_analysis(proposal.analysis).private_inputs(raw)
        if private:
            raise ParameterError(
                f"{proposal.analysis} with accounts is a question of this bank's own",
                "Ask it with undercurrent trace, which keeps the accounts private",
            )
        if proposal.rehearse:
            public = self._rehearsed_window(proposal.analysis) | dict(public)
        manifest = self._manifest(signed, rule, public, proposal.policy, proposal)
        return _brief(await self._keeper.begin(manifest, person))

    async def approve(self, run_id: str, person: str) -> dict[str, Any]:
        """Consent to a run that waits for a person."""
        return _brief(await self._keeper.approve(run_id, person))

    async def reject(self, run_id: str, reason: str, person: str) -> dict[str, Any]:
        """Refuse a run, or give it up."""
        return _brief(await self._keeper.reject(run_id, reason, person))

    async def trace(
        self, question: Question, person: str, keep: KeepQuestion | None = None
    ) -> dict[str, Any]:
        """Ask where the money of own accounts went; the accounts stay in this node."""
        signed = self._in_effect()
        rule = _rule(signed, _TRACE)
        me = self._config.node.id
        accounts = [canonical_account(a) for a in question.accounts]
        raw = question.parameters | {"bank": me, "account": accounts}
        public, private = find_analysis(_TRACE).private_inputs(raw)
        await self._check_own(accounts)
        columns = await self._prepared_for(rule, public) if question.prepared else ""
        manifest = self._manifest(signed, rule, public, question.policy, None, columns=columns)
        if keep is not None:
            await keep(manifest.run_id)
        run = await self._keeper.begin(manifest, person, private[me])
        return _brief(run)

    async def ingest(self, person: str) -> dict[str, Any]:
        """Take in what the data source has."""
        report = await self._taking.once(person)
        return report.as_dict() | {"own_accounts": await self._records.accounts()}

    # Parts of the answers.

    def _in_effect(self) -> SignedAgreement:
        signed = self._agreement()
        if signed is None:
            raise NoAgreementError(
                self._why_not() or "no agreement is in effect",
                "Install one: undercurrent consortium install",
            )
        return signed

    def _manifest(
        self,
        signed: SignedAgreement,
        rule: AnalysisRule,
        public: Mapping[str, Any],
        policy: str,
        proposal: Proposal | None,
        *,
        columns: str = "",
    ) -> RunManifest:
        """Return a manifest that this node proposes; what is fixed by agreement is filled in."""
        fixed = {k: r.value for k, r in rule.parameters.items() if r.value is not None}
        return proposed_manifest(
            signed,
            self._config.node.id,
            rule.name,
            fixed | {key: str(value) for key, value in public.items()},
            policy or rule.policies[0],
            self._clock(),
            rehearsal=proposal is not None and proposal.rehearse,
            prepare_runs=0 if proposal is None else proposal.prepare_runs,
            columns=columns,
            valid=_VALID,
        )

    def _rehearsed_window(self, analysis: str) -> dict[str, str]:
        """Return the window of the made-up payments, for an analysis that looks at one."""
        if not has_window(find_analysis(analysis)):
            return {}
        since, until = rehearsed_window(self._clock())
        return {"since": moment_text(since), "until": moment_text(until)}

    async def _check_own(self, accounts: list[str]) -> None:
        """Refuse accounts that are not this bank's or out of scope, before anything is proposed."""
        files = await asyncio.to_thread(self._records.day_files)
        me, folder = self._config.node.id, self._config.data_folder
        found = await asyncio.to_thread(look_up, folder, files, canonical_bank(me), accounts)
        for number, account in enumerate(accounts, start=1):
            if account not in found.own:
                raise ParameterError(
                    f"account number {number} is no account of {me}",
                    "Check its spelling, and that its payments were taken in",
                )
            if account not in found.in_scope:
                raise OutOfScopeError(
                    f"account number {number} is not in scope",
                    "Only accounts that the bank's scope rule names may be asked about: set"
                    " in_scope in its accounts table, with the reason on record",
                )

    async def _prepared_for(self, rule: AnalysisRule, public: Mapping[str, Any]) -> str:
        """Return the preparation whose columns fit the question, or nothing."""
        if not rule.prepare:
            return ""
        wanted = find_analysis(rule.name).public(find_analysis(rule.name).parse(public))
        return await self._records.prepared_for(rule.name, wanted)

    def _count(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for run in self._keeper.open.values():
            if not run.own.is_final:
                counts[run.own.phase] = counts.get(run.own.phase, 0) + 1
        return counts

    def _members(self, signed: SignedAgreement) -> dict[str, Any]:
        seen = self._board.seen()
        told = {}
        for member in signed.agreement.members:
            status = seen.get(member.id)
            told[member.id] = {
                "role": member.role,
                "online": self._board.is_online(member.id),
                "version": "" if status is None else status.version,
                "same_agreement": status is not None and status.agreement == signed.hash,
                "last_heard": None if status is None else status.at,
                "padded_accounts": 0 if status is None else status.padded_accounts,
            }
        return told

    async def _budget(self, signed: SignedAgreement, now: int) -> dict[str, Any]:
        label, _start, end = self._period(now)
        left = await self._records.budget_left(signed.agreement, now)
        banks = {b: {"bits": budget_of(signed.agreement, b), "left": n} for b, n in left.items()}
        return {"period": label, "until": end, "banks": banks}


def _rule(signed: SignedAgreement, analysis: str) -> AnalysisRule:
    """Return the agreement's rule for an analysis."""
    for rule in signed.agreement.analyses:
        if rule.name == analysis:
            return rule
    names = ", ".join(rule.name for rule in signed.agreement.analyses)
    raise ParameterError(
        f"the agreement does not allow {analysis}", f"It allows {names}; all members would refuse"
    )


def _brief(run: OpenRun) -> dict[str, Any]:
    """Return a line about a run."""
    manifest, own = run.manifest, run.own
    return {
        "run_id": run.run_id,
        "analysis": manifest.analysis,
        "policy": manifest.policy,
        "proposer": manifest.proposer,
        "schedule": manifest.schedule,
        "rehearsal": manifest.rehearsal,
        "prepare_runs": manifest.prepare_runs,
        "columns": manifest.columns,
        "phase": own.phase,
        "attempt": own.attempt,
        "code": own.code,
        "reason": own.reason,
        "waiting_for": run.waiting_for,
        "progress": None if own.progress is None else vars(own.progress),
        "created": manifest.created,
        "expires": manifest.expires,
        "since": run.since,
        "bits": dict(run.bits),
        "measured": dict(run.measured),
        "trouble": run.trouble,
    }


def _whole(run: OpenRun, me: str) -> dict[str, Any]:
    """Return all that is known of a run."""
    members = {m: None if p is None else p.content() for m, p in run.peers.items()}
    return _brief(run) | {
        "parameters": dict(run.manifest.parameters),
        "digest": run.manifest.digest,
        "agreement": run.manifest.agreement,
        "members": {me: run.own.content()} | members,
        "approved_by": run.approved_by,
        "tries": run.tries,
    }
