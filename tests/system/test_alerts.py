"""From two scheduled runs to a closed case, through the API and the pages of real nodes."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from tests.services import Cluster, postgresql_cluster
from tests.system.nodes import TRACE, cli, members_of, simple_consortium, three_banks_data
from undercurrent.local_consortium import LocalConsortium, LocalMember, free_ports

__all__ = ["postgresql_cluster"]

pytestmark = pytest.mark.timeout(400)

PASSWORD = "correct horse battery"
PEOPLE = {"ann": "analyst", "sue": "supervisor", "audrey": "auditor", "otto": "operator"}
RISK = {
    "name": "risk-propagation",
    "version": "1",
    "policies": ["bands:0.02,0.05,0.2"],
    "max_window": "9999d",
    "parameters": {"iterations": {"value": "2"}, "delta": {"value": "0.5"}},
}
# Two slots of the last day are due when the nodes start.
TWICE_A_DAY = {
    "name": "risk",
    "analysis": "risk-propagation",
    "cron": "0 */12 * * *",
    "policy": "bands:0.02,0.05,0.2",
    "parameters": {"iterations": "2", "delta": "0.5"},
    "window": "9000d",
    "valid": "25h",
}
RULES = """
[[rule]]
name = "risky"
severity = "high"
joint = [{ analysis = "risk-propagation", reached = 2 }]

