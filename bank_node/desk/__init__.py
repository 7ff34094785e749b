"""The one application layer for the bank's own people; pages, API and command line stand on it.

::

    web ─┐
    api ─┼─▸ Desk ─▸ alerts (rules, cases, exports) ─┐
    cli ─┘     └───▸ people (who signs in) ──────────┴─▸ store: one transaction with its audit entry

No page and no endpoint opens a transaction, checks a role or writes to the audit log by itself.
"""

from bank_node.desk.account_desk import KINDS
from bank_node.desk.desk import Desk
from bank_node.desk.ground import LONGEST_ACCOUNT
from bank_node.desk.office import Office
from bank_node.desk.own_payments import OwnPayments
from bank_node.desk.pages import (
    AccountPage,
    AlertPage,
    AuditFilter,
    AuditLine,
    CasePage,
    Exported,
    SampleLine,
    Summary,
    TraceLine,
    TraceNote,
    TracePage,
)
from bank_node.desk.rights import RIGHTS, Right, check_right

__all__ = [
    "KINDS",
    "LONGEST_ACCOUNT",
    "RIGHTS",
    "AccountPage",
    "AlertPage",
    "AuditFilter",
    "AuditLine",
    "CasePage",
    "Desk",
    "Exported",
    "Office",
    "OwnPayments",
    "Right",
    "SampleLine",
    "Summary",
    "TraceLine",
    "TraceNote",
    "TracePage",
    "check_right",
]
