"""The desk: all that the bank's own people do with results, alerts, cases, traces and the log."""

from bank_node.desk.account_desk import AccountDesk
from bank_node.desk.audit_desk import AuditDesk
from bank_node.desk.person_desk import PersonDesk
from bank_node.desk.rule_desk import RuleDesk
from bank_node.desk.trace_desk import TraceDesk

__all__ = ["Desk"]


class Desk(RuleDesk, AccountDesk, TraceDesk, AuditDesk, PersonDesk):
    """The one layer between the pages, the API and the command line, and what lies below.

    Each method is one thing that a person does: it checks what their role allows, does it in one
    transaction, and puts it on record.  All are safe to call from several threads.  Errors are
    :class:`alerts.AlertsError` and :class:`bank_node.errors.UndercurrentError`.
    """
