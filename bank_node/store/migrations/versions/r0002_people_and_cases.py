"""Alerts and cases, the people who work on them, and what they keep at their desk."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _cases()
    _alerts()
    _evaluations()
    _work()
    _people()
    _desk()


def _column(name: str, kind: Any, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return _column(name, sa.Text(), nullable=nullable)


def _word(name: str, length: int = 64, *, nullable: bool = False) -> sa.Column[str]:
    return _column(name, sa.String(length), nullable=nullable)


def _whole(*names: str) -> list[sa.Column[int]]:
    return [_column(name, sa.Integer()) for name in names]


def _time(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return _column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return _column(name, _INT64, nullable=nullable)


def _reference(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=f"fk_{table}_{column}_{to}")


def _cases() -> None:
    op.create_table(
        "cases",
        *_whole("id", "version"),
        _word("state", 32),
        _text("subject"),
        *_whole("severity"),
        _word("assignee", nullable=True),
        _word("outcome", 32, nullable=True),
        _time("opened_at"),
        _word("opened_by"),
        _time("updated_at"),
        _word("updated_by"),
        *(_time(n, nullable=True) for n in ("closed_at", "snoozed_since", "snoozed_until")),
        _time("snooze_used"),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
    )
    op.create_index("ix_cases_queue", "cases", ["state", sa.text("severity DESC"), "id"])
    op.create_index("ix_cases_page", "cases", [sa.text("severity DESC"), "id"])
    op.create_index("ix_cases_opened", "cases", ["opened_at", "id"])
    op.create_index("ix_cases_updated", "cases", ["updated_at", "id"])
    op.create_index("ix_cases_assignee", "cases", ["assignee", "state"])
    op.create_index("ix_cases_subject", "cases", ["subject"])


def _alerts() -> None:
    op.create_table(
        "alerts",
        *_whole("id", "version"),
        _word("status", 16),
        _word("rule"),
        *_whole("severity"),
        _text("subject"),
        _column("case_id", sa.Integer(), nullable=True),
        _column("strength", sa.Double()),
        _text("reason"),
        *(_word(name) for name in ("first_run", "last_run")),
        *(_time(name) for name in ("created_at", "updated_at")),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        _reference("alerts", "case_id", "cases"),
    )
    is_open = sa.text("status <> 'closed'")
    op.create_index(
        "uq_alerts_open",
        "alerts",
        ["subject", "rule"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_index("ix_alerts_queue", "alerts", ["status", sa.text("severity DESC"), "id"])
    op.create_index("ix_alerts_page", "alerts", [sa.text("severity DESC"), "id"])
    op.create_index("ix_alerts_created", "alerts", ["created_at", "id"])
    op.create_index("ix_alerts_updated", "alerts", ["updated_at", "id"])
    op.create_index("ix_alerts_strength", "alerts", [sa.text("strength DESC"), "id"])
    op.create_index("ix_alerts_subject", "alerts", ["subject"])
    op.create_index("ix_alerts_case_id", "alerts", ["case_id"])
    op.create_index("ix_alerts_last_run", "alerts", ["last_run"])
    op.create_table(
        "alert_accounts",
        *_whole("alert_id"),
        _text("account"),
        sa.PrimaryKeyConstraint("alert_id", "account", name="pk_alert_accounts"),
        _reference("alert_accounts", "alert_id", "alerts"),
    )
    op.create_index("ix_alert_accounts_account", "alert_accounts", ["account"])
    op.create_table(
        "alert_sightings",
        *_whole("alert_id"),
        _word("run_id"),
        _time("at"),
        _text("reason"),
        _column("figures", sa.JSON()),
        sa.PrimaryKeyConstraint("alert_id", "run_id", name="pk_alert_sightings"),
        _reference("alert_sightings", "alert_id", "alerts"),
    )
    op.create_index("ix_alert_sightings_run_id", "alert_sightings", ["run_id"])


def _evaluations() -> None:
    op.create_table(
        "alert_evaluations",
        *(_word(name) for name in ("run_id", "rules")),
        _time("at"),
        *_whole("accounts", "raised", "updated"),
        sa.PrimaryKeyConstraint("run_id", "rules", name="pk_alert_evaluations"),
    )
    op.create_table(
        "alert_samples",
        *(_word(name) for name in ("run_id", "rule")),
        _text("account"),
        _word("line", 8),
        _column("worthwhile", sa.Boolean(), nullable=True),
        _word("judged_by", nullable=True),
        _time("judged_at", nullable=True),
        _text("note", nullable=True),
        sa.PrimaryKeyConstraint("run_id", "rule", "account", name="pk_alert_samples"),
    )


def _work() -> None:
    op.create_table(
        "case_journal",
        *_whole("number", "case_id", "version"),
        _time("at"),
        _word("person"),
        *(_word(name, 16) for name in ("role", "action")),
        _word("from_state", 32, nullable=True),
        _word("to_state", 32),
        _text("note"),
        _column("details", sa.JSON()),
        sa.PrimaryKeyConstraint("number", name="pk_case_journal"),
        sa.UniqueConstraint("case_id", "version", name="uq_case_journal_case_id_version"),
        _reference("case_journal", "case_id", "cases"),
    )
    op.create_table(
        "case_people",
        *_whole("case_id"),
        _word("person"),
        _word("action", 16),
        _time("at"),
        sa.PrimaryKeyConstraint("case_id", "person", name="pk_case_people"),
        _reference("case_people", "case_id", "cases"),
    )
    op.create_table(
        "case_traces",
        *_whole("id", "case_id"),
        _word("run_id"),
        _text("title"),
        _time("at"),
        _word("person"),
        *_whole("row_count"),
        _column("rows", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_case_traces"),
        _reference("case_traces", "case_id", "cases"),
    )
    op.create_index("ix_case_traces_case_id", "case_traces", ["case_id"])


def _people() -> None:
    op.create_table(
        "people",
        *(_text(name) for name in ("name", "role", "display", "password")),
        *(_number(name) for name in ("failures", "failed")),
        _number("locked_until", nullable=True),
        _column("disabled", sa.Boolean()),
        *(_number(name) for name in ("created", "changed")),
        _number("last_seen", nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_people"),
    )
    op.create_table(
        "sessions",
        *(_text(name) for name in ("digest", "name", "kind", "csrf", "label")),
        *(_number(name) for name in ("created", "expires", "used")),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
        sa.ForeignKeyConstraint(["name"], ["people.name"], name="fk_sessions_name"),
    )
    op.create_index("ix_sessions_name", "sessions", ["name"])
    op.create_index("ix_sessions_expires", "sessions", ["expires"])
    op.create_table(
        "strangers",
        _text("bucket"),
        *(_number(name) for name in ("failures", "failed")),
        _number("locked_until", nullable=True),
        sa.PrimaryKeyConstraint("bucket", name="pk_strangers"),
    )


def _desk() -> None:
    op.create_table(
        "questions",
        *(_word(name) for name in ("run_id", "person")),
        _column("accounts", sa.JSON()),
        _time("at"),
        sa.PrimaryKeyConstraint("run_id", name="pk_questions"),
    )
    op.create_table(
        "saved_views",
        _word("person"),
        _word("name", 80),
        _text("query"),
        _time("at"),
        sa.PrimaryKeyConstraint("person", "name", name="pk_saved_views"),
    )
