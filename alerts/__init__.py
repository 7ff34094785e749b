"""From results to alerts: rules, cases, explanations, exports.

::

    released results ──raise_alerts──▸ alerts ──open_cases──▸ cases ──▸ outcome_risk ──▸ later runs
         own payments ──explain──▸ why         people act on them       drafts, exports

What is offered here is what a node needs to run by itself, and the data that goes in and out.  What
people do stands in modules of its own, each function with the person, the version they saw, a note
and the time:

- :mod:`alerts.opening`: open a case, add an alert to it
- :mod:`alerts.cases`: take, assign, begin, add_note, escalate, snooze, wake
- :mod:`alerts.review`: submit, approve, send_back, reopen
- :mod:`alerts.traces`: attach_trace
- :mod:`alerts.sampling`: judge_sample, sample_counts
- :mod:`alerts.queries`: lists, journals, who worked on what
- :mod:`alerts.export`: goAML draft, FollowTheMoney, CSV, JSON, printable page

The tables are :data:`alerts.tables.Base`'s; every function works in its caller's session and
transaction, and commits nothing.
"""

from alerts.assignment import Opened, auto_assign, open_cases, take_next
from alerts.back_test import BackTest, back_test
from alerts.errors import AlertsError
from alerts.explain import Explanation, explain
from alerts.feedback import Feedback, merged_risk, outcome_risk
from alerts.local_view import LocalView, ResultHistory
from alerts.payments_view import PaymentsView
from alerts.people import PERMISSIONS, SYSTEM, Action, Person, Role
from alerts.raising import Raised, raise_alerts
from alerts.results import AnalysisValues, Results, RunFacts
from alerts.rules import Rule, RuleSet, Severity, load_rules, parse_rules
from alerts.states import Outcome, State
from alerts.views import AlertView, CaseView, Change, Entry

__all__ = [
    "PERMISSIONS",
    "SYSTEM",
    "Action",
    "AlertView",
    "AlertsError",
    "AnalysisValues",
    "BackTest",
    "CaseView",
    "Change",
    "Entry",
    "Explanation",
    "Feedback",
    "LocalView",
    "Opened",
    "Outcome",
    "PaymentsView",
    "Person",
    "Raised",
    "ResultHistory",
    "Results",
    "Role",
    "Rule",
    "RuleSet",
    "RunFacts",
    "Severity",
    "State",
    "auto_assign",
    "back_test",
    "explain",
    "load_rules",
    "merged_risk",
    "open_cases",
    "outcome_risk",
    "parse_rules",
    "raise_alerts",
    "take_next",
]