[sampling]
above = 2
below = 2
"""
PROFILE = """
country = "NL"
entity_id = 4711
institution_name = "Bank"
indicators = ["AML01"]
unknown_country = "NL"
reporting_person = { first_name = "A", last_name = "B" }
location = { address_type = "B", address = "Street 1", city = "Town", country_code = "NL" }
"""
KINDS = ("html", "json", "ftm.json", "goaml.xml", "transactions.csv", "alerts.csv")


@dataclass
class Person:
    """Somebody who uses the API of the first bank, and all that it has answered."""

    client: httpx.Client
    answers: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 0) -> Any:
        """Ask; the status must be as given, or good."""
        answer = self.client.request(method, f"/api/v1{path}", json=body)
        self.answers.append(answer.text)
        if status:
            assert answer.status_code == status, answer.text
        else:
            assert answer.status_code < 300, (path, answer.text)
        if not answer.headers.get("content-type", "").startswith("application/json"):
            return answer.text
        return answer.json() if answer.content else None

    def act(self, case: dict[str, Any], action: str, *, status: int = 0, **more: Any) -> Any:
        """Do something with a case as it was last seen."""
        body = {"action": action, "version": case["version"], "note": f"{action}, as seen"} | more
        done = self.ask("POST", f"/cases/{case['id']}/actions", body, status=status)
        return done if status else done["case"]


@dataclass
class Office:
    """The nodes after two scheduled runs."""

    nodes: LocalConsortium
    banks: list[str]
    data: Path
    url: str
    people: dict[str, Person]
    runs: list[str]

    def payers(self) -> set[str]:
        """Accounts of the first bank that pay to another of its accounts."""
        own = pq.read_table(self.data / "banks" / self.banks[0] / "transactions.parquet")
        rows = own.select(["from_bank", "from_account", "to_bank", "to_account"]).to_pylist()
        inside = [r for r in rows if r["from_bank"] == r["to_bank"]]
        return {r["from_account"] for r in inside if r["from_account"] != r["to_account"]}

    def foreign(self) -> set[str]:
        """Accounts of the other banks that the first does not know from its own payments."""
        theirs: set[str] = set()
        for bank in self.banks[1:]:
            table = pq.read_table(self.data / "banks" / bank / "accounts.parquet")
            theirs |= set(table["account"].to_pylist())
        own = pq.read_table(self.data / "banks" / self.banks[0] / "transactions.parquet")
        known = {a for side in ("from_account", "to_account") for a in own[side].to_pylist()}
        return theirs - known


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    """Three nodes, the first with people, rules and a profile; two scheduled runs are stored."""
    banks = three_banks_data(tmp_path / "data")
    store = "sqlite:///node.db"
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql_cluster")
        store = cluster.url(cluster.new_database())
    members = members_of(tmp_path / "data", banks)
    port = free_ports(1)
    first = LocalMember(banks[0], members[0].data, store=store, web_port=port)
    terms = {"analyses": [RISK, TRACE], "schedules": [TWICE_A_DAY]}
    with simple_consortium(tmp_path / "nodes", [first, *members[1:]], terms) as nodes:
        folder = nodes.node(banks[0])
        (folder / "rules.toml").write_text(RULES)
        (folder / "profiles").mkdir()
        (folder / "profiles" / "NL.toml").write_text(PROFILE)
        for name, role in PEOPLE.items():
            added = cli(
                nodes, banks[0], "people", "add", name, "--role", role, "--password-stdin",
                stdin=PASSWORD + "\n",
            )  # fmt: skip
            assert added.returncode == 0, added.stderr
        for bank in banks:
            nodes.start(bank)
        nodes.wait_until_ready()
        nodes.wait_for(lambda: len(nodes.ask(banks[0], "GET", "/runs")) >= 2, "nothing is due")
        runs = [run["run_id"] for run in nodes.ask(banks[0], "GET", "/runs")]
        for run in runs:
            for bank in banks:
                assert nodes.wait_for_run(bank, run)["phase"] == "stored"
        url = f"http://127.0.0.1:{port}"
        people = {name: signed_in(url, name) for name in PEOPLE}
        yield Office(nodes, banks, tmp_path / "data", url, people, runs)
        for person in people.values():
            person.client.close()


def signed_in(url: str, name: str) -> Person:
    """Somebody who has signed in at the API."""
    client = httpx.Client(base_url=url, timeout=60)
    answer = client.post("/api/v1/sign-in", json={"name": name, "password": PASSWORD})
    assert answer.status_code < 300, answer.text
    client.headers["authorization"] = f"Bearer {answer.json()['token']}"
    return Person(client)


def test_from_two_runs_to_a_closed_case(office: Office) -> None:
    """Alerts seen twice, triage, a trace, four eyes, exports, a verified log; nothing foreign."""
    ann, sue, audrey = (office.people[name] for name in ("ann", "sue", "audrey"))
    found = ann.ask("GET", "/alerts?limit=500")["alerts"]
    assert len({alert["subject"] for alert in found}) == len(found) > 0
    payers = office.payers()
    explained = (ann.ask("GET", f"/alerts/{alert['id']}") for alert in found)
    why = next(one for one in explained if one["accounts"][0] in payers)
    assert {seen["run_id"] for seen in why["seen"]} == set(office.runs)

    case = ann.ask("GET", f"/cases/{why['alert']['case_id']}/standing")
    case = ann.act(ann.act(case, "take"), "begin")
    trace = follow(office, why["accounts"][0])
    attached = {"version": case["version"], "run_id": trace, "title": "Where to", "note": "see"}
    case = ann.ask("POST", f"/cases/{case['id']}/traces", attached)["case"]
    case = ann.act(case, "submit", outcome="confirmed")
    ann.act(case, "approve", status=403)
    office.people["otto"].ask("GET", f"/cases/{case['id']}", status=403)
    stale = case | {"version": case["version"] - 1}
    sue.act(stale, "approve", status=409)
    closed = sue.act(case, "approve")
    assert closed["state"] == "closed-confirmed"
    journal = [line["action"] for line in sue.ask("GET", f"/cases/{case['id']}")["journal"]]
    assert journal == ["auto-open", "take", "begin", "attach", "submit", "approve"]

    exported = {kind: ann.ask("GET", f"/cases/{case['id']}/exports/{kind}?country=NL")
                for kind in KINDS}  # fmt: skip
    assert all(exported.values())
    assert audrey.ask("GET", "/audit/verification")["ok"] is True
    read = audrey.ask("GET", f"/audit?account={why['accounts'][0]}")
    assert {"alert.read", "case.exported"} <= {line["action"] for line in read["entries"]}
    verified = cli(office.nodes, office.banks[0], "audit", "verify")
    assert verified.returncode == 0, verified.stderr
    nothing_foreign(office)


def follow(office: Office, account: str) -> str:
    """Trace an account for ann, and return the run when its rows are stored."""
    parameters = {"since": "2026-01-01", "until": "2026-01-21", "slice": "7d", "hops": "3"}
    asked = {"accounts": [account], "parameters": parameters}
    run = office.people["ann"].ask("POST", "/traces", asked)["run_id"]
    assert office.nodes.wait_for_run(office.banks[0], run)["phase"] == "stored"
    page = office.people["ann"].ask("GET", f"/traces/{run}")
    assert page["accounts"] == [account]
    assert page["rows_total"] > 0
    return str(run)


def nothing_foreign(office: Office) -> None:
    """No account of another bank that the first does not know stands in anything it serves.

    Two of them are asked for by name, so that refusals are looked at too; that the bank's own
    people asked stands in its audit log, so these two are not looked for.
    """
    first, second, *others = sorted(office.foreign())
    foreign = set(others)
    assert len(foreign) > 50
    for name, person in office.people.items():
        everything(person, first)
        told = "\n".join(person.answers + pages(office.url, name, second))
        assert not [account for account in foreign if account in told], name


def everything(person: Person, foreign: str) -> None:
    """Ask the API for all that can be read, whatever the answer; and for what is not there.

    What a visitor asks for by name is echoed nowhere.
    """
    schema = person.client.get("/api/openapi.json")
    paths = schema.json()["paths"] if schema.status_code == 200 else {}
    listed = [path for path, methods in paths.items() if "get" in methods and "{" not in path]
    numbered = [f"/v1/{what}/{n}" for what in ("alerts", "cases") for n in range(1, 21)]
    exports = [f"/v1/cases/{n}/exports/{kind}" for n in range(1, 4) for kind in KINDS]
    absent = ["/v1/alerts/999999", f"/v1/accounts/{foreign}", "/v1/runs/none", "/nothing"]
    for path in (*listed, *numbered, *exports, *absent):
        person.answers.append(person.client.get(f"/api{path}").text)


def pages(url: str, name: str, foreign: str) -> list[str]:
    """All pages that links lead to from the first, as one person sees them; errors included."""
    link = re.compile(r'(?:href|hx-get|src)="(/[^"#]*)"')
    with httpx.Client(base_url=url, timeout=60, follow_redirects=True) as client:
        form = client.get("/").text
        token = re.search(r'name="csrf" value="([^"]*)"', form)
        body = {"name": name, "password": PASSWORD, "csrf": token[1] if token else ""}
        answer = client.post("/sign-in", data=body, headers={"origin": url})
        assert 'name="password"' not in answer.text, answer.text
        told, seen = [answer.text], {"/sign-out"}
        ahead = ["/", f"/accounts/{foreign}", "/nothing", "/alerts/999999", "/cases/0"]
        while ahead and len(seen) < 80:
            path = ahead.pop(0)
            if path in seen or path.startswith("/static"):
                continue
            seen.add(path)
            page = client.get(path)
            assert page.status_code < 500, path
            told.append(page.text)
            ahead += [html.unescape(found) for found in link.findall(page.text)]
        assert len(seen) > 10
    return told
