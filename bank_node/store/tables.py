"""The tables of a node's database, the same on SQLite and PostgreSQL.

Times are microseconds since 1970 UTC.  Text columns have no length, since SQLite would not keep to
one and PostgreSQL would.  JSON stands as text in canonical form (``canonical``), so that what was
hashed or signed is what lies there.

Which rows may hold account ids: of the tables below ``results`` and ``traces`` (own accounts only),
and ``audit`` under the key ``account`` of its details.  No other table of this module does.

Tables of other modules lie in the same database.  Those of ``bank_node.people``, on the base below,
hold no account ids.  ``questions`` of ``bank_node.desk`` holds the own accounts that somebody asked
about, and ``saved_views`` the filters of a list, which may name an account.  Those of ``alerts``,
on a base of their own, are about accounts: the customer or account as ``subject`` of ``alerts`` and
``cases``, own accounts in ``alert_accounts``, ``alert_samples`` and the copied traces of
``case_traces``, figures and reasons in ``alerts`` and ``alert_sightings``, and whatever people
write into the notes of ``case_journal`` and ``alert_samples``.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "AuditRow",
    "Base",
    "BatchRow",
    "CheckpointRow",
    "ColumnSetRow",
    "CounterRow",
    "DayRow",
    "LedgerRow",
    "PeerRow",
    "PositionRow",
    "ResultRow",
    "RunRow",
    "SlotRow",
    "SourceRow",
    "StatementRow",
    "TraceRow",
]

# SQLite numbers rows by itself only in a column whose type is INTEGER, which has 64 bits there.
INT64 = BigInteger().with_variant(Integer(), "sqlite")
# Byte order, as SQLite's: rows come in the same order from both, and the index is faster.
BYTEWISE = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Common base, with the types that Python's stand for."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {int: INT64, str: Text(), float: Double()}  # noqa: RUF012


class RunRow(Base):
    """A joint run as this node knows it."""

    __tablename__ = "runs"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    manifest: Mapped[str]
    digest: Mapped[str]
    analysis: Mapped[str]
    policy: Mapped[str]
    proposer: Mapped[str]
    schedule: Mapped[str]
    slot: Mapped[str]
    rehearsal: Mapped[bool]
    phase: Mapped[str]
    attempt: Mapped[int]
    reason_code: Mapped[str]
    reason: Mapped[str]
    created: Mapped[int]
    expires: Mapped[int]
    updated: Mapped[int]
    closed: Mapped[int | None] = mapped_column(index=True)
    port: Mapped[int | None]
    details: Mapped[str]


class StatementRow(Base):
    """The latest statement of a member about a run."""

    __tablename__ = "statements"

    run_id: Mapped[str] = mapped_column(
        ForeignKey("runs.run_id", ondelete="CASCADE"), primary_key=True
    )
    member: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int]
    content: Mapped[str]
    at: Mapped[int]


class PeerRow(Base):
    """The latest status of a member's node."""

    __tablename__ = "peers"

    member: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int]
    content: Mapped[str]
    at: Mapped[int]


class PositionRow(Base):
    """The last message accepted of a sender in a topic."""

    __tablename__ = "positions"

    sender: Mapped[str] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int]
    nonce: Mapped[str]


class CounterRow(Base):
    """A number that only rises, such as that of the node's own messages."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class SlotRow(Base):
    """A slot of a schedule, with the one run that it got."""

    __tablename__ = "slots"

    schedule: Mapped[str] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    at: Mapped[int]


class ResultRow(Base):
    """What a run gave for an own account.

    No foreign key: it would be checked row by row, which takes longer than the writing itself.
    """

    __tablename__ = "results"
    __table_args__ = ({"sqlite_with_rowid": False},)

    run_id: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(BYTEWISE, primary_key=True, index=True)
    value: Mapped[float]


class TraceRow(Base):
    """A row of a trace: an amount, or its band where the policy gives bands only."""

    __tablename__ = "traces"
    __table_args__ = (
        CheckConstraint("(amount IS NULL) <> (band IS NULL)", name="amount_or_band"),
        {"sqlite_with_rowid": False},
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    trace: Mapped[int]
    account: Mapped[str] = mapped_column(BYTEWISE)
    slice: Mapped[int]
    kind: Mapped[str]
    depth: Mapped[int | None]
    amount: Mapped[float | None]
    band: Mapped[int | None]


class LedgerRow(Base):
    """Bits that an attempt of a run may disclose to a bank."""

    __tablename__ = "ledger"
    __table_args__ = (UniqueConstraint("run_id", "attempt", "bank"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    attempt: Mapped[int]
    bank: Mapped[str]
    period: Mapped[str] = mapped_column(index=True)
    bits: Mapped[int]
    at: Mapped[int]


class AuditRow(Base):
    """An entry of the audit log, chained to the one before it."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "run_id"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[int]
    actor: Mapped[str]
    action: Mapped[str]
    run_id: Mapped[str | None]
    digest: Mapped[str | None]
    details: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str]


class CheckpointRow(Base):
    """A signed head of the audit log.

    ``starts``: the entries up to this one were removed when their time had come.
    """

    __tablename__ = "checkpoints"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str]
    at: Mapped[int]
    starts: Mapped[bool]
    signature: Mapped[str]
    key: Mapped[str]


class ColumnSetRow(Base):
    """Columns prepared ahead, how many runs they are for and how many have used them."""

    __tablename__ = "column_sets"

    preparation: Mapped[str] = mapped_column(primary_key=True)
    analysis: Mapped[str]
    digest: Mapped[str]
    runs: Mapped[int]
    used: Mapped[int]
    created: Mapped[int]
    discarded: Mapped[int | None]


class DayRow(Base):
    """A file of transactions that were taken in."""

    __tablename__ = "days"

    day: Mapped[str] = mapped_column(primary_key=True)
    file: Mapped[str] = mapped_column(primary_key=True)
    rows: Mapped[int]
    sha256: Mapped[str]
    bytes: Mapped[int]
    created: Mapped[int]


class SourceRow(Base):
    """How far a source of transactions has been read."""

    __tablename__ = "sources"

    name: Mapped[str] = mapped_column(primary_key=True)
    watermark: Mapped[str]
    at: Mapped[int]
    rows: Mapped[int]


class BatchRow(Base):
    """What one taking-in of transactions came to."""

    __tablename__ = "intake_batches"

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(index=True)
    at: Mapped[int]
    rows: Mapped[int]
    accepted: Mapped[int]
    rejected: Mapped[int]
    details: Mapped[str]
