"""The morning after, in the demo: alerts at one bank, one case, and two people who close it.

Everything goes through the node's API, as ``undercurrent alerts`` does: ann, an analyst, signs in,
looks why there is an alert, attaches the trace and proposes an outcome; sue, a supervisor who has
not worked on the case, approves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from alerts import Role
from bank_node.consortium import Book
from bank_node.node.config import read_config
from bank_node.node.daemon import now_us
from bank_node.node.own_keys import own_key, own_keys
from bank_node.node.records import Entry, Records
from bank_node.people import add_person, hash_password
from bank_node.store import Database
from undercurrent.desk_client import DeskPlace

__all__ = ["PASSWORD", "PEOPLE", "Morning", "add_people", "write_rules"]

PASSWORD = "follow the money"  # noqa: S105 - of the demo's people, on this machine only
PEOPLE: Mapping[str, tuple[Role, str]] = {
    "ann": (Role.ANALYST, "Ann, analyst"),
    "ben": (Role.ANALYST, "Ben, analyst"),
    "sue": (Role.SUPERVISOR, "Sue, supervisor"),
    "audrey": (Role.AUDITOR, "Audrey, auditor"),
    "otto": (Role.OPERATOR, "Otto, operator"),
}
_SHOWN = 5
_EXPOSED = 12.0

_RULES = """\
# When does a result of the demo become an alert?  Its results are exact, so the lines are scores.

[[rule]]
name = "exposed-to-risk"
severity = "medium"
joint = [{{ analysis = "pagerank", reached = {exposed} }}]
reason = "{{percent}} of what risky accounts at all banks pass on arrives at {{account}}"

[[rule]]
name = "money-came-back"
severity = "high"
joint = [{{ analysis = "round-trip", reached = 0.05 }}]
reason = "{{percent}} of what {{account}} paid came back to it over other accounts"

[sampling]
above = 3
below = 3
"""


def write_rules(folder: Path, accounts: int) -> None:
    """Write the rules of a bank's alerts: exposure of twelve times the mean, and money back."""
    text = _RULES.format(exposed=round(_EXPOSED / accounts, 8))
    (folder / "rules.toml").write_text(text, "utf-8")


def add_people(folder: Path) -> None:
    """Let the demo's people sign in at a node that does not run yet."""
    config = read_config(folder)
    book, now = Book(config.agreements), now_us()
    records = Records(
        Database.open(config.store_url),
        book,
        lambda: own_key(config, book, now),
        lambda: own_keys(config, book),
    )
    hashed = hash_password(PASSWORD)
    try:
        with records.database.begin() as session:
            for name, (role, display) in PEOPLE.items():
                add_person(session, name, role, display, at=now, password_hash=hashed)
                told = {"name": name, "role": role.value}
                records.append_in(session, Entry("demo", "people.added", told), now)
    finally:
        records.close()


@dataclass(frozen=True)
class Morning:
    """A morning's work at one bank.

    Attributes:
        bank: its id. folder: its node's folder. console: where to print.
    """

    bank: str
    folder: Path
    console: Console

    def signed_in(self, name: str) -> DeskPlace:
        """Return the bank's desk for a person who has signed in."""
        desk = DeskPlace(self.folder.resolve())
        token = desk.ask("POST", "/sign-in", {"name": name, "password": PASSWORD})["token"]
        return DeskPlace(desk.folder, token=token)

    def ask_trace(self, account: str, parameters: Mapping[str, str]) -> str:
        """Let ann ask where the money of an account went; return the run's id."""
        asked = {"accounts": [account], "parameters": dict(parameters)}
        return str(self.signed_in("ann").ask("POST", "/traces", asked)["run_id"])

    def work(self, account: str, trace: str) -> dict[str, Any]:
        """Triage the alerts, close the case about an account by two people; return what was done.

        Args:
            account: that was traced. trace: id of the trace's run.
        """
        ann, sue = self.signed_in("ann"), self.signed_in("sue")
        alerts = ann.ask("GET", "/alerts", query={"limit": 500})["alerts"]
        self.console.print(
            f"\n[bold]7. The morning at {self.bank}[/]: {len(alerts)} alerts from the night's runs,"
            " raised by the bank's own rules on its own results"
        )
        self.console.print(_table(alerts[:_SHOWN]))
        chosen = ann.ask("GET", "/alerts", query={"account": account})["alerts"] or alerts
        why = ann.ask("GET", f"/alerts/{chosen[0]['id']}")
        self.console.print(f"   Why is there alert {chosen[0]['id']}?", highlight=False)
        for sentence in why["sentences"]:
            self.console.print(f"   · {sentence}", highlight=False, markup=False)
        case = self._investigate(ann, chosen[0], trace)
        closed = _act(sue, case, "approve", "The trace shows the money coming back; agreed.")
        self._tell(sue, closed)
        return {"alerts": len(alerts), "case": closed, "why": why["sentences"]}

    def _investigate(self, ann: DeskPlace, alert: Mapping[str, Any], trace: str) -> dict[str, Any]:
        """Take the alert's case, attach the trace, and propose to close it as confirmed."""
        number = alert["case_id"]
        if number is None:
            seen = [{"id": alert["id"], "version": alert["version"]}]
            body = {"alerts": seen, "note": "worth a look"}
            number = ann.ask("POST", "/cases", body)["case"]["id"]
        case: dict[str, Any] = ann.ask("GET", f"/cases/{number}/standing")
        case = case.get("case", case)
        case = _act(ann, case, "take", "I take this one.")
        case = _act(ann, case, "begin", "Looking at the payments behind it.")
        attached = {
            "version": case["version"],
            "run_id": trace,
            "title": "Where the money went",
            "note": "The joint trace shows where it went and what came back.",
        }
        case = ann.ask("POST", f"/cases/{number}/traces", attached)["case"]
        return _act(
            ann, case, "submit", "Money returns over several banks without a reason to.",
            outcome="confirmed",
        )  # fmt: skip

    def _tell(self, desk: DeskPlace, case: Mapping[str, Any]) -> None:
        journal = desk.ask("GET", f"/cases/{case['id']}")["journal"]
        self.console.print(
            f"\n[bold]8. Case {case['id']}, closed by two people[/] as {case['state']};"
            " its journal:"
        )
        table = Table()
        for name in ("who", "did", "state", "note"):
            table.add_column(name)
        for line in journal:
            table.add_row(line["person"], line["action"], line["to_state"], line["note"])
        self.console.print(table)


def _act(
    desk: DeskPlace, case: Mapping[str, Any], action: str, note: str, **more: str
) -> dict[str, Any]:
    """Do one thing with a case as it was last seen; return the case after it."""
    body = {"action": action, "version": case["version"], "note": note} | more
    done: dict[str, Any] = desk.ask("POST", f"/cases/{case['id']}/actions", body)["case"]
    return done


def _table(alerts: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for name in ("alert", "severity", "about", "why"):
        table.add_column(name)
    for alert in alerts:
        about = alert["subject"].partition(":")[2]
        table.add_row(str(alert["id"]), alert["severity"], about, alert["reason"])
    return table
