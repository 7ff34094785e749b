"""A case on its way out: as a draft report, for other tools, and on paper.

Every format is written from one :class:`CaseFile`, which holds only what the bank itself knows.
"""

from alerts.export.case_file import CaseFile, export_name, gather_case
from alerts.export.documents import alerts_csv, case_json, transactions_csv
from alerts.export.follow_the_money import follow_the_money
from alerts.export.goaml import goaml_report
from alerts.export.page import case_page
from alerts.export.profile import CountryProfile, load_profile, parse_profile

__all__ = [
    "CaseFile",
    "CountryProfile",
    "alerts_csv",
    "case_json",
    "case_page",
    "export_name",
    "follow_the_money",
    "gather_case",
    "goaml_report",
    "load_profile",
    "parse_profile",
    "transactions_csv",
]
