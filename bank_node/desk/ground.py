"""What all parts of the desk stand on: the database, the payments, the clock, and the audit log.

A reading gathers first and goes on record then, both before anything is handed out: no writer
waits while payments are looked through, and nobody sees an account without an entry.  A change and
its entry are one transaction.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from alerts import Change, Person
from bank_node.desk.own_payments import OwnPayments
from bank_node.node.config import NodeConfig
from bank_node.node.records import Entry, Records
from bank_node.store.audit import ACCOUNT

__all__ = ["LONGEST_ACCOUNT", "Ground", "named", "with_traced"]

LONGEST_ACCOUNT = 400
"""Characters of an account's id that a person can ask with: more than any bank's have."""
_MOST_NAMED = 500
"""Accounts that one audit entry names."""


class Ground:
    """Base of the desk's parts.

    Args:
        config: the node's configuration.
        records: its database.
        payments: its own payments.
        clock: microseconds since 1970.
    """

    def __init__(
        self,
        config: NodeConfig,
        records: Records,
        payments: OwnPayments,
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._records = records
        self._payments = payments
        self._clock = clock

    @property
    def bank(self) -> str:
        """Id of the bank."""
        return self._payments.bank

    @property
    def currency(self) -> str:
        """Base currency of all amounts."""
        return self._payments.currency

    @property
    def decimals(self) -> int:
        """Decimals of the base currency."""
        return self._payments.decimals

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        """Give a session that sees one moment."""
        with self._records.database.read() as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """Give a session of one writing transaction."""
        with self._records.database.begin() as session:
            yield session

    def _note(
        self,
        session: Session,
        who: Person | str,
        action: str,
        details: Mapping[str, Any],
        run_id: str | None = None,
    ) -> None:
        """Add to the audit log in a transaction: one entry, or as many as name all accounts."""
        actor = who if isinstance(who, str) else who.name
        role = {} if isinstance(who, str) else {"role": who.role.value}
        now = self._clock()
        for told in _entries({**role, **details}):
            self._records.append_in(session, Entry(actor, action, told, run_id), now)

    def _on_record(
        self,
        who: Person,
        action: str,
        details: Mapping[str, Any],
        run_id: str | None = None,
    ) -> None:
        """Put a reading on record."""
        with self._writing() as session:
            self._note(session, who, action, details, run_id)

    def _changed(self, session: Session, who: Person, change: Change) -> Change:
        """Put a change of a case on record; its words stand in the case's journal."""
        entry, case = change.entry, change.case
        told: dict[str, Any] = {"case": case.id, "version": case.version, "state": case.state.value}
        told |= {"assignee": case.assignee} if case.assignee else {}
        self._note(session, who, f"case.{entry.action}", told)
        return change


def named(accounts: Sequence[str]) -> dict[str, Any]:
    """Return accounts as details for the audit log: all of them, and how many there are."""
    return {ACCOUNT: list(accounts), "count": len(accounts)}


def with_traced(accounts: Sequence[str], traces: Iterable[pa.Table]) -> list[str]:
    """Return accounts and then those in the rows of traces, each once."""
    reached = [name for rows in traces for name in pc.unique(rows[ACCOUNT]).to_pylist()]
    return list(dict.fromkeys([*accounts, *reached]))


def _entries(details: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give the details of one entry; of several, numbered, if one cannot name all accounts."""
    accounts = details.get(ACCOUNT)
    if not isinstance(accounts, list) or len(accounts) <= _MOST_NAMED:
        yield details
        return
    for part, start in enumerate(range(0, len(accounts), _MOST_NAMED), start=1):
        yield {**details, ACCOUNT: accounts[start : start + _MOST_NAMED], "part": part}
