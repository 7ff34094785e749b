"""The audit log at the desk: search and verify."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from alerts import Person
from bank_node.desk.ground import Ground
from bank_node.desk.pages import AuditFilter, AuditLine
from bank_node.desk.rights import Right, check_right
from bank_node.store import audit
from bank_node.store.tables import AuditRow
from bank_node.store.verification import Verification

__all__ = ["AuditDesk"]

_MOST = 1000
_LOOKED_THROUGH = 200_000


class AuditDesk(Ground):
    """What people do with the audit log; that they looked is on record too."""

    def audit(
        self,
        who: Person,
        wanted: AuditFilter | None = None,
        *,
        limit: int = 100,
        before: int | None = None,
    ) -> list[AuditLine]:
        """Return entries, the newest first.

        Args:
            who: the person. wanted: which ones; an account is looked for in the last 200,000.
            limit: how many, at most 1,000. before: only those with a smaller number.
        """
        check_right(who, Right.AUDIT)
        chosen = wanted or AuditFilter()
        query = select(AuditRow).order_by(AuditRow.number.desc())
        for column, value in (
            (AuditRow.actor, chosen.actor),
            (AuditRow.action, chosen.action),
            (AuditRow.run_id, chosen.run_id),
        ):
            query = query if value is None else query.where(column == value)
        query = query if chosen.since is None else query.where(AuditRow.at >= chosen.since)
        query = query if chosen.until is None else query.where(AuditRow.at < chosen.until)
        query = query if before is None else query.where(AuditRow.number < before)
        wanted_rows = min(max(limit, 1), _MOST)
        most = wanted_rows if chosen.account is None else _LOOKED_THROUGH
        found: list[AuditLine] = []
        with self._reading() as session:
            rows = session.scalars(query.limit(most).execution_options(yield_per=1000))
            for line in map(_line, rows):
                if chosen.account is None or _names(line.details, chosen.account):
                    found.append(line)
                if len(found) == wanted_rows:
                    break
        asked = {k: v for k, v in vars(chosen).items() if v is not None and k != "run_id"}
        self._on_record(who, "audit.read", asked | {"entries": len(found)}, chosen.run_id)
        return found

    def verify_audit(self, who: Person) -> Verification:
        """Return whether the log is what was written."""
        check_right(who, Right.AUDIT)
        found = self._records.verify_log()
        self._on_record(who, "audit.verified", {"ok": found.ok, "entries": found.rows})
        return found

    def export_audit(self, who: Person) -> Iterator[str]:
        """Return the log as lines of JSON, for an auditor's own check."""
        check_right(who, Right.AUDIT)
        self._on_record(who, "audit.exported", {})
        return self._lines()

    def _lines(self) -> Iterator[str]:
        with self._reading() as session:
            yield from (f"{line}\n" for line in audit.export(session))


def _line(row: AuditRow) -> AuditLine:
    details: dict[str, Any] = json.loads(row.details)
    return AuditLine(row.number, row.at, row.actor, row.action, row.run_id, details, row.hash)


def _names(details: Any, account: str) -> bool:
    named = details.get(audit.ACCOUNT, [])
    return account == named or (isinstance(named, list) and account in named)
