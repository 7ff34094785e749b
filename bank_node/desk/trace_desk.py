"""Traces at the desk: what was asked, what came of it, and the own payments that explain it."""

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alerts import Person
from alerts.errors import NotFound
from bank_node.desk.ground import Ground, named
from bank_node.desk.pages import TraceLine, TracePage
from bank_node.desk.rights import Right, check_right
from bank_node.desk.tables import QuestionRow
from bank_node.ingest import canonical_account
from bank_node.store import results
from bank_node.store import runs as run_table
from bank_node.store.tables import RunRow, TraceRow
from graph_mpc.window import parse_window

__all__ = ["TraceDesk"]

_MOST_LINKS = 200_000
_LINK = ["from_bank", "from_account", "to_bank", "to_account", "slice"]


class TraceDesk(Ground):
    """What people do with traces."""

    def check(self, who: Person, right: Right) -> None:
        """Refuse what the person's role does not allow."""
        check_right(who, right)

    def remember_question(self, who: Person, run_id: str, accounts: list[str]) -> None:
        """Keep which accounts a trace starts from: nobody else knows."""
        check_right(who, Right.TRACE)
        names = [canonical_account(account) for account in accounts]
        with self._writing() as session:
            row = QuestionRow(run_id=run_id, person=who.name, accounts=names, at=self._clock())
            session.merge(row)
            self._note(session, who, "trace.asked", named(names), run_id)

    def asker(self, who: Person, run_id: str) -> str:
        """Return who asked for a trace.

        Raises:
            NotFound: nobody at this bank did.
        """
        check_right(who, Right.TRACE_READ)
        query = select(QuestionRow.person).where(QuestionRow.run_id == run_id)
        with self._reading() as session:
            person = session.scalar(query)
        if person is None:
            raise _not_asked(run_id)
        return person

    def traces(self, who: Person, limit: int = 50) -> list[TraceLine]:
        """Return the traces that this bank's people asked for, the newest first."""
        check_right(who, Right.TRACE_READ)
        rows = select(func.count()).where(TraceRow.run_id == QuestionRow.run_id)
        query = select(QuestionRow, RunRow.phase, RunRow.manifest, rows.scalar_subquery())
        query = query.join(RunRow, RunRow.run_id == QuestionRow.run_id)
        query = query.order_by(QuestionRow.at.desc(), QuestionRow.run_id).limit(limit)
        with self._reading() as session:
            found = [
                TraceLine(
                    run_id=question.run_id,
                    at=question.at,
                    person=question.person,
                    accounts=tuple(question.accounts),
                    parameters=json.loads(manifest)["parameters"],
                    phase=phase,
                    rows=count,
                )
                for question, phase, manifest, count in session.execute(query)
            ]
        asked = sorted({account for line in found for account in line.accounts})
        self._on_record(who, "traces.listed", named(asked))
        return found

    def trace(self, who: Person, run_id: str) -> TracePage:
        """Return what a trace found, with the own payments that explain it."""
        check_right(who, Right.TRACE_READ)
        with self._reading() as session:
            run, question = _question(session, run_id)
            asked, at, person = tuple(question.accounts), question.at, question.person
            rows = _named(results.trace_of(session, run_id))
        parameters: Mapping[str, str] = json.loads(run.manifest)["parameters"]
        page = TracePage(
            run_id=run_id,
            at=at,
            person=person,
            accounts=asked,
            parameters=parameters,
            policy=run.policy,
            rows=rows,
            links=self._links([*asked, *rows["account"].to_pylist()], parameters),
        )
        reached = pc.unique(rows["account"]).to_pylist()
        details = named([*asked, *(a for a in reached if a not in asked)])
        self._on_record(who, "trace.read", details, run_id)
        return page

    def _links(self, accounts: list[str], parameters: Mapping[str, str]) -> pa.Table:
        """Return own payments in the window that touch the accounts, per slice.

        A payment to an own account that was not reached is left out: it has no place in the
        picture.
        """
        window = parse_window(
            parameters.get("since"), parameters.get("until"), parameters.get("slice", "1d")
        )
        names = pa.array(sorted(set(accounts)), pa.string())
        with self._payments.view() as view:
            found = view.transactions(names, window.since, window.until, _MOST_LINKS)
        own_ends = [
            pc.or_(pc.invert(found[f"{side}_own"]), pc.is_in(found[f"{side}_account"], names))
            for side in ("from", "to")
        ]
        kept = found.filter(pc.and_(*own_ends))
        number = np.zeros(len(kept), np.int64)
        if window.slice_us is not None and window.since is not None:
            number = (kept["timestamp"].to_numpy() - window.since) // window.slice_us
        table = kept.append_column("slice", pa.array(number))
        summed = table.group_by(_LINK).aggregate([("amount", "sum"), ("tx_id", "count")])
        return (
            summed.rename_columns([*_LINK, "amount", "payments"])
            .sort_by([(name, "ascending") for name in (_LINK[4], *_LINK[:4])])
            .combine_chunks()
        )


def _question(session: Session, run_id: str) -> tuple[run_table.Run, QuestionRow]:
    run = run_table.find(session, run_id)
    question = session.get(QuestionRow, run_id)
    if run is None or question is None:
        raise _not_asked(run_id)
    return run, question


def _not_asked(run_id: str) -> NotFound:
    return NotFound(
        f"no trace {run_id[:64]!r} was asked for by this bank's people", "list the traces"
    )


def _named(rows: pa.Table) -> pa.Table:
    """Leave out columns that the run did not give; a trace that reached nothing keeps all."""
    kept = [n for n in rows.column_names if rows[n].null_count < len(rows) or not len(rows)]
    return rows.select(kept)
