"""Samples above and below the line of a rule, for tuning it.

*Above*: accounts that the rule found; judging them tells how many of its alerts are worth the work.
*Below*: accounts just under its line, which nobody would look at otherwise; judging them tells
what the line misses.  The sample of a run is the accounts with the smallest
SHA-256(run id, rule, line, account): everybody can draw it again, and nobody can choose it.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from alerts.changes import refuse_stale
from alerts.errors import NotFound, StaleVersion
from alerts.evaluate import matching_rows
from alerts.local_view import LocalView
from alerts.people import Action, Person, check_permission
from alerts.results import Aligned
from alerts.rules import Rule, Sampling
from alerts.tables import Sample
from alerts.words import checked_note

__all__ = ["SampleCounts", "draw_samples", "judge_sample", "sample_counts"]

_SCHEMA = pa.schema([(name, pa.string()) for name in ("run_id", "rule", "account", "line")])


def draw_samples(
    rule: Rule, sampling: Sampling, run_id: str, data: Aligned, view: LocalView
) -> pa.Table:
    """Draw the samples of one rule: run_id, rule, account, line (``above`` or ``below``)."""
    if not sampling.above and not sampling.below:
        return _SCHEMA.empty_table()
    found, _holds = matching_rows(rule, data, view)
    parts = [_drawn(rule, run_id, "above", data.accounts, found, sampling.above)]
    if sampling.below:
        wider, _holds = matching_rows(rule.relaxed(sampling.bands, sampling.share), data, view)
        under = np.setdiff1d(wider, found, assume_unique=True)
        parts.append(_drawn(rule, run_id, "below", data.accounts, under, sampling.below))
    return pa.concat_tables(parts)


def _drawn(
    rule: Rule, run_id: str, line: str, accounts: pa.Array, rows: np.ndarray, size: int
) -> pa.Table:
    """Take the ``size`` accounts whose hash is smallest."""
    names = pc.cast(accounts.take(pa.array(rows)), pa.string())
    with duckdb.connect(":memory:") as con:
        con.register("candidates", pa.table({"account": names}))
        return (
            con.sql(
                """
            SELECT $run AS run_id, $rule AS rule, account, $line AS line FROM candidates
            ORDER BY sha256(concat_ws(chr(31), $run, $rule, $line, account)), account LIMIT $size
            """,
                params={"run": run_id, "rule": rule.name, "line": line, "size": size},
            )
            .to_arrow_table()
            .cast(_SCHEMA)
        )


@dataclass(frozen=True)
class SampleCounts:
    """How the samples of a rule on one side of its line were judged."""

    rule: str
    line: str
    drawn: int
    judged: int
    worthwhile: int


@refuse_stale
def judge_sample(
    session: Session,
    person: Person,
    run_id: str,
    rule: str,
    account: str,
    *,
    worthwhile: bool,
    note: str,
    now: int,
) -> None:
    """Record whether a sampled account was worth an alert; each is judged once."""
    check_permission(person, Action.JUDGE_SAMPLE)
    text = checked_note(note)
    sample = session.get(Sample, (run_id, rule, account), with_for_update=True)
    if sample is None:
        raise NotFound(
            f"no such account was drawn for rule {rule} in run {run_id}", "list the samples"
        )
    if sample.judged_by is not None:
        raise StaleVersion(f"{sample.judged_by} judged it already", "go on with another sample")
    sample.worthwhile, sample.note = worthwhile, text
    sample.judged_by, sample.judged_at = person.name, now
    session.flush()


def sample_counts(session: Session) -> list[SampleCounts]:
    """Count the samples of each rule and line, and how they were judged."""
    query = (
        select(
            Sample.rule,
            Sample.line,
            func.count(),
            func.count(Sample.judged_by),
            func.sum(case((Sample.worthwhile.is_(True), 1), else_=0)),
        )
        .group_by(Sample.rule, Sample.line)
        .order_by(Sample.rule, Sample.line)
    )
    return [SampleCounts(*row) for row in session.execute(query)]
