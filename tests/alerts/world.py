"""A small bank with results and payments, and databases to keep its alerts in."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from alerts import (
    SYSTEM,
    AnalysisValues,
    PaymentsView,
    Person,
    Results,
    Role,
    RuleSet,
    RunFacts,
    parse_rules,
    raise_alerts,
)
from alerts.tables import Base

Begin = Callable[[], AbstractContextManager[Session]]
Payment = tuple[str, str, str, str, str, int]

DAY = 86_400_000_000
MARCH = 1_772_323_200_000_000  # 2026-03-01
NOW = MARCH + 40 * DAY

ANN = Person("ann", Role.ANALYST)
BEN = Person("ben", Role.ANALYST)
SUE = Person("sue", Role.SUPERVISOR)
SAM = Person("sam", Role.SUPERVISOR)
AUDREY = Person("audrey", Role.AUDITOR)
OTTO = Person("otto", Role.OPERATOR)

# C1 has two accounts, C2 one; A4 has no customer.
ACCOUNTS = {"A1": "C1", "A2": "C1", "A3": "C2", "A4": None}
PAYMENTS: tuple[Payment, ...] = (
    ("p1", "a", "A1", "b", "X9", 500_00),
    ("p2", "b", "X9", "a", "A2", 480_00),
    ("p3", "a", "A2", "a", "A1", 475_00),
    ("p4", "c", "Y7", "a", "A3", 90_00),
)


def view_of(
    accounts: Mapping[str, str | None] = ACCOUNTS, payments: Sequence[Payment] = PAYMENTS
) -> PaymentsView:
    """Bank ``a`` with these accounts (and their customers) and payments, one a day from March."""
    columns = list(zip(*payments, strict=True)) if payments else [()] * 6
    text = pa.string()
    transactions = pa.table(
        {
            "tx_id": pa.array(columns[0], text),
            "timestamp": pa.array([MARCH + i * DAY for i in range(len(payments))], pa.int64()),
            "from_bank": pa.array(columns[1], text),
            "from_account": pa.array(columns[2], text),
            "to_bank": pa.array(columns[3], text),
            "to_account": pa.array(columns[4], text),
            "amount": pa.array(columns[5], pa.int64()),
            "channel": pa.array(["wire"] * len(payments), text),
        }
    )
    table = pa.table(
        {
            "account": pa.array(list(accounts), text),
            "customer": pa.array(list(accounts.values()), text),
        }
    )
    return PaymentsView("a", "EUR", 2, table, transactions)


def values(
    run_id: str, given: Mapping[str, float], analysis: str = "risk-propagation", **facts: Any
) -> AnalysisValues:
    """The released values of one run, bands unless ``policy`` says otherwise."""
    known = {"policy": "bands:0.2,0.5,0.8", "agreement": "f" * 64, "at": NOW} | facts
    run = RunFacts(run_id, analysis, since=MARCH, until=MARCH + 30 * DAY, **known)
    return AnalysisValues(
        run, pa.array(list(given), pa.string()), np.array(list(given.values()), np.float64)
    )


def results(
    run_id: str, given: Mapping[str, float], before: Mapping[str, float] | None = None
) -> Results:
    """The results of a run of risk propagation, and of the run before it."""
    previous = () if before is None else (values(f"{run_id}-before", before),)
    return Results(run_id, NOW, (values(run_id, given),), previous)


def rules(*more: Mapping[str, Any], **settings: Any) -> RuleSet:
    """A rule ``high`` for band 2 and more, and further ones."""
    high = {
        "name": "high",
        "severity": "high",
        "joint": [{"analysis": "risk-propagation", "reached": 2}],
    }
    return parse_rules({"rule": [high, *more]} | settings)


def raise_for(session: Session, run_id: str, given: Mapping[str, float]) -> None:
    """Raise alerts of the rule ``high`` for these bands."""
    accounts = {name: f"customer-{name}" for name in given}
    with view_of(accounts, ()) as view:
        raise_alerts(session, SYSTEM, rules(), results(run_id, given), view)


def sqlite_engine(url: str, **options: Any) -> Engine:
    """An engine whose transactions begin IMMEDIATE."""
    engine = create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for setting in ("busy_timeout = 30000", "journal_mode = WAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def memory_engine() -> Engine:
    """An SQLite database in memory, with the tables."""
    engine = sqlite_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    Base.metadata.create_all(engine)
    return engine


def transactions_on(engine: Engine) -> Begin:
    """What gives one transaction after the other."""

    @contextmanager
    def begin() -> Any:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    return begin
