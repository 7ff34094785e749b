"""Taking in a bank's transactions: from CSV, Parquet or PostgreSQL to one file for each day.

:func:`take_in` reads what is new at the source, judges it by the rules of :mod:`bank_node.rules`,
and writes it as Parquet, listed in one step by a :class:`DayList`; :func:`read_taken` gives it to
the worker of a joint run; :func:`forget_before` removes what is older than the retention.  What
counts is what is listed: :func:`sweep` removes the rest.
"""

from bank_node.intake.config import DataConfig
from bank_node.intake.days import DayFile, DayList, JsonDays
from bank_node.intake.folders import sweep
from bank_node.intake.reading import read_taken
from bank_node.intake.report import IntakeReport, Refused
from bank_node.intake.retention import forget_before
from bank_node.intake.taking import take_in

__all__ = [
    "DataConfig",
    "DayFile",
    "DayList",
    "IntakeReport",
    "JsonDays",
    "Refused",
    "forget_before",
    "read_taken",
    "sweep",
    "take_in",
]
