"""The first tables of a node."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_INT64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BYTEWISE = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _runs()
    _messages()
    _results()
    _disclosure()
    _intake()


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, _INT64, nullable=nullable, autoincrement=False)


def _identity(name: str) -> sa.Column[int]:
    return sa.Column(name, _INT64, nullable=False)


def _runs() -> None:
    op.create_table(
        "runs",
        *(_text(name) for name in ("run_id", "manifest", "digest", "analysis", "policy")),
        *(_text(name) for name in ("proposer", "schedule", "slot")),
        sa.Column("rehearsal", sa.Boolean(), nullable=False),
        _text("phase"),
        _number("attempt"),
        _text("reason_code"),
        _text("reason"),
        *(_number(name) for name in ("created", "expires", "updated")),
        _number("closed", nullable=True),
        _number("port", nullable=True),
        _text("details"),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index("ix_runs_closed", "runs", ["closed"])
    op.create_table(
        "slots",
        *(_text(name) for name in ("schedule", "slot", "run_id")),
        _number("at"),
        sa.PrimaryKeyConstraint("schedule", "slot", name="pk_slots"),
    )
    op.create_table(
        "column_sets",
        *(_text(name) for name in ("preparation", "analysis", "digest")),
        *(_number(name) for name in ("runs", "used", "created")),
        _number("discarded", nullable=True),
        sa.PrimaryKeyConstraint("preparation", name="pk_column_sets"),
    )


def _messages() -> None:
    op.create_table(
        "statements",
        _text("run_id"),
        _text("member"),
        _number("sequence"),
        _text("content"),
        _number("at"),
        sa.PrimaryKeyConstraint("run_id", "member", name="pk_statements"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.run_id"], name="fk_statements_run_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "peers",
        _text("member"),
        _number("sequence"),
        _text("content"),
        _number("at"),
        sa.PrimaryKeyConstraint("member", name="pk_peers"),
    )
    op.create_table(
        "positions",
        _text("sender"),
        _text("topic"),
        _number("sequence"),
        _text("nonce"),
        sa.PrimaryKeyConstraint("sender", "topic", name="pk_positions"),
    )
    op.create_table(
        "counters",
        _text("name"),
        _number("value"),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )


def _results() -> None:
    op.create_table(
        "results",
        _text("run_id"),
        sa.Column("account", _BYTEWISE, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "account", name="pk_results"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_results_account", "results", ["account"])
    op.create_table(
        "traces",
        _text("run_id"),
        _number("number"),
        _number("trace"),
        sa.Column("account", _BYTEWISE, nullable=False),
        _number("slice"),
        _text("kind"),
        _number("depth", nullable=True),
        sa.Column("amount", sa.Double(), nullable=True),
        _number("band", nullable=True),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_traces"),
        sa.CheckConstraint(
            "(amount IS NULL) <> (band IS NULL)", name=op.f("ck_traces_amount_or_band")
        ),
        sqlite_with_rowid=False,
    )


def _disclosure() -> None:
    op.create_table(
        "ledger",
        _identity("id"),
        _text("run_id"),
        _number("attempt"),
        _text("bank"),
        _text("period"),
        _number("bits"),
        _number("at"),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.UniqueConstraint("run_id", "attempt", "bank", name="uq_ledger_run_id_attempt_bank"),
    )
    op.create_index("ix_ledger_period", "ledger", ["period"])
    op.create_table(
        "audit",
        _number("number"),
        _number("at"),
        _text("actor"),
        _text("action"),
        _text("run_id", nullable=True),
        _text("digest", nullable=True),
        *(_text(name) for name in ("details", "previous", "hash")),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_run_id", "audit", ["run_id"])
    op.create_table(
        "checkpoints",
        _number("number"),
        _text("hash"),
        _number("at"),
        sa.Column("starts", sa.Boolean(), nullable=False),
        _text("signature"),
        _text("key"),
        sa.PrimaryKeyConstraint("number", name="pk_checkpoints"),
    )


def _intake() -> None:
    op.create_table(
        "days",
        _text("day"),
        _text("file"),
        _number("rows"),
        _text("sha256"),
        _number("bytes"),
        _number("created"),
        sa.PrimaryKeyConstraint("day", "file", name="pk_days"),
    )
    op.create_table(
        "sources",
        _text("name"),
        _text("watermark"),
        _number("at"),
        _number("rows"),
        sa.PrimaryKeyConstraint("name", name="pk_sources"),
    )
    op.create_table(
        "intake_batches",
        _identity("id"),
        _text("source"),
        *(_number(name) for name in ("at", "rows", "accepted", "rejected")),
        _text("details"),
        sa.PrimaryKeyConstraint("id", name="pk_intake_batches"),
    )
    op.create_index("ix_intake_batches_source", "intake_batches", ["source"])
