"""Telling whether an audit log is what was written: one pass over entries and checkpoints.

Found: a changed, removed, inserted or reordered entry (the chain breaks); a chain made anew without
the key (its checkpoints are missing or not signed); a tail that was cut off behind a checkpoint.
Not to be found from the log alone: entries that no checkpoint covers yet, cut off; and a log put
back as a whole, checkpoints included, to an earlier day.  Against that, note the head elsewhere
and give it as ``known``.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from bank_node.store.chain import Checkpoint, Entry, entry_hash, is_signed

__all__ = ["Head", "UnreadableEntry", "Verification", "check", "check_tail"]


class UnreadableEntry(Exception):
    """The next entry cannot even be read: it was changed."""


@dataclass(frozen=True)
class Head:
    """Number and hash of an entry that was the last one at some time."""

    number: int
    hash: str


@dataclass(frozen=True)
class Verification:
    """What came of it.

    Attributes:
        ok: nothing wrong was found.
        rows: entries that are in order.
        first_bad: number of the first entry that is not as it was written, or is missing.
        reason: one line, also when all is well.
        head: the last entry in order; None if there is none.
        unsigned: entries newer than the last checkpoint.
    """

    ok: bool
    rows: int
    first_bad: int | None
    reason: str
    head: Head | None
    unsigned: int


def check(
    entries: Iterable[Entry],
    checkpoints: Iterable[Checkpoint],
    public_keys: Collection[str],
    known: Head | None = None,
) -> Verification:
    """Check a whole log.

    Args:
        entries: in the order of their numbers.
        checkpoints: in any order.
        public_keys: all keys that have ever signed this log, hex.
        known: a head noted earlier, which must still be in the log.
    """
    by_number = {c.number: c for c in checkpoints}
    starts = [c for c in by_number.values() if c.starts]
    start = max(starts, key=lambda c: c.number, default=None)
    found = _Walk(by_number, public_keys, start, known).over(entries)
    if found.ok and found.rows and not by_number:
        reason = "no entry was ever signed, so anybody may have written them"
        return replace(found, ok=False, first_bad=1, reason=reason)
    return found


def check_tail(
    entries: Iterable[Entry], last: Checkpoint | None, public_keys: Collection[str]
) -> Verification:
    """Check that the entries after the last checkpoint follow from it."""
    by_number = {} if last is None else {last.number: last}
    return _Walk(by_number, public_keys, last, None).over(entries)


class _Walk:
    """The pass over the entries: what is looked for, and how far it has come."""

    def __init__(
        self,
        checkpoints: dict[int, Checkpoint],
        public_keys: Collection[str],
        start: Checkpoint | None,
        known: Head | None,
    ) -> None:
        self.checkpoints = checkpoints
        self.public_keys = public_keys
        self.known = known
        self.head = None if start is None else Head(start.number, start.hash)
        self.rows = 0
        self.unsigned = 0

    def over(self, entries: Iterable[Entry]) -> Verification:
        for checkpoint in self.checkpoints.values():
            if not is_signed(checkpoint, self.public_keys):
                number = checkpoint.number
                return self._broken(number, f"checkpoint {number} is not signed by this node")
        if self.head is not None and self._not_as_noted(self.head):
            return self._broken(self.head.number, self._not_as_noted(self.head))
        try:
            for entry in entries:
                fault = self._fault(entry)
                if fault:
                    return self._broken(self._next(), fault)
                self._pass(entry)
        except UnreadableEntry:
            return self._broken(self._next(), f"entry {self._next()} cannot be read")
        return self._at_the_end()

    def _next(self) -> int:
        return self.head.number + 1 if self.head else 1

    def _pass(self, entry: Entry) -> None:
        self.rows += 1
        self.head = Head(entry.number, entry.hash)
        self.unsigned = 0 if entry.number in self.checkpoints else self.unsigned + 1

    def _fault(self, entry: Entry) -> str:
        """Return what is wrong with the next entry; empty: nothing."""
        wanted = self._next()
        if entry.number != wanted:
            return f"entry {wanted} is not in its place"
        if entry.previous != (self.head.hash if self.head else ""):
            return f"entry {wanted} does not follow from the one before it"
        try:
            whole = entry_hash(entry) == entry.hash
        except (ValueError, TypeError):
            whole = False
        if not whole:
            return f"entry {wanted} was changed after it was written"
        return self._not_as_noted(Head(wanted, entry.hash))

    def _not_as_noted(self, found: Head) -> str:
        checkpoint = self.checkpoints.get(found.number)
        if checkpoint is not None and checkpoint.hash != found.hash:
            return f"entry {found.number} is not the one that was signed"
        if self.known is not None and self.known.number == found.number and self.known != found:
            return f"entry {found.number} is not the one that was noted"
        return ""

    def _broken(self, number: int, reason: str) -> Verification:
        return Verification(False, self.rows, number, reason, self.head, self.unsigned)

    def _at_the_end(self) -> Verification:
        last = max([*self.checkpoints, self.known.number if self.known else 0], default=0)
        if last >= self._next():
            return self._broken(self._next(), f"entries {self._next()} to {last} were cut off")
        return Verification(True, self.rows, None, self._words(), self.head, self.unsigned)

    def _words(self) -> str:
        if self.head is None:
            return "the log is empty"
        if not self.unsigned:
            return f"{self.rows} entries, all signed"
        signed = self.head.number - self.unsigned
        return f"{self.rows} entries; {self.unsigned} are newer than the last checkpoint ({signed})"
