"""What is due: slots of the agreement's schedules, and agreements that come into effect.

A scheduled run has no proposer: its manifest follows from the agreement and the slot alone, so each
node makes the same bytes by itself.  A slot is claimed in the database; a node that was down
at the time takes up the slots whose time is not over, each once.
"""

import asyncio
import itertools
from collections.abc import Callable

import structlog

from bank_node.consortium import (
    Book,
    Change,
    SignedAgreement,
    change,
    due_slots,
    scheduled_manifest,
)
from bank_node.node.errors import RunStateError
from bank_node.node.keeper import RunKeeper
from bank_node.node.records import Entry, Records

__all__ = ["Scheduler"]

_LOG = structlog.get_logger(__name__)
_LOOK_BACK = 2 * 86_400_000_000


class Scheduler:
    """Begins what is due.

    Args:
        me: id of this member, for the audit log.
        book: the installed agreements.
        records: the node's database.
        keeper: takes up the runs.
        clock: microseconds since 1970.
        columns_end: called when an agreement makes all prepared columns useless.

    Attributes:
        changed: set when another agreement is in effect, and then replaced.
        why_not: why there is none for this node; empty if there is one.
    """

    def __init__(
        self,
        me: str,
        book: Book,
        records: Records,
        keeper: RunKeeper,
        clock: Callable[[], int],
        columns_end: Callable[[], None],
    ) -> None:
        self._me = me
        self._book = book
        self._records = records
        self._keeper = keeper
        self._clock = clock
        self._columns_end = columns_end
        self._in_effect: SignedAgreement | None = None
        self._looked = clock() - _LOOK_BACK
        self.changed = asyncio.Event()
        self.why_not = ""

    @property
    def agreement(self) -> SignedAgreement | None:
        """The agreement in effect, as of the last tick."""
        return self._in_effect

    async def tick(self) -> None:
        """Notice a new agreement, and begin the runs of all slots that have come."""
        now = self._clock()
        await self._notice(self._present(now))
        signed = self._in_effect
        if signed is None:
            self._looked = now
            return
        for schedule, slot in due_slots(signed, self._looked, now):
            if await self._records.has_slot(schedule, slot):
                continue
            manifest = scheduled_manifest(signed, schedule, slot)
            try:
                await self._keeper.begin(manifest, "schedule")
            except RunStateError:
                _LOG.warning("slot_is_over", run_id=manifest.run_id)
            # After it has begun, which may be done twice: dying in between loses nothing.
            await self._records.claim_slot(schedule, slot, manifest.run_id, now)
        self._looked = now

    def _present(self, now: int) -> SignedAgreement | None:
        """Return the agreement in effect if this node is a member of it; note why if not."""
        signed = self._book.in_effect(now)
        if signed is None:
            coming = self._book.coming(now)
            self.why_not = "no agreement is in effect"
            if coming is not None:
                version, date = coming.agreement.version, coming.agreement.effective
                self.why_not = f"version {version} of the agreement is in effect from {date}"
        elif signed.agreement.member(self._me) is None:
            version = signed.agreement.version
            self.why_not = f"{self._me} is no member of the agreement any more (version {version})"
            return None
        else:
            self.why_not = ""
        return signed

    async def _notice(self, signed: SignedAgreement | None) -> None:
        """Put a change of agreement on record, once, with what it brings about."""
        before = self._in_effect
        if (signed and signed.hash) == (before and before.hash):
            return
        if signed is None:
            _LOG.warning("agreement_ended")
            await self._records.append(Entry(self._me, "agreement.ended", {}), self._clock())
        else:
            await self._take_effect(signed)
        self._in_effect = signed
        self.changed.set()
        self.changed = asyncio.Event()

    async def _take_effect(self, signed: SignedAgreement) -> None:
        """Do what the steps from the version noted last to this one bring about."""
        version, last = signed.agreement.version, await self._records.last_version()
        if version == last:
            return
        steps = self._steps(last, version) if last else []
        discard = any(step.columns == "discard" for step in steps)
        entry = Entry(self._me, "agreement.in-effect", _told(signed, steps))
        await self._records.note_agreement(version, entry, self._clock(), discard=discard)
        if discard:
            self._columns_end()
        _LOG.info("agreement_in_effect", agreement_version=version)

    def _steps(self, last: int, version: int) -> list[Change]:
        """Return the steps between two versions, also those during which the node was down."""
        numbers = range(min(last, version), version + 1)
        known = [v for v in map(self._book.version, numbers) if v is not None]
        return [change(old, new) for old, new in itertools.pairwise(known)]


def _told(signed: SignedAgreement, steps: list[Change]) -> dict[str, object]:
    """Return what the audit log says of an agreement that comes into effect."""
    told: dict[str, object] = {"agreement": signed.hash, "version": signed.agreement.version}
    if steps:
        told |= {
            "removed": [m for step in steps for m in step.removed],
            "added": [m for step in steps for m in step.added],
            "schedules_dropped": [s for step in steps for s in step.schedules_dropped],
            "columns": [step.columns for step in steps],
            "budgets": [step.budgets for step in steps],
        }
    return told
