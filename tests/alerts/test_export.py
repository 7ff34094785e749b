"""Exports hold what the case holds, in the shape that each format wants, and nothing that bites."""

import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from alerts import SYSTEM, Outcome, Person, raise_alerts
from alerts.cases import begin, take
from alerts.errors import EntryError, NotPermitted, ProfileError, ReportInvalid
from alerts.export import (
    CaseFile,
    CountryProfile,
    alerts_csv,
    case_json,
    case_page,
    export_name,
    follow_the_money,
    gather_case,
    goaml_report,
    load_profile,
    parse_profile,
    transactions_csv,
)
from alerts.export.documents import guarded
from alerts.export.goaml import check_report
from alerts.opening import open_case
from alerts.queries import list_alerts
from alerts.review import approve, submit
from alerts.traces import attach_trace
from tests.alerts.world import (
    ANN,
    AUDREY,
    NOW,
    OTTO,
    SUE,
    Payment,
    memory_engine,
    results,
    rules,
    transactions_on,
    view_of,
)

PROFILE: dict[str, Any] = {
    "country": "NL",
    "entity_id": 4711,
    "institution_name": "Bank A",
    "reporting_person": {"first_name": "Sue", "last_name": "Smit"},
    "location": {
        "address_type": "B",
        "address": "Dam 1",
        "city": "Amsterdam",
        "zip": "1012",
        "country_code": "NL",
    },
    "indicators": ["AML01"],
    "rule_indicators": {"high": ["AML07", "AML01"]},
    "transmission": {"default": "E", "wire": "W"},
    "countries": {"b": "DE"},
    "unknown_country": "XX",
}
HOSTILE = '<script>alert("x")</script>{{7*7}}'
IBAN = "NL91ABNA0417164300"
PAYMENTS: tuple[Payment, ...] = (
    ("p1", "a", IBAN, "b", "=cmd|' /C calc'!A0", 500_00),
    ("p2", "COBADEFFXXX", HOSTILE, "a", IBAN, 480_05),
    ("p3", "a", IBAN, "a", "A2", 1),
)
ACCOUNTS = {IBAN: f"C1 {HOSTILE}", "A2": f"C1 {HOSTILE}"}


def case_file(by: Person = ANN, payments: tuple[Payment, ...] = PAYMENTS) -> CaseFile:
    """A closed case with a trace, hostile names and notes, gathered."""
    engine = memory_engine()
    with transactions_on(engine)() as session, view_of(ACCOUNTS, payments) as view:
        file = _closed_case(session, view, by)
    engine.dispose()
    return file


def _closed_case(session: Session, view: Any, by: Person) -> CaseFile:
    raise_alerts(session, SYSTEM, rules(), results("r1", {IBAN: 3, "A2": 2}, {IBAN: 1}), view)
    (alert,) = list_alerts(session, ANN)
    change = open_case(session, ANN, {alert.id: alert.version}, HOSTILE, now=NOW)
    for step in (take, begin):
        change = step(session, ANN, change.case.id, change.case.version, HOSTILE, now=NOW)
    rows = pa.table({"account": ["A2"], "slice": [3], "kind": ["received"], "amount": [12.5]})
    where = (change.case.id, change.case.version)
    change = attach_trace(session, ANN, *where, ("t1", HOSTILE, rows), view, "x1", now=NOW)
    where = (change.case.id, change.case.version)
    change = submit(session, ANN, *where, Outcome.REPORTED, "x1", now=NOW)
    approve(session, SUE, change.case.id, change.case.version, "x1", now=NOW)
    return gather_case(session, by, change.case.id, view, now=NOW)


@pytest.fixture(scope="module")
def file() -> CaseFile:
    """A closed case."""
    return case_file()


@pytest.fixture
def profile() -> CountryProfile:
    """A country's profile."""
    return parse_profile(PROFILE)


def test_a_draft_report_has_goaml_s_elements_in_order(
    file: CaseFile, profile: CountryProfile
) -> None:
    """The head, each payment with both sides, and the indicators of the rules, each once."""
    text = goaml_report(ANN, file, profile).decode()
    root = ET.fromstring(text)
    assert [child.tag for child in root] == [
        *("rentity_id", "submission_code", "report_code", "entity_reference", "submission_date"),
        *("currency_code_local", "reporting_person", "location", "reason"),
        *("transaction", "transaction", "transaction", "report_indicators"),
    ]
    first, second, third = root.findall("transaction")
    assert [c.tag for c in first] == [
        *("transactionnumber", "date_transaction", "transmode_code", "amount_local"),
        *("t_from_my_client", "t_to"),
    ]
    assert first.findtext("t_from_my_client/from_account/iban") == IBAN
    assert first.findtext("t_to/to_country") == "DE"
    assert second.findtext("t_from/from_account/swift") == "COBADEFFXXX"
    assert second.findtext("t_from/from_account/account") == HOSTILE
    assert second.findtext("t_from/from_country") == "DE"
    assert second.findtext("amount_local") == "480.05"
    assert [c.tag for c in third][-2:] == ["t_from_my_client", "t_to_my_client"]
    assert [c.text for c in root.find("report_indicators") or ()] == ["AML01", "AML07"]
    assert {c.text for c in root.iter("transmode_code")} == {"W"}


