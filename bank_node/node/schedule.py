"""What is due: slots of the agreement's schedules, and agreements that come into effect.

A scheduled run has no proposer: its manifest follows from the agreement and the slot alone, so each
node makes the same bytes by itself.  A slot is claimed in the database first; a node that was down
at the time takes up the slots whose time is not over, each once.
"""

import asyncio
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
            manifest = scheduled_manifest(signed, schedule, slot)
            if await self._records.claim_slot(schedule, slot, manifest.run_id, now):
                await self._keeper.begin(manifest, "schedule")
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
        self._in_effect = signed
        self.changed.set()
        self.changed = asyncio.Event()
        if signed is None:
            _LOG.warning("agreement_ended")
            await self._records.append(Entry(self._me, "agreement.ended", {}), self._clock())
            return
        if not await self._records.note_agreement(signed.hash):
            return
        previous = self._book.version(signed.agreement.version - 1)
        changed = None if previous is None else change(previous, signed)
        if changed is not None and changed.columns == "discard":
            self._columns_end()
            await self._records.discard_columns(self._clock())
        entry = Entry(self._me, "agreement.in-effect", _told(signed, changed))
        await self._records.append(entry, self._clock())
        _LOG.info("agreement_in_effect", agreement_version=signed.agreement.version)


def _told(signed: SignedAgreement, changed: Change | None) -> dict[str, object]:
    """Return what the audit log says of an agreement that comes into effect."""
    told: dict[str, object] = {"agreement": signed.hash, "version": signed.agreement.version}
    if changed is not None:
        told |= {
            "removed": list(changed.removed),
            "added": list(changed.added),
            "columns": changed.columns,
            "budgets": changed.budgets,
            "schedules_dropped": list(changed.schedules_dropped),
        }
    return told
