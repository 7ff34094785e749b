"""Whole nodes: proposal to stored results over Mosquitto with TLS, and what nobody else can see."""

from __future__ import annotations

import asyncio
import csv
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import psycopg
import pyarrow.parquet as pq
import pytest

from simdata.lab import LabRequest, run_lab
from tests.mosquitto import Mosquitto
from tests.services import Cluster, postgresql_cluster
from tests.system.nodes import (
    NIGHTLY,
    TERMS,
    ProcessLists,
    cli,
    consortium,
    found_in,
    members_of,
    results,
    three_banks_data,
)
from undercurrent.local_consortium import LocalConsortium, LocalMember

__all__ = ["postgresql_cluster"]

pytestmark = pytest.mark.timeout(300)


@dataclass
class Listener:
    """Hears everything on the broker, as a member may."""

    heard: list[bytes] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _ready: threading.Event = field(default_factory=threading.Event)

    def start(self, broker: Mosquitto, node: Path) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hear(broker, node)))
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    async def _hear(self, broker: Mosquitto, node: Path) -> None:
        context = ssl.create_default_context(cafile=str(node / "keys" / "authority.crt"))
        context.load_cert_chain(node / "keys" / "tls-1.crt", node / "keys" / "tls-1.pem")
        async with aiomqtt.Client(
            "127.0.0.1", broker.port, tls_context=context, identifier="listener"
        ) as client:
            await client.subscribe("undercurrent/v1/#")
            self._ready.set()
            task = asyncio.create_task(self._note(client))
            await asyncio.to_thread(self._stop.wait)
            task.cancel()

    async def _note(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            self.heard.append(str(message.topic).encode() + b" " + payload)


@dataclass
class Night:
    """A consortium after one scheduled detection and one trace."""

    nodes: LocalConsortium
    data: Path
    banks: list[str]
    heard: list[bytes]
    processes: set[str]
    scheduled: str
    asked: str
    trace: dict[str, Any]
    cluster: Cluster
    database: str


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, postgresql_cluster: Cluster) -> Iterator[Night]:
    """Three nodes, logs at debug level; the first keeps its records in PostgreSQL."""
    folder = tmp_path_factory.mktemp("night")
    banks = three_banks_data(folder / "data")
    database = postgresql_cluster.new_database()
    members = members_of(folder / "data", banks)
    first = LocalMember(banks[0], members[0].data, store=postgresql_cluster.url(database))
    terms = TERMS | {"schedules": [NIGHTLY]}
    settings = {"UNDERCURRENT_NODE_LOG__LEVEL": "debug"}
    listener = Listener()
    with consortium(folder / "nodes", [first, *members[1:]], terms, settings=settings) as made:
        nodes, broker = made
        listener.start(broker, nodes.node(banks[2]))
        with ProcessLists() as lists:
            for bank in banks:
                nodes.start(bank)
            nodes.wait_until_ready()
            nodes.wait_for(lambda: bool(nodes.ask(banks[0], "GET", "/runs")), "nothing is due")
            scheduled = nodes.ask(banks[0], "GET", "/runs")[0]["run_id"]
            for bank in banks:
                run = nodes.wait_for_run(bank, scheduled)
                assert run["phase"] == "stored", run
            asked = _paying_account(folder / "data", banks[0])
            arguments = ["--since", "2026-01-01", "--until", "2026-01-21", "--json"]
            answer = cli(nodes, banks[0], "trace", asked, *arguments)
            assert answer.returncode == 0, answer.stderr
            processes = lists.seen
        listener.stop()
        yield Night(
            nodes,
            folder / "data",
            banks,
            listener.heard,
            processes,
            scheduled,
            asked,
            json.loads(answer.stdout),
            postgresql_cluster,
            database,
        )


def _paying_account(data: Path, bank: str) -> str:
    """Return an account of the bank that pays to another bank."""
    table = pq.read_table(data / "banks" / bank / "transactions.parquet")
    rows = table.select(["from_bank", "to_bank", "from_account"]).to_pylist()
    return next(r["from_account"] for r in rows if r["from_bank"] == bank != r["to_bank"])


def _all_accounts(data: Path) -> dict[str, frozenset[str]]:
    """Return the ids of each bank's accounts."""
    tables = {p.name: pq.read_table(p / "accounts.parquet") for p in (data / "banks").iterdir()}
    return {bank: frozenset(table["account"].to_pylist()) for bank, table in tables.items()}