def test_a_draft_says_that_it_is_one(file: CaseFile, profile: CountryProfile) -> None:
    """At the top, and in the reference that a reader of the report sees."""
    text = goaml_report(SUE, file, profile).decode()
    assert "<!-- DRAFT - not filed" in text.splitlines()[1]
    assert ET.fromstring(text).findtext("entity_reference") == f"DRAFT-case-{file.case.id}"


def test_the_subset_refuses_what_goaml_would(file: CaseFile, profile: CountryProfile) -> None:
    """Another order, an unknown element, a missing one, a repeated number, a wrong code."""
    good = goaml_report(ANN, file, profile)

    def spoilt(change: Any) -> None:
        root = ET.fromstring(good)
        change(root)
        with pytest.raises(ReportInvalid) as caught:
            check_report(root)
        assert "\n" not in str(caught.value)

    check_report(ET.fromstring(good))
    spoilt(lambda root: root.insert(0, root[2]))
    spoilt(lambda root: ET.SubElement(root, "extra"))
    spoilt(lambda root: root.remove(root.find("location")))
    spoilt(lambda root: setattr(root.find("submission_code"), "text", "X"))
    spoilt(lambda root: setattr(root.findall(".//transactionnumber")[1], "text", "p1"))
    spoilt(lambda root: setattr(root.find(".//amount_local"), "text", "-1.00"))
    spoilt(lambda root: setattr(root.find(".//currency_code_local"), "text", "euro"))


def test_what_goaml_cannot_hold_is_refused(file: CaseFile, profile: CountryProfile) -> None:
    """A case without payments, a number that is too long, a country that nobody knows."""
    with pytest.raises(ReportInvalid, match="no payments"):
        goaml_report(ANN, replace(file, transactions=file.transactions.slice(0, 0)), profile)
    long = file.transactions.set_column(0, "tx_id", pa.array(["x" * 51, "2", "3"]))
    with pytest.raises(ReportInvalid, match="transactionnumber"):
        goaml_report(ANN, replace(file, transactions=long), profile)
    strange = parse_profile(PROFILE | {"countries": {}, "unknown_country": None})
    with pytest.raises(ReportInvalid, match="country of bank b is not known"):
        goaml_report(ANN, file, strange)
    with pytest.raises(NotPermitted):
        goaml_report(AUDREY, file, profile)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"country": "Netherlands"}, "country"),
        ({"indicators": []}, "indicators"),
        ({"submission_code": "X"}, "submission_code"),
        ({"reporting_person": {"first_name": "Sue"}}, "last_name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_profile_is_refused(changes: dict[str, Any], part: str) -> None:
    """The error names the part."""
    with pytest.raises(ProfileError, match=part):
        parse_profile(PROFILE | changes)


def test_a_profile_is_read_from_a_file(tmp_path: Path) -> None:
    """TOML, and an error for what is no TOML."""
    path = tmp_path / "nl.toml"
    path.write_text("country = ")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile(path)
    channel = parse_profile(PROFILE | {"transmission": {"wire": "W"}})
    with pytest.raises(ProfileError, match="no transmission code"):
        channel.transmode("cheque")


def test_follow_the_money_has_accounts_and_payments(file: CaseFile) -> None:
    """Documented schemata and properties only; payments point at accounts that are there."""
    lines = [json.loads(line) for line in follow_the_money(file).splitlines()]
    known = {
        "BankAccount": {"accountNumber", "name", "iban", "bankName", "bic"},
        "Payment": {
            *("payerAccount", "beneficiaryAccount", "amount", "currency", "date"),
            *("transactionNumber", "programme"),
        },
    }
    accounts = {line["id"]: line for line in lines if line["schema"] == "BankAccount"}
    payments = [line for line in lines if line["schema"] == "Payment"]
    assert (len(accounts), len(payments)) == (4, 3)
    for line in lines:
        assert set(line) == {"id", "schema", "properties"}
        assert set(line["properties"]) <= known[line["schema"]]
        assert all(isinstance(v, list) and v for v in line["properties"].values())
    for payment in payments:
        for side in ("payerAccount", "beneficiaryAccount"):
            assert payment["properties"][side][0] in accounts
    assert payments[0]["properties"]["amount"] == ["500.00"]
    assert sum("iban" in a["properties"] for a in accounts.values()) == 1


def test_ids_are_the_same_in_every_export(file: CaseFile) -> None:
    """So that the other tool merges two cases at their common accounts."""
    again = replace(file, case=replace(file.case, id=99), made_at=NOW + 1)
    assert follow_the_money(again) == follow_the_money(file)


def test_csv_has_no_formula(file: CaseFile) -> None:
    """What a spreadsheet would run begins with an apostrophe; the rest is as it was."""
    rows = list(csv.DictReader(io.StringIO(transactions_csv(file))))
    assert [row["tx_id"] for row in rows] == ["p1", "p2", "p3"]
    assert rows[0]["to_account"] == "'=cmd|' /C calc'!A0"
    assert (rows[1]["amount"], rows[1]["currency"]) == ("480.05", "EUR")
    (alert,) = csv.DictReader(io.StringIO(alerts_csv(file.alerts)))
    assert (alert["status"], alert["rule"], alert["severity"]) == ("closed", "high", "high")


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=5),
    st.sampled_from(["=", "+", "-", "@", "＝", "＋", "－", "＠"]),
    st.text(max_size=5),
)
def test_no_cell_begins_like_a_formula(blanks: str, sign: str, rest: str) -> None:
    """Whatever blanks are put before it."""
    lead = "".join(c for c in blanks if c.isspace())
    assert guarded(lead + sign + rest).startswith("'")


