"""From a result to alerts, in the transaction that stores it.

Whatever can be read before is read before: the payments, the results of other runs.  What goes
wrong with the rules must not cost the result, which all members have agreed to store: it then
stands in the audit log, the result stays, and ``alerts evaluate`` does it again.
"""

from collections.abc import Callable

import duckdb
import pyarrow as pa
import structlog
from sqlalchemy.orm import Session

from alerts import (
    SYSTEM,
    Action,
    AlertsError,
    AnalysisValues,
    Person,
    Raised,
    Results,
    RuleSet,
    Severity,
    auto_assign,
    load_rules,
    open_cases,
    outcome_risk,
    raise_alerts,
)
from alerts.errors import NotFound
from alerts.people import check_permission
from bank_node.desk.alert_desk import AlertDesk
from bank_node.desk.builtin_rules import BUILTIN_RULES
from bank_node.desk.case_desk import CaseDesk, staff_of
from bank_node.desk.results_of import facts_of, results_of
from bank_node.errors import UndercurrentError
from bank_node.node.compute import StagedResult
from bank_node.node.open_run import OpenRun
from bank_node.node.records import run_row
from bank_node.store import runs as run_table

__all__ = ["EvaluationDesk"]

_LOG = structlog.get_logger(__name__)
_FAULTS = (
    AlertsError,
    UndercurrentError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    duckdb.Error,
    pa.ArrowException,
)
"""What may go wrong with rules and payments; faults of the database are the caller's."""


class EvaluationDesk(AlertDesk, CaseDesk):
    """Evaluates results by the bank's rules."""

    def prepare(self, run: OpenRun, result: StagedResult) -> Callable[[Session], None]:
        """Read what the rules need; return what stores the alerts beside the result."""
        if not self._config.alerts.enabled or result.accounts is None or result.values is None:
            return lambda _session: None
        try:
            row = run_row(run, self._clock())
            new = AnalysisValues(facts_of(row), result.accounts, result.values)
            rules = about(self.current_rules(), row.analysis)
            self._payments.refresh()
            with self._reading() as session:
                results = results_of(session, row, new, self._config.alerts.combine_days)
        except _FAULTS as error:
            problem = error
            return lambda session: self._failed(session, run.run_id, problem)
        return lambda session: self._try(session, rules, results)

    def evaluate(self, who: Person, run_id: str) -> Raised:
        """Evaluate a stored run again, by today's rules; by the same rules it changes nothing."""
        check_permission(who, Action.EVALUATE)
        self._payments.refresh()
        with self._reading() as session:
            row = run_table.find(session, run_id)
            if row is None or row.phase != "stored" or row.analysis == "trace":
                raise NotFound(f"run {run_id} has no scores", "see undercurrent runs list")
            results = results_of(session, row, None, self._config.alerts.combine_days)
        rules = about(self.current_rules(), row.analysis)
        with self._writing() as session:
            return self._raise(session, rules, results, who)

    def refresh(self) -> None:
        """Read the own payments again if something was taken in."""
        self._payments.refresh()

    def outcomes(self) -> pa.Table | None:
        """Return what closed cases say about accounts, for later runs; None: not fed back."""
        feedback = self._config.alerts.feedback
        if not feedback.enabled:
            return None
        with self._reading() as session:
            return outcome_risk(session, feedback, now=self._clock())

    def current_rules(self) -> RuleSet:
        """Return the rules of the bank, as they stand in the file now."""
        path = self._config.beside(self._config.alerts.rules)
        return load_rules(path) if path.is_file() else BUILTIN_RULES

    def _try(self, session: Session, rules: RuleSet, results: Results) -> None:
        """Raise the alerts; if the rules fail, nothing of it stays but the entry that says so."""
        try:
            with session.begin_nested():
                self._raise(session, rules, results, SYSTEM)
            self.evaluation_problem = ""
        except _FAULTS as error:
            self._failed(session, results.run_id, error)

    def _raise(self, session: Session, rules: RuleSet, results: Results, who: Person) -> Raised:
        alerts, now = self._config.alerts, self._clock()
        with self._payments.view() as view:
            raised = raise_alerts(session, SYSTEM, rules, results, view)
        opened = joined = 0
        if alerts.open_cases != "none":
            lowest = Severity[alerts.open_cases.upper()]
            cases = open_cases(session, now=now, lowest=lowest)
            opened, joined = cases.opened, cases.joined
        if alerts.assign == "load" and (staff := staff_of(session)):
            auto_assign(session, SYSTEM, staff, now=now)
        told = {"rules": rules.digest, "evaluated": raised.accounts, "raised": raised.raised}
        told |= {"updated": raised.updated, "opened": opened, "joined": joined}
        self._note(session, who, "alerts.raised", told, results.run_id)
        return raised

    def _failed(self, session: Session, run_id: str, error: Exception) -> None:
        code = type(error).__name__
        self.evaluation_problem = code
        if isinstance(error, AlertsError | UndercurrentError):
            code = error.code
            self.evaluation_problem = f"{code}: {error.message}"
        _LOG.error("evaluation_failed", run_id=run_id, code=code)
        self._note(session, SYSTEM, "alerts.failed", {"code": code}, run_id)


def about(rules: RuleSet, analysis: str) -> RuleSet:
    """Return the rules that look at an analysis; the others have nothing new to see."""
    chosen = [r for r in rules.rule if any(c.analysis == analysis for c in r.joint)]
    return RuleSet(rule=tuple(chosen), sampling=rules.sampling)
