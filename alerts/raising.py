"""From the hits of a run to alerts in the database: one open alert for a customer and rule.

A hit of a customer whose alert of the rule is still open makes no second alert: the alert gets a
further *sighting*.  Evaluating a run again by the same rules changes nothing.  A run that is older
than what an alert saw last adds its sighting and changes nothing else, and a customer whose alert
from this very run was closed is not raised again.  What is stored comes from two places only: the
released results of the bank's own accounts, and facts of the run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from alerts.changes import refuse_stale
from alerts.errors import StaleVersion
from alerts.evaluate import TOLERANCE, Hits, find_hits
from alerts.figures import Found, describe_hits
from alerts.local_view import LocalView
from alerts.opening import alert_rose
from alerts.people import Action, Person, check_permission
from alerts.results import Results, align
from alerts.rules import RuleSet
from alerts.sampling import draw_samples
from alerts.tables import (
    ALERT_CLOSED,
    ALERT_IN_CASE,
    ALERT_OPEN,
    Alert,
    AlertAccount,
    Evaluation,
    Sample,
    Sighting,
)

__all__ = ["Raised", "raise_alerts"]

_CHUNK = 5_000


@dataclass(frozen=True)
class Raised:
    """What an evaluation did.

    Attributes:
        run_id: the run. rules: digest of the rules. accounts: accounts with a result.
        raised: alerts that are new. updated: open alerts that were seen again.
        repeated: whether the run had been evaluated by these rules before, and nothing was done.
    """

    run_id: str
    rules: str
    accounts: int
    raised: int
    updated: int
    repeated: bool


@refuse_stale
def raise_alerts(
    session: Session, person: Person, rules: RuleSet, results: Results, view: LocalView
) -> Raised:
    """Evaluate all rules on the results of a run and store alerts and samples.

    Everything happens in the caller's transaction; nothing is committed here.

    Raises:
        ForeignAccount: a result names an account that is not the bank's own.
    """
    check_permission(person, Action.EVALUATE)
    done = session.get(Evaluation, (results.run_id, rules.digest))
    if done is not None:
        return Raised(done.run_id, done.rules, done.accounts, done.raised, done.updated, True)
    data = align(results)
    raised = updated = 0
    for rule in rules.rule:
        hits = find_hits(rule, data, view)
        found = describe_hits(hits, data)
        new, seen = _store(session, results, hits, found, data.accounts)
        raised, updated = raised + new, updated + seen
        samples = draw_samples(rule, rules.sampling, results.run_id, data, view)
        _store_samples(session, results.run_id, samples.to_pylist())
    evaluation = Evaluation(
        run_id=results.run_id,
        rules=rules.digest,
        at=results.at,
        accounts=len(data.accounts),
        raised=raised,
        updated=updated,
    )
    session.add(evaluation)
    session.flush()
    return Raised(results.run_id, rules.digest, len(data.accounts), raised, updated, False)


def _store(
    session: Session,
    results: Results,
    hits: Hits,
    found: Sequence[Found],
    accounts: pa.Array,
) -> tuple[int, int]:
    """Write the alerts of one rule; return how many are new and how many were seen again."""
    known = _open_alerts(session, hits.rule.name)
    judged = _judged_subjects(session, hits.rule.name, results.run_id)
    new = [f for f in found if f.subject not in known and f.subject not in judged]
    again = [(known[f.subject], f) for f in found if f.subject in known]
    newer = [(k, f) for k, f in again if results.at >= k.seen_at]
    ids = dict(_insert_alerts(session, results, hits, new))
    _update_alerts(session, results, newer)
    _see(session, results, [(ids[f.subject], f) for f in new] + [(k.id, f) for k, f in again])
    ids |= {f.subject: k.id for k, f in newer}
    _add_accounts(session, hits, ids, accounts)
    return len(new), len(again)


@dataclass(frozen=True)
class _Known:
    """An alert that is not closed; ``seen_at``: time of the last run that saw it."""

    id: int
    version: int
    status: str
    case_id: int | None
    strength: float
    seen_at: int


def _open_alerts(session: Session, rule: str) -> dict[str, _Known]:
    last = (Sighting.alert_id == Alert.id) & (Sighting.run_id == Alert.last_run)
    seen_at = func.coalesce(Sighting.at, Alert.created_at)
    known = (Alert.id, Alert.version, Alert.status, Alert.case_id, Alert.strength, seen_at)
    query = (
        select(Alert.subject, *known)
        .outerjoin(Sighting, last)
        .where(Alert.rule == rule, Alert.status != ALERT_CLOSED)
    )
    return {row[0]: _Known(*row[1:]) for row in session.execute(query)}


def _judged_subjects(session: Session, rule: str, run_id: str) -> set[str]:
    """Return whose alert of the rule saw this run and is closed: people have judged it."""
    query = (
        select(Alert.subject)
        .join(Sighting, Sighting.alert_id == Alert.id)
        .where(Alert.rule == rule, Alert.status == ALERT_CLOSED, Sighting.run_id == run_id)
    )
    return set(session.scalars(query))


def _insert_alerts(
    session: Session, results: Results, hits: Hits, found: Sequence[Found]
) -> Iterable[tuple[str, int]]:
    if not found:
        return []
    common = {
        "version": 1,
        "status": ALERT_OPEN,
        "rule": hits.rule.name,
        "severity": int(hits.rule.severity),
        "first_run": results.run_id,
        "last_run": results.run_id,
        "created_at": results.at,
        "updated_at": results.at,
    }
    rows = [
        common | {"subject": f.subject, "strength": f.strength, "reason": f.reason} for f in found
    ]
    table = Alert.__table__
    written = session.execute(insert(Alert).returning(table.c.subject, table.c.id), rows)
    return [(subject, number) for subject, number in written]


def _update_alerts(
    session: Session, results: Results, pairs: Sequence[tuple[_Known, Found]]
) -> None:
    if not pairs:
        return
    risen = _risen(session, pairs)
    table: Any = Alert.__table__
    statement = (
        update(table)
        .where(table.c.id == bindparam("b_id"), table.c.version == bindparam("b_version"))
        .values(
            version=bindparam("b_version") + 1,
            strength=bindparam("b_strength"),
            reason=bindparam("b_reason"),
            last_run=results.run_id,
            updated_at=results.at,
        )
    )
    rows = [
        {"b_id": k.id, "b_version": k.version, "b_strength": f.strength, "b_reason": f.reason}
        for k, f in pairs
    ]
    written: Any = session.connection().execute(statement, rows)
    if written.rowcount not in (-1, len(rows)):
        raise StaleVersion("an alert changed while its run was evaluated", "evaluate the run again")
    for case_id, alert_id, reason in risen:
        alert_rose(session, case_id, alert_id, reason, now=results.at)


def _risen(session: Session, pairs: Sequence[tuple[_Known, Found]]) -> list[tuple[int, int, str]]:
    """Return case, alert and reason of what is stronger than its last run said, by like measure."""
    stronger = [
        (known.case_id, known.id, found)
        for known, found in pairs
        if known.status == ALERT_IN_CASE
        and known.case_id
        and found.strength > known.strength + TOLERANCE
    ]
    last = _last_figures(session, [alert_id for _case, alert_id, _found in stronger])
    return [
        (case_id, alert_id, found.reason)
        for case_id, alert_id, found in stronger
        if alert_id in last and _measure(last[alert_id]) == _measure(found.figures)
    ]


def _last_figures(session: Session, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    """Return what the last run said of each alert, as far as it is kept."""
    figures: dict[int, Mapping[str, Any]] = {}
    for start in range(0, len(ids), _CHUNK):
        query = (
            select(Sighting.alert_id, Sighting.figures)
            .join(Alert, (Alert.id == Sighting.alert_id) & (Alert.last_run == Sighting.run_id))
            .where(Alert.id.in_(ids[start : start + _CHUNK]))
        )
        figures |= dict(session.execute(query).all())
    return figures


def _measure(figures: Mapping[str, Any]) -> tuple[str, str]:
    """Return the analysis whose value is the strength, and its policy; no others compare."""
    lead: str = figures["accounts"][0]["lead"]
    return lead, figures["runs"][lead]["policy"]


def _see(session: Session, results: Results, pairs: Sequence[tuple[int, Found]]) -> None:
    """Add the sightings of this run; one that is there from other rules is replaced."""
    table: Any = Sighting.__table__
    for start in range(0, len(pairs), _CHUNK):
        part = pairs[start : start + _CHUNK]
        ids = [number for number, _found in part]
        session.execute(
            table.delete().where(table.c.run_id == results.run_id, table.c.alert_id.in_(ids))
        )
        rows = [
            {
                "alert_id": number,
                "run_id": results.run_id,
                "at": results.at,
                "reason": found.reason,
                "figures": found.figures,
            }
            for number, found in part
        ]
        session.execute(insert(Sighting), rows)


def _add_accounts(session: Session, hits: Hits, ids: dict[str, int], accounts: pa.Array) -> None:
    """Add the accounts of the hits to their alerts (``ids``), those that are not there yet."""
    if not ids:
        return
    by_group = np.array([ids.get(subject, 0) for subject in hits.subjects], np.int64)
    each = np.repeat(by_group, np.diff(hits.start))
    alert = each[each > 0].tolist()
    names = accounts.take(pa.array(hits.row[each > 0])).to_pylist()
    by_group = by_group[by_group > 0]
    there: set[tuple[int, str]] = set()
    for start in range(0, len(by_group), _CHUNK):
        part = by_group[start : start + _CHUNK].tolist()
        query = select(AlertAccount.alert_id, AlertAccount.account).where(
            AlertAccount.alert_id.in_(part)
        )
        there.update(session.execute(query).all())
    rows = [
        {"alert_id": a, "account": n}
        for a, n in zip(alert, names, strict=True)
        if (a, n) not in there
    ]
    if rows:
        session.execute(insert(AlertAccount), rows)


def _store_samples(session: Session, run_id: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    rule = rows[0]["rule"]
    query = select(Sample.account).where(Sample.run_id == run_id, Sample.rule == rule)
    there = set(session.scalars(query))
    fresh = [row for row in rows if row["account"] not in there]
    if fresh:
        session.execute(insert(Sample), fresh)