def test_json_is_the_whole_case(file: CaseFile) -> None:
    """With amounts and times as text, all journal lines, and figures of the alerts."""
    document = json.loads(case_json(file))
    assert document["case"]["state"] == "closed-reported"
    assert [e["action"] for e in document["journal"]] == [
        *("open", "take", "begin", "attach", "submit", "approve")
    ]
    assert document["transactions"][1]["amount"] == "480.05"
    assert document["transactions"][0]["timestamp"] == "2026-03-01T00:00:00Z"
    assert document["traces"][0]["rows"] == [
        {"account": "A2", "slice": 3, "kind": "received", "amount": 12.5}
    ]
    values = document["alerts"][0]["figures"]["accounts"][0]["values"]
    assert values == {"risk-propagation": {"value": 3.0, "previous": 1.0}}


class _Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_runs_and_loads_nothing(file: CaseFile) -> None:
    """No script, no handler, no link, no image; what people wrote is text, never markup."""
    page = case_page(file)
    read = _Page(page)
    assert not read.tags & {"script", "link", "img", "iframe", "object", "form", "a", "base"}
    assert not {a for a in read.attributes if a.startswith("on") or a in ("src", "href")}
    assert HOSTILE in read.text
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "url(" not in page
    for text in ("closed-reported", "480.05", "sue (supervisor)", f"Trace: {HOSTILE}"):
        assert text in read.text


def test_amounts_of_a_trace_are_money_to_the_cent(file: CaseFile) -> None:
    """No amount is rounded to six digits; bands and slices stay numbers."""
    columns = {"account": ["A2"], "slice": [3], "kind": ["received"], "amount": [1234567.89]}
    (trace,) = file.traces
    page = case_page(replace(file, traces=(replace(trace, rows=pa.table(columns)),)))
    assert "<td>1234567.89</td>" in page
    assert "<td>3</td>" in page
    assert "<th>amount, EUR</th>" in page
    yen = replace(file, decimals=0, traces=(replace(trace, rows=pa.table(columns)),))
    assert "<td>1234568</td>" in case_page(yen)


def test_the_page_draws_money_by_day(file: CaseFile) -> None:
    """One pair of bars for each day; the largest is as high as the picture."""
    page = case_page(file)
    assert page.count('class="in"') == page.count('class="out"') == 3
    assert 'height="1.0"' in page


def test_an_export_s_name_holds_no_name_of_anybody() -> None:
    """A number and a known ending: no path can be made of it."""
    assert export_name(7, "goaml.xml") == "case-7.goaml.xml"
    with pytest.raises((TypeError, ValueError)):
        export_name("../../etc/passwd", "html")  # type: ignore[arg-type]


def test_only_who_may_exports() -> None:
    """An auditor may, an operator may not."""
    assert case_file(AUDREY).made_by == "audrey"
    with pytest.raises(NotPermitted):
        case_file(OTTO)


def test_no_payment_is_left_out_silently() -> None:
    """More payments than an export may hold are an error, not a shorter export."""
    engine = memory_engine()
    with transactions_on(engine)() as session, view_of(ACCOUNTS, PAYMENTS) as view:
        file = _closed_case(session, view, ANN)
        with pytest.raises(EntryError, match="more than 2 payments") as caught:
            gather_case(session, ANN, file.case.id, view, now=NOW, most_payments=2)
        assert f"undercurrent alerts show C{file.case.id} --json" in caught.value.remedy
    engine.dispose()


@settings(max_examples=60, deadline=None)
@given(account=st.text(st.characters(codec="utf-8"), min_size=1, max_size=50))
def test_any_name_of_an_account_makes_a_readable_report(file: CaseFile, account: str) -> None:
    """XML that a parser reads, whatever the other bank calls the account, or a clear refusal."""
    renamed = replace(file, transactions=with_payer(file.transactions, account))
    try:
        report = goaml_report(ANN, renamed, parse_profile(PROFILE))
    except ReportInvalid:
        assert not account.strip() or len(account.encode("utf-16-le")) > 100
        return
    assert len(ET.fromstring(report).findall("transaction")) == 3
    assert json.loads(case_json(renamed))
    assert "<script" not in case_page(renamed)


def with_payer(transactions: pa.Table, account: str) -> pa.Table:
    """The payments with another payer in the second."""
    names = transactions["from_account"].to_pylist()
    names[1] = account
    return transactions.set_column(3, "from_account", pa.array(names))
