"""What was heard from the other members, and how far each has come: statements, statuses, numbers.

``next_number`` counts this node's own messages; a number is never given twice, as long as the
transaction is committed before the message is sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bank_node.store.canonical import canonical, parsed
from bank_node.store.database import one_writer
from bank_node.store.tables import CounterRow, PeerRow, PositionRow, RunRow, StatementRow
from bank_node.store.upsert import insert_or_update

__all__ = [
    "Said",
    "advance_counter",
    "counter",
    "forget_positions",
    "last_position",
    "next_number",
    "peers",
    "save_peer",
    "save_position",
    "save_statement",
    "set_counter",
    "statements_of",
]


@dataclass(frozen=True)
class Said:
    """What a member said last.

    Attributes:
        member: who.
        sequence: number of the message.
        content: what.
        at: when it came, microseconds.
    """

    member: str
    sequence: int
    content: dict[str, Any]
    at: int


def save_statement(
    session: Session,
    run_id: str,
    member: str,
    sequence: int,
    content: Mapping[str, Any],
    at: int,
) -> bool:
    """Keep a member's statement about a run; false if a later one is there."""
    values = {"run_id": run_id, "member": member, "sequence": sequence}
    values |= {"content": canonical(content), "at": at}
    newer = StatementRow.sequence <= sequence
    return insert_or_update(session, StatementRow, values, ("sequence", "content", "at"), newer)


def statements_of(session: Session, run_id: str) -> dict[str, Said]:
    """Return the latest statement of each member about a run."""
    query = select(
        StatementRow.member, StatementRow.sequence, StatementRow.content, StatementRow.at
    ).where(StatementRow.run_id == run_id)
    rows = session.execute(query.order_by(StatementRow.member))
    return {member: Said(member, number, parsed(text), at) for member, number, text, at in rows}


def save_peer(
    session: Session, member: str, sequence: int, content: Mapping[str, Any], at: int
) -> bool:
    """Keep a member's status; false if a later one is there."""
    values = {"member": member, "sequence": sequence, "content": canonical(content), "at": at}
    newer = PeerRow.sequence <= sequence
    return insert_or_update(session, PeerRow, values, ("sequence", "content", "at"), newer)


def peers(session: Session) -> dict[str, Said]:
    """Return the latest status of each member."""
    query = select(PeerRow.member, PeerRow.sequence, PeerRow.content, PeerRow.at)
    rows = session.execute(query.order_by(PeerRow.member))
    return {member: Said(member, number, parsed(text), at) for member, number, text, at in rows}


def last_position(session: Session, sender: str, topic: str) -> tuple[int, str] | None:
    """Return number and nonce of the last message accepted of a sender in a topic."""
    query = select(PositionRow.sequence, PositionRow.nonce).where(
        PositionRow.sender == sender, PositionRow.topic == topic
    )
    row = session.execute(query).one_or_none()
    return None if row is None else (row.sequence, row.nonce)


def save_position(session: Session, sender: str, topic: str, sequence: int, nonce: str) -> None:
    """Keep the last message accepted; the guard has judged that it is newer."""
    values = {"sender": sender, "topic": topic, "sequence": sequence, "nonce": nonce}
    insert_or_update(session, PositionRow, values, ("sequence", "nonce"))


def forget_positions(session: Session) -> int:
    """Remove the positions of topics of runs that are not known any more; return how many."""
    known = set(session.scalars(select(RunRow.run_id)))
    rows = session.execute(select(PositionRow.sender, PositionRow.topic))
    gone = [(s, t) for s, t in rows if "/run/" in t and t.rpartition("/")[2] not in known]
    for sender, topic in gone:
        which = (PositionRow.sender == sender, PositionRow.topic == topic)
        session.execute(delete(PositionRow).where(*which))
    return len(gone)


def next_number(session: Session, name: str) -> int:
    """Raise a counter by one and return it; the first number is 1."""
    one_writer(session)
    number = counter(session, name) + 1
    set_counter(session, name, number)
    return number


def counter(session: Session, name: str) -> int:
    """Return a counter; 0 before its first use."""
    return session.scalar(select(CounterRow.value).where(CounterRow.name == name)) or 0


def set_counter(session: Session, name: str, value: int) -> None:
    """Set a counter."""
    insert_or_update(session, CounterRow, {"name": name, "value": value}, ("value",))


def advance_counter(session: Session, name: str, by: int) -> None:
    """Raise a counter, so that a node from a backup gives no number a second time."""
    one_writer(session)
    set_counter(session, name, counter(session, name) + by)
