"""Signing the audit log, verifying it, and removing its old entries."""

from collections.abc import Collection

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from bank_node.store.chain import Checkpoint, Key, sign_checkpoint
from bank_node.store.database import one_writer
from bank_node.store.entries import all_checkpoints, all_entries, append, last_checkpoint
from bank_node.store.errors import AuditBrokenError
from bank_node.store.tables import AuditRow, CheckpointRow
from bank_node.store.verification import Head, Verification, check, check_tail

__all__ = ["prune", "sign_head", "verify"]


def sign_head(
    session: Session, key: Key, at: int, public_keys: Collection[str] = ()
) -> Head | None:
    """Sign the last entry and return it; nothing to do if this key has signed it already.

    Only what follows from the last checkpoint is signed, so that entries which somebody has put in
    the place of signed ones do not get a signature.

    Args:
        session: of a writing transaction.
        key: the node's signing key.
        at: now, microseconds.
        public_keys: older keys of the node, which may have signed the last checkpoint.

    Raises:
        AuditBrokenError: the entries do not follow from the last checkpoint.
    """
    one_writer(session)
    session.flush()
    last = last_checkpoint(session)
    tail = all_entries(session, after=last.number if last else None)
    head = _sound(check_tail(tail, last, {*public_keys, key.public}))
    if head is not None and (last is None or last.number < head.number):
        _put(session, sign_checkpoint(key, head.number, head.hash, at, starts=False))
    elif last is not None and last.key != key.public:
        _put(session, sign_checkpoint(key, last.number, last.hash, at, starts=last.starts))
    return head


def verify(
    session: Session, public_keys: Collection[str], known: Head | None = None
) -> Verification:
    """Check the whole log; see ``verification`` for what is found.

    Args:
        session: of ``Database.read``, so that the log stands still meanwhile.
        public_keys: this node's signing keys, old ones included, hex.
        known: a head that was noted earlier outside of the database.
    """
    return check(all_entries(session), all_checkpoints(session), public_keys, known)


def prune(
    session: Session,
    key: Key,
    before: int,
    *,
    at: int,
    public_keys: Collection[str] = (),
    actor: str = "node",
) -> int:
    """Remove old entries and return how many.

    All entries up to the last checkpoint behind which each is older than ``before`` go; the
    checkpoint stays and is signed anew as the log's start.  That is an entry of the log itself.

    Args:
        session: of a writing transaction.
        key: the node's signing key.
        before: microseconds; entries of this time and later stay.
        at: now, microseconds.
        public_keys: older keys of the node that have signed checkpoints.
        actor: who removes them.

    Raises:
        AuditBrokenError: the log is not what was written: then nothing is removed, since that would
            hide it.
    """
    one_writer(session)
    session.flush()
    start = _last_old_checkpoint(session, before)
    if start is None:
        return 0
    _sound(verify(session, {*public_keys, key.public}))
    gone = session.scalar(select(func.count()).where(AuditRow.number <= start.number)) or 0
    session.execute(delete(AuditRow).where(AuditRow.number <= start.number))
    session.execute(delete(CheckpointRow).where(CheckpointRow.number < start.number))
    _put(session, sign_checkpoint(key, start.number, start.hash, at, starts=True))
    details = {"entries": gone, "through": start.number}
    append(session, at=at, actor=actor, action="audit.pruned", details=details)
    sign_head(session, key, at, public_keys)
    return gone


def _last_old_checkpoint(session: Session, before: int) -> Head | None:
    """Return the last checkpoint with an entry, up to which all entries are older."""
    first_kept = session.scalar(select(func.min(AuditRow.number)).where(AuditRow.at >= before))
    query = (
        select(CheckpointRow.number, CheckpointRow.hash)
        .join(AuditRow, AuditRow.number == CheckpointRow.number)
        .order_by(CheckpointRow.number.desc())
        .limit(1)
    )
    if first_kept is not None:
        query = query.where(CheckpointRow.number < first_kept)
    row = session.execute(query).one_or_none()
    return None if row is None else Head(row.number, row.hash)


def _sound(found: Verification) -> Head | None:
    """Return the head of a log that is in order."""
    if not found.ok:
        raise AuditBrokenError(
            f"The audit log is not as it was written: {found.reason}",
            "Keep a copy of the database, find out who had access, and change nothing",
        )
    return found.head


def _put(session: Session, checkpoint: Checkpoint) -> None:
    session.merge(CheckpointRow(**vars(checkpoint)))
    session.flush()