def _stored(night: Night, bank: str) -> dict[str, float]:
    """Return the stored scores of a bank, from its own kind of database."""
    if bank != night.banks[0]:
        return results(night.nodes, bank, night.scheduled)
    with psycopg.connect(night.cluster.dsn(night.database)) as connection:
        query = "SELECT account, value FROM results WHERE run_id = %s"
        return dict(connection.execute(query, [night.scheduled]).fetchall())


async def test_scheduled_results_are_the_labs(night: Night, tmp_path: Path) -> None:
    """What each node stored of the scheduled detection is what the lab computes of its data."""
    request = LabRequest(
        night.data, "pagerank", tmp_path / "lab", {"personalisation": "risk_score"}
    )
    await run_lab(request)
    for bank in night.banks:
        with (tmp_path / "lab" / bank / "scores.csv").open() as file:
            expected = {row["account"]: float(row["score"]) for row in csv.DictReader(file)}
        stored = _stored(night, bank)
        assert stored.keys() == expected.keys()
        ours = np.array([stored[a] for a in expected])
        np.testing.assert_allclose(ours, list(expected.values()), rtol=0, atol=2e-6)


async def test_the_trace_is_the_labs(night: Night, tmp_path: Path) -> None:
    """The trace that the command printed has the rows of the lab's trace of the same account."""
    parameters = {
        "bank": night.banks[0],
        "account": [night.asked],
        "since": "2026-01-01",
        "until": "2026-01-21",
        "hops": "3",
        "slice": "1d",
    }
    await run_lab(LabRequest(night.data, "trace", tmp_path / "lab", parameters))
    with (tmp_path / "lab" / night.banks[0] / "trace.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = {(r["account"], int(r["slice"]), r["kind"]): float(r["amount"]) for r in rows}
    columns = night.trace["columns"]
    found = [dict(zip(columns, row, strict=True)) for row in night.trace["rows"]]
    amounts = {(r["account"], r["slice"], r["kind"]): r["amount"] for r in found}
    assert amounts.keys() == expected.keys()
    assert amounts
    for key, amount in expected.items():
        assert amounts[key] == pytest.approx(amount, abs=0.02)


def test_no_account_leaves_its_bank(night: Night) -> None:
    """No account id of any bank is in a log at debug level, in MQTT traffic or in process lists.

    And no database holds an account of another bank.
    """
    accounts = _all_accounts(night.data)
    every = frozenset().union(*accounts.values())
    logs = [path.read_text() for path in night.nodes.folder.glob("*.log")]
    assert all("run" in text for text in logs)
    assert len(night.heard) > 20
    traffic = b"\n".join(night.heard).decode()
    lists = "\n".join(night.processes)
    assert "bank_node.worker" in lists
    assert found_in("\n".join(logs), every) == set()
    assert found_in(traffic, every) == set()
    assert found_in(lists, every) <= {night.asked}
    for bank in night.banks[1:]:
        raw = (night.nodes.node(bank) / "node.db").read_bytes()
        raw += (night.nodes.node(bank) / "node.db-wal").read_bytes()
        others = frozenset().union(*(a for b, a in accounts.items() if b != bank))
        assert found_in(raw.decode("latin-1"), others - accounts[bank]) == set()


def test_an_asked_account_leaves_the_process_list_at_once(night: Night) -> None:
    """The name given to ``trace`` is gone from its process list once the program has started."""
    lines = [line for line in night.processes if night.asked in line]
    hidden = [line for line in night.processes if line.endswith("undercurrent trace")]
    assert hidden
    pids = {line.split()[0] for line in hidden}
    assert all(line.split()[0] in pids for line in lines)


def test_the_audit_logs_tell_the_same_story(night: Night) -> None:
    """Every bank's log is in order and has the steps of the run, with the same manifest."""
    for bank in night.banks:
        checked = cli(night.nodes, bank, "audit", "verify", "--json")
        assert checked.returncode == 0, checked.stdout
        shown = cli(night.nodes, bank, "audit", "show", "--run", night.scheduled, "--json")
        entries = json.loads(shown.stdout)
        steps = ["run.proposed", "run.consented", "run.ready", "run.running", "run.computed"]
        assert [e["action"] for e in entries] == [*steps, "alerts.raised", "run.stored"]
        assert len({e["digest"] for e in entries if e["action"].startswith("run.")}) == 1


def test_what_could_be_disclosed_is_charged_by_every_node(night: Night) -> None:
    """Each node's ledger has the same bound for each bank, from public sizes."""
    left = [night.nodes.ask(b, "GET", "/status")["budget"]["banks"] for b in night.banks]
    assert left[0] == left[1] == left[2]
    assert all(bank["left"] < bank["bits"] for bank in left[0].values())
