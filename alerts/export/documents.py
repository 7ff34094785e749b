"""A case as JSON, and its tables as CSV that a spreadsheet cannot mistake for formulas."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from alerts.export.case_file import CaseFile
from alerts.views import AlertView
from alerts.words import amount_text, iso_time

__all__ = ["alerts_csv", "case_json", "transactions_csv"]

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # also full width
_VERSION = 1


def guarded(value: object) -> str:
    """Return a cell that no spreadsheet runs: text that could start a formula, or hides its start
    behind blanks, gets an apostrophe.

    >>> guarded("=1+1"), guarded("A1"), guarded(None)
    ("'=1+1", 'A1', '')
    """
    text = "" if value is None else str(value)
    return f"'{text}" if text != text.lstrip() or text.startswith(_FORMULA) else text


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([[guarded(cell) for cell in row] for row in rows])
    return out.getvalue()


def alerts_csv(alerts: Iterable[AlertView]) -> str:
    """Return alerts as CSV with a header, in the order given."""
    header = ("alert", "status", "rule", "severity", "about", "case", "reason")
    return _csv(
        (*header, "first_run", "last_run", "raised_at", "seen_at"),
        (
            (
                *(a.id, a.status, a.rule, a.severity.name.lower(), a.subject, a.case_id, a.reason),
                *(a.first_run, a.last_run, iso_time(a.created_at), iso_time(a.updated_at)),
            )
            for a in alerts
        ),
    )


def transactions_csv(file: CaseFile) -> str:
    """Return the own payments behind a case as CSV with a header, sorted by time."""
    header = ("tx_id", "timestamp", "from_bank", "from_account", "to_bank", "to_account")
    return _csv(
        (*header, "amount", "currency", "channel"),
        (
            (
                row["tx_id"],
                iso_time(row["timestamp"]),
                *(row[name] for name in header[2:]),
                amount_text(row["amount"], file.decimals),
                file.currency,
                row["channel"],
            )
            for row in file.transactions.to_pylist()
        ),
    )


def case_json(file: CaseFile) -> str:
    """Return a whole case as one JSON document; amounts and times as text."""
    case = file.case
    document = {
        "format": "undercurrent-case",
        "version": _VERSION,
        "made_at": iso_time(file.made_at),
        "made_by": file.made_by,
        "bank": file.bank,
        "currency": file.currency,
        "case": {
            "id": case.id,
            "state": case.state,
            "about": case.subject,
            "severity": case.severity.name.lower(),
            "assignee": case.assignee,
            "outcome": case.outcome,
            "opened_at": iso_time(case.opened_at),
            "opened_by": case.opened_by,
            "closed_at": iso_time(case.closed_at) or None,
            "snoozed_until": iso_time(case.snoozed_until) or None,
        },
        "accounts": [
            {"account": account, "customer": customer}
            for account, customer in zip(file.accounts, file.customers, strict=True)
        ],
        "alerts": [_alert(file, alert) for alert in file.alerts],
        "journal": [_entry(entry) for entry in file.journal],
        "traces": [
            {
                "run_id": trace.run_id,
                "title": trace.title,
                "attached_at": iso_time(trace.at),
                "attached_by": trace.person,
                "rows": trace.rows.to_pylist(),
            }
            for trace in file.traces
        ],
        "transactions": _money(file.transactions, ("amount",), file.decimals),
        "counterparties": _money(file.counterparties, ("received", "paid"), file.decimals),
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _alert(file: CaseFile, alert: AlertView) -> dict[str, Any]:
    return {
        "id": alert.id,
        "status": alert.status,
        "rule": alert.rule,
        "severity": alert.severity.name.lower(),
        "about": alert.subject,
        "reason": alert.reason,
        "first_run": alert.first_run,
        "last_run": alert.last_run,
        "raised_at": iso_time(alert.created_at),
        "figures": file.figures[alert.id],
    }


def _entry(entry: Any) -> dict[str, Any]:
    return {
        "version": entry.version,
        "at": iso_time(entry.at),
        "person": entry.person,
        "role": entry.role,
        "action": entry.action,
        "from": entry.from_state,
        "to": entry.to_state,
        "note": entry.note,
        "details": entry.details,
    }


def _money(table: pa.Table, columns: Sequence[str], decimals: int) -> list[dict[str, Any]]:
    """Return rows with amounts as decimal text and times as ISO 8601."""
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row |= {name: amount_text(row[name], decimals) for name in columns}
        if "timestamp" in row:
            row["timestamp"] = iso_time(row["timestamp"])
    return rows
