"""Real nodes for the system tests, over Mosquitto with TLS or over the embedded broker."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bank_node.consortium.office import open_authority
from bank_node.identity import Authority
from simdata.generate import generate
from tests.mosquitto import Mosquitto, mosquitto
from undercurrent.local_consortium import LocalConsortium, LocalMember, found, running_broker

NAME = "testers"
PAGERANK = {
    "name": "pagerank",
    "version": "1",
    "policies": ["exact", "bands:0.001,0.005"],
    "parameters": {"personalisation": {"value": "risk_score"}},
}
TRACE = {
    "name": "trace",
    "version": "1",
    "policies": ["exact"],
    "max_window": "31d",
    "prepare": 3,
    "parameters": {
        "hops": {"min": "1", "max": "5"},
        "slice": {"one_of": ["1d", "7d"]},
        "direction": {"one_of": ["forward", "backward"]},
        "traces": {"min": "1", "max": "5"},
    },
}
NIGHTLY = {
    "name": "nightly",
    "analysis": "pagerank",
    "cron": "0 2 * * *",
    "policy": "exact",
    "parameters": {"personalisation": "risk_score"},
    "valid": "24h",
}
TERMS: dict[str, Any] = {"analyses": [PAGERANK, TRACE], "schedules": []}


@dataclass(frozen=True)
class ConsortiumIssuer:
    """Gives Mosquitto its certificate from the consortium's own authority."""

    authority: Authority

    def issue_server(self, folder: Path) -> None:
        """Write the broker's certificate and key."""
        paths = self.authority.issue_server(["127.0.0.1", "localhost"], folder)
        paths.private_key.rename(folder / "broker.key")

    def issue(self, _party: str, folder: Path) -> Any:
        """Give the authority's certificate; members have their own."""
        folder.mkdir(exist_ok=True)
        path = folder / "authority.crt"
        path.write_text(self.authority.certificate_pem)
        return type("Issued", (), {"authority": path})()


@contextlib.contextmanager
def consortium(
    folder: Path,
    members: Sequence[LocalMember],
    terms: Mapping[str, Any] = TERMS,
    *,
    settings: Mapping[str, str] | None = None,
    issuer: Callable[[Authority], Any] = ConsortiumIssuer,
) -> Iterator[tuple[LocalConsortium, Mosquitto]]:
    """Set up nodes that speak over a Mosquitto with TLS, client certificates and ACLs."""
    authority = open_authority(folder / "authority", NAME)
    with mosquitto(NAME, folder / "mqtt", authority=issuer(authority)) as broker:
        nodes = found(folder, NAME, members, broker.url, terms)
        nodes.environment = {"UNDERCURRENT_NODE_RUNS__RETRY_AFTER": "1"} | dict(settings or {})
        try:
            yield nodes, broker
        finally:
            nodes.close()


@contextlib.contextmanager
def simple_consortium(
    folder: Path,
    members: Sequence[LocalMember],
    terms: Mapping[str, Any] = TERMS,
    *,
    settings: Mapping[str, str] | None = None,
) -> Iterator[LocalConsortium]:
    """Set up nodes that speak over the embedded broker."""
    with running_broker() as url:
        nodes = found(folder, NAME, members, url, terms)
        nodes.environment = {"UNDERCURRENT_NODE_RUNS__RETRY_AFTER": "1"} | dict(settings or {})
        try:
            yield nodes
        finally:
            nodes.close()


def three_banks_data(folder: Path, *, accounts: int = 300, per_account: int = 4) -> list[str]:
    """Generate a data set of three banks and return their names."""
    generate(folder, banks=3, accounts=accounts, days=20, seed=11, payments_per_account=per_account)
    return sorted(path.name for path in (folder / "banks").iterdir())


def members_of(data: Path, banks: Sequence[str]) -> list[LocalMember]:
    """Return the members for the banks of a data set."""
    return [LocalMember(bank, data / "banks" / bank) for bank in banks]


def cli(
    nodes: LocalConsortium, member: str, *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command against a node, as its operator would."""
    return subprocess.run(
        [sys.executable, "-m", "undercurrent", *arguments, "--node", str(nodes.node(member))],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def propose(nodes: LocalConsortium, member: str, analysis: str = "pagerank", **body: Any) -> str:
    """Propose a run and return its id."""
    told = nodes.ask(member, "POST", "/runs", {"analysis": analysis} | body)
    run_id: str = told["run_id"]
    return run_id


def phase(nodes: LocalConsortium, member: str, run_id: str) -> str:
    """Return where a node stands in a run; empty while it does not know it or cannot answer."""
    try:
        return str(nodes.ask(member, "GET", f"/runs/{run_id}")["phase"])
    except Exception as error:
        if getattr(error, "code", "") in ("node.unknown-run", "node.not-running"):
            return ""
        raise


def stored_by_all(nodes: LocalConsortium, run_id: str) -> None:
    """Wait until every running node has stored the run."""
    for member in list(nodes.processes):
        run = nodes.wait_for_run(member, run_id)
        assert run["phase"] == "stored", (member, run)


def results(nodes: LocalConsortium, member: str, run_id: str) -> dict[str, float]:
    """Return the stored values of a run, straight from a node's SQLite database."""
    with sqlite3.connect(f"file:{nodes.node(member) / 'node.db'}?mode=ro", uri=True) as db:
        query = "SELECT account, value FROM results WHERE run_id = ?"
        return dict(db.execute(query, [run_id]).fetchall())


def audit_actions(nodes: LocalConsortium, member: str, run_id: str) -> list[str]:
    """Return what the audit log says of a run, in order."""
    with sqlite3.connect(f"file:{nodes.node(member) / 'node.db'}?mode=ro", uri=True) as db:
        query = "SELECT action FROM audit WHERE run_id = ? ORDER BY number"
        return [action for (action,) in db.execute(query, [run_id])]


class ProcessLists:
    """What other users of the machine see of all processes, looked at again and again."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> ProcessLists:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    self.seen.add(f"{path.parent.name} {line.strip()}")


def found_in(text: str, accounts: frozenset[str]) -> set[str]:
    """Return the account ids that stand in a text as words of their own."""
    return accounts & set(re.findall(r"[A-Za-z0-9]+", text))
