"""A case as a draft of a goAML report (XML, element order of goAML 5.0.1).

``report``: rentity_id, rentity_branch, submission_code, report_code, entity_reference,
submission_date, currency_code_local, reporting_person, location, reason, action, transaction…,
report_indicators.  A bank's people complete the draft (names of customers are not in the node) and
check it against their own country's schema; here it is checked against ``goaml-subset.xsd``, our
own description of the elements that we write and their order.  That it is a draft stands in a
comment at the top and in ``entity_reference``.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import xmlschema

from alerts.errors import ReportInvalid
from alerts.export.case_file import CaseFile
from alerts.export.follow_the_money import BIC, IBAN
from alerts.export.profile import CountryProfile
from alerts.people import Action, Person, check_permission
from alerts.words import amount_text, iso_time

__all__ = ["check_report", "goaml_report"]

_SCHEMA = Path(__file__).with_name("goaml-subset.xsd")
# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def goaml_report(person: Person, file: CaseFile, profile: CountryProfile) -> bytes:
    """Return the draft report of a case, checked against the subset of the schema.

    Raises:
        ReportInvalid: the case has no payments, or a value that goAML cannot hold.
    """
    check_permission(person, Action.DRAFT_REPORT)
    if not len(file.transactions):
        raise ReportInvalid(
            f"case {file.case.id} has no payments to report", "report it as an activity by hand"
        )
    root = ET.Element("report")
    _head(root, file, profile)
    for row in file.transactions.to_pylist():
        _transaction(root, row, file, profile)
    indicators = ET.SubElement(root, "report_indicators")
    for code in _indicators(file, profile):
        _add(indicators, "indicator", code)
    check_report(root)
    ET.indent(root)
    comment = "DRAFT - not filed - to be completed and checked by the reporting entity"
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {comment} -->\n{body}\n'.encode()


def check_report(root: ET.Element) -> None:
    """Refuse a report that is not as the subset of the schema says."""
    error = next(iter(_schema().iter_errors(root)), None)
    if error is not None:
        reason = " ".join((error.reason or "invalid").split())
        raise ReportInvalid(f"{error.path}: {reason}", "correct the case or the country profile")


@cache
def _schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(_SCHEMA), allow="local")


def _add(parent: ET.Element, tag: str, value: object | None) -> None:
    """Add an element with text; nothing for None."""
    if value is not None:
        ET.SubElement(parent, tag).text = _FORBIDDEN.sub("\ufffd", str(value))


def _time(microseconds: int) -> str:
    return iso_time(microseconds).removesuffix("Z")


def _head(root: ET.Element, file: CaseFile, profile: CountryProfile) -> None:
    _add(root, "rentity_id", profile.entity_id)
    _add(root, "rentity_branch", profile.branch)
    _add(root, "submission_code", profile.submission_code)
    _add(root, "report_code", profile.report_code)
    _add(root, "entity_reference", f"DRAFT-case-{file.case.id}")
    _add(root, "submission_date", _time(file.made_at))
    _add(root, "currency_code_local", file.currency)
    reporting = ET.SubElement(root, "reporting_person")
    for name in ("first_name", "last_name", "occupation", "email"):
        _add(reporting, name, getattr(profile.reporting_person, name))
    location = ET.SubElement(root, "location")
    for name in ("address_type", "address", "city", "zip", "country_code"):
        _add(location, name, getattr(profile.location, name))
    _add(root, "reason", "\n".join(alert.reason for alert in file.alerts))


def _transaction(
    root: ET.Element, row: dict[str, Any], file: CaseFile, profile: CountryProfile
) -> None:
    node = ET.SubElement(root, "transaction")
    _add(node, "transactionnumber", row["tx_id"])
    _add(node, "date_transaction", _time(row["timestamp"]))
    _add(node, "transmode_code", profile.transmode(row["channel"]))
    _add(node, "amount_local", amount_text(row["amount"], file.decimals))
    for side in ("from", "to"):
        _side(node, side, row, file, profile)


def _side(
    node: ET.Element, side: str, row: dict[str, Any], file: CaseFile, profile: CountryProfile
) -> None:
    """Add payer or payee: as one's own client, or as an account at another bank."""
    own, bank, account = row[f"{side}_own"], row[f"{side}_bank"], row[f"{side}_account"]
    party = ET.SubElement(node, f"t_{side}_my_client" if own else f"t_{side}")
    _add(party, f"{side}_funds_code", profile.funds)
    element = ET.SubElement(party, f"{side}_account")
    name = profile.institution_name if own else profile.banks.get(bank, bank)
    _add(element, "institution_name", name)
    _add(element, "swift" if BIC.fullmatch(bank) else "institution_code", bank)
    _add(element, "account", account)
    if own:
        _add(element, "currency_code", file.currency)
    _add(element, "iban", account if IBAN.fullmatch(account) else None)
    if own:
        _add(element, "client_number", _customer(file, account))
        _add(element, "personal_account_type", profile.account_type)
    _add(party, f"{side}_country", profile.country if own else _country(bank, account, profile))


def _country(bank: str, account: str, profile: CountryProfile) -> str:
    """Return the country of an account at another bank: by the profile, the IBAN or the BIC."""
    if bank in profile.countries:
        return profile.countries[bank]
    if IBAN.fullmatch(account):
        return account[:2]
    if BIC.fullmatch(bank):
        return bank[4:6]
    if profile.unknown_country is None:
        raise ReportInvalid(
            f"the country of bank {bank} is not known",
            "add it to the profile under countries, or give unknown_country",
        )
    return profile.unknown_country


def _customer(file: CaseFile, account: str) -> str | None:
    where = file.accounts.index(account) if account in file.accounts else None
    return None if where is None else file.customers[where]


def _indicators(file: CaseFile, profile: CountryProfile) -> Iterable[str]:
    """Return the codes of the profile and of the rules, each once, in this order."""
    codes = list(profile.indicators)
    for alert in file.alerts:
        codes += profile.rule_indicators.get(alert.rule, ())
    return dict.fromkeys(codes)
