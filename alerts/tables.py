"""The tables of alerts and cases, for SQLite and PostgreSQL alike.

They stand on a base of their own (``Base.metadata``), so that whoever owns the database creates and
migrates them with its other tables.  Times are int64 microseconds since 1970 UTC.  ``version`` of
alerts and cases rises by one with every change, and a change is written only over the version that
was read: nobody overwrites what they have not seen.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "Alert",
    "AlertAccount",
    "Base",
    "Case",
    "CasePerson",
    "CaseTrace",
    "Evaluation",
    "JournalEntry",
    "Sample",
    "Sighting",
]

ALERT_OPEN, ALERT_IN_CASE, ALERT_CLOSED = "open", "in-case", "closed"
_CHECKED: dict[str, Any] = {"version_id_generator": False}  # whoever changes a row raises it
_NOT_CLOSED = text(f"status <> '{ALERT_CLOSED}'")


class Base(DeclarativeBase):
    """Base of the tables of this package; constraints have names, so that they can be migrated."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Case(Base):
    """A case: one or more alerts, worked on by one person at a time."""

    __tablename__ = "cases"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(Text)
    severity: Mapped[int] = mapped_column(Integer)
    assignee: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str | None] = mapped_column(String(32))
    opened_at: Mapped[int] = mapped_column(BigInteger)
    opened_by: Mapped[str] = mapped_column(String(64))
    updated_at: Mapped[int] = mapped_column(BigInteger)
    updated_by: Mapped[str] = mapped_column(String(64))
    closed_at: Mapped[int | None] = mapped_column(BigInteger)
    snoozed_since: Mapped[int | None] = mapped_column(BigInteger)
    snoozed_until: Mapped[int | None] = mapped_column(BigInteger)
    snooze_used: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_cases_queue", "state", text("severity DESC"), "id"),
        Index("ix_cases_page", text("severity DESC"), "id"),
        Index("ix_cases_opened", "opened_at", "id"),
        Index("ix_cases_updated", "updated_at", "id"),
        Index("ix_cases_assignee", "assignee", "state"),
        Index("ix_cases_subject", "subject"),
    )
    __mapper_args__ = _CHECKED | {"version_id_col": version}


class Alert(Base):
    """What one rule says about one customer, over all runs until it is closed."""

    __tablename__ = "alerts"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    rule: Mapped[str] = mapped_column(String(64))
    severity: Mapped[int] = mapped_column(Integer)
    subject: Mapped[str] = mapped_column(Text)
    case_id: Mapped[int | None] = mapped_column(ForeignKey("cases.id"), index=True)
    strength: Mapped[float]
    reason: Mapped[str] = mapped_column(Text)
    first_run: Mapped[str] = mapped_column(String(64))
    last_run: Mapped[str] = mapped_column(String(64), index=True)
    created_at: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        Index(
            "uq_alerts_open",
            "subject",
            "rule",
            unique=True,
            sqlite_where=_NOT_CLOSED,
            postgresql_where=_NOT_CLOSED,
        ),
        Index("ix_alerts_queue", "status", text("severity DESC"), "id"),
        Index("ix_alerts_page", text("severity DESC"), "id"),
        Index("ix_alerts_created", "created_at", "id"),
        Index("ix_alerts_updated", "updated_at", "id"),
        Index("ix_alerts_strength", text("strength DESC"), "id"),
        Index("ix_alerts_subject", "subject"),
    )
    __mapper_args__ = _CHECKED | {"version_id_col": version}


class AlertAccount(Base):
    """An own account behind an alert."""

    __tablename__ = "alert_accounts"

    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"), primary_key=True)
    account: Mapped[str] = mapped_column(Text, primary_key=True, index=True)


class Sighting(Base):
    """What a rule found about an alert's customer in one run."""

    __tablename__ = "alert_sightings"

    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    at: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
    figures: Mapped[dict[str, Any]] = mapped_column(JSON)


class Evaluation(Base):
    """That a run was evaluated by a set of rules, and what came of it."""

    __tablename__ = "alert_evaluations"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    rules: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    accounts: Mapped[int]
    raised: Mapped[int]
    updated: Mapped[int]


class Sample(Base):
    """An account drawn above or below the line of a rule, for people to judge."""

    __tablename__ = "alert_samples"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    rule: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(Text, primary_key=True)
    line: Mapped[str] = mapped_column(String(8))
    worthwhile: Mapped[bool | None]
    judged_by: Mapped[str | None] = mapped_column(String(64))
    judged_at: Mapped[int | None] = mapped_column(BigInteger)
    note: Mapped[str | None] = mapped_column(Text)


class JournalEntry(Base):
    """One change of a case; its ``version`` is the one that the case had after it."""

    __tablename__ = "case_journal"

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"))
    version: Mapped[int] = mapped_column(Integer)
    at: Mapped[int] = mapped_column(BigInteger)
    person: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(16))
    from_state: Mapped[str | None] = mapped_column(String(32))
    to_state: Mapped[str] = mapped_column(String(32))
    note: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)

    __table_args__ = (UniqueConstraint("case_id", "version"),)


class CasePerson(Base):
    """A person who worked on a case, or had it: they cannot approve its closing."""

    __tablename__ = "case_people"

    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    person: Mapped[str] = mapped_column(String(64), primary_key=True)
    action: Mapped[str] = mapped_column(String(16))
    at: Mapped[int] = mapped_column(BigInteger)


class CaseTrace(Base):
    """A flow trace attached to a case: its own copy, since results are forgotten in time."""

    __tablename__ = "case_traces"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    run_id: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(Text)
    at: Mapped[int] = mapped_column(BigInteger)
    person: Mapped[str] = mapped_column(String(64))
    row_count: Mapped[int] = mapped_column(Integer)
    rows: Mapped[bytes] = mapped_column(LargeBinary)
