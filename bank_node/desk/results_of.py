"""The stored results of joint runs as :class:`alerts.Results`, which rules are evaluated on."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from alerts import AnalysisValues, Results, RunFacts
from bank_node.consortium.canonical import moment_us
from bank_node.store import results
from bank_node.store import runs as run_table

__all__ = ["facts_of", "results_of", "scored_runs", "values_of"]

_DAY = 86_400_000_000
_LOOKED_AT = 500
_WINDOW = ("since", "until")


def scored_runs(session: Session, analysis: str | None = None) -> list[run_table.Run]:
    """Return the runs whose scores are stored, the newest first; no rehearsal, no preparation."""
    chosen = () if analysis is None else (analysis,)
    found = run_table.newest(session, limit=_LOOKED_AT, analyses=chosen, phases=("stored",))
    return [r for r in found if not r.rehearsal and r.analysis != "trace" and not _prepares(r)]


def results_of(
    session: Session, run: run_table.Run, new: AnalysisValues | None, combine_days: int
) -> Results:
    """Return what the rules look at when a run has just come in, or came in then.

    Args:
        session: a reading transaction.
        run: the run.
        new: its values; None: they are stored already.
        combine_days: results of other analyses that are older than this do not count.
    """
    before = [r for r in scored_runs(session) if _order(r) < _order(run)]
    current = {run.analysis: new or values_of(session, run)}
    previous = {}
    bases = {run.analysis: run}
    for other in before:
        is_recent = run.created - other.created <= combine_days * _DAY
        if other.analysis not in bases and is_recent:
            bases[other.analysis] = other
            current[other.analysis] = values_of(session, other)
        elif other.analysis not in previous and _comparable(other, bases.get(other.analysis)):
            previous[other.analysis] = values_of(session, other)
    return Results(run.run_id, run.created, tuple(current.values()), tuple(previous.values()))


def values_of(session: Session, run: run_table.Run) -> AnalysisValues:
    """Return the stored values of a run."""
    scores = results.scores_of(session, run.run_id)
    values = scores["value"].to_numpy().astype(np.float64)
    return AnalysisValues(facts_of(run), scores["account"].combine_chunks(), values)


def facts_of(run: run_table.Run) -> RunFacts:
    """Return what every member knows of a run."""
    manifest = json.loads(run.manifest)
    since, until = (_moment(manifest["parameters"].get(name)) for name in _WINDOW)
    return RunFacts(
        run_id=run.run_id,
        analysis=run.analysis,
        policy=run.policy,
        agreement=manifest["agreement"],
        at=run.created,
        since=since,
        until=until,
    )


def _comparable(run: run_table.Run, with_: run_table.Run | None) -> bool:
    """Return whether a rise from one run to the other means something: same but the window."""
    if with_ is None or run.policy != with_.policy or run.run_id == with_.run_id:
        return False
    return _kind(run) == _kind(with_)


def _kind(run: run_table.Run) -> Mapping[str, Any]:
    parameters = json.loads(run.manifest)["parameters"]
    return {name: value for name, value in parameters.items() if name not in _WINDOW}


def _prepares(run: run_table.Run) -> bool:
    return bool(json.loads(run.manifest).get("prepare_runs", 0))


def _order(run: run_table.Run) -> tuple[int, str]:
    return run.created, run.run_id


def _moment(text: str | None) -> int | None:
    return None if not text else moment_us(text)
