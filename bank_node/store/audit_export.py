"""The audit log as lines of JSON, and checking them without the database."""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sqlalchemy.orm import Session

from bank_node.store.canonical import canonical
from bank_node.store.chain import Checkpoint, Entry
from bank_node.store.entries import all_checkpoints, all_entries
from bank_node.store.errors import AuditBrokenError
from bank_node.store.verification import Head, Verification, check

__all__ = ["export", "verify_export"]


def export(session: Session) -> Iterator[str]:
    """Return the log as lines of JSON: the checkpoints, then the entries."""
    for checkpoint in all_checkpoints(session):
        yield canonical({"checkpoint": vars(checkpoint)})
    for entry in all_entries(session):
        yield canonical({"entry": vars(entry)})


def verify_export(
    lines: Iterable[str], public_keys: Collection[str], known: Head | None = None
) -> Verification:
    """Check a log that was exported, as ``verify`` does.

    Raises:
        AuditBrokenError: a line has not the form that ``export`` writes.
    """
    found: dict[str, list[dict[str, Any]]] = {"checkpoint": [], "entry": []}
    try:
        for line in lines:
            [(kind, fields)] = json.loads(line).items()
            found[kind].append(fields)
        checkpoints = [Checkpoint(**fields) for fields in found["checkpoint"]]
        exported = [Entry(**fields) for fields in found["entry"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise AuditBrokenError(
            "The export has a line that is no entry and no checkpoint", "Export the log again"
        ) from None
    return check(exported, checkpoints, public_keys, known)
