"""A small bank with a desk: real database, payments taken in, two stored runs, alerts, people.

The node behind it is a double that answers as ``bank_node.node.control.Controlled`` does; whole
nodes are in ``tests/system``.
"""

from __future__ import annotations

import csv
import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from alerts import Person, Role
from bank_node.consortium import Book, RunManifest
from bank_node.desk import Desk, Office, OwnPayments
from bank_node.identity import create_signing_key
from bank_node.intake import take_in
from bank_node.node.config import NodeConfig
from bank_node.node.control import KeepQuestion, Proposal, Question
from bank_node.node.errors import UnknownRunError
from bank_node.node.own_keys import own_key, own_keys
from bank_node.node.records import Records
from bank_node.people import add_person, hash_password, issue_token
from bank_node.store import Database, results
from bank_node.store import runs as run_table

PASSWORD = "correct horse battery"
SECOND = 1_000_000
DAY = 86_400 * SECOND
MARCH = 1_772_323_200 * SECOND  # 2026-03-01
NOW = MARCH + 40 * DAY
BANK = "BANKA"

ANN = Person("ann", Role.ANALYST)
BEN = Person("ben", Role.ANALYST)
SUE = Person("sue", Role.SUPERVISOR)
SAM = Person("sam", Role.SUPERVISOR)
AUDREY = Person("audrey", Role.AUDITOR)
OTTO = Person("otto", Role.OPERATOR)
PEOPLE = (ANN, BEN, SUE, SAM, AUDREY, OTTO)

OWN = [f"A{i:03d}" for i in range(1, 61)]
KNOWN = [f"BANKB-{i:03d}" for i in range(1, 31)] + [f"BANKC-{i:03d}" for i in range(1, 21)]
"""Accounts of other banks that this bank's own payments name."""
UNKNOWN = [f"BANKB-9{i:02d}" for i in range(1, 31)] + [f"BANKC-9{i:02d}" for i in range(1, 21)]
"""Accounts of other banks that it does not know."""
FIRST, SECOND_RUN, ROUND_TRIP, TRACE = "slot-" + "a" * 20, "slot-" + "b" * 20, "c" * 24, "d" * 24
RUNS = (FIRST, SECOND_RUN, ROUND_TRIP)


class Clock:
    """A clock that tests move."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        """Return the time; each look takes a millisecond."""
        self.now += 1000
        return self.now


@dataclass
class FakeNode:
    """Answers as a running node does."""

    clock: Clock
    asked: list[Any] = field(default_factory=list)
    phase: str = "running"

    async def status(self) -> dict[str, Any]:
        """Return a node of three members."""
        members = {
            name: {
                "role": "bank", "online": name != "BANKC", "version": "0.1.0",
                "same_agreement": True, "last_heard": NOW, "padded_accounts": 64,
            }
            for name in (BANK, "BANKB", "BANKC")
        }  # fmt: skip
        banks = {name: {"bits": 1_000_000, "left": 750_000} for name in members}
        return {
            "node": BANK, "role": "bank", "consortium": "testers", "version": "0.1.0",
            "broker": {"url": "mqtts://broker:8883", "connected": True},
            "agreement": {"version": 1, "hash": "f" * 64, "expires": "2027-01-01T00:00:00Z"},
            "no_agreement": "", "members": members, "runs": {"consented": 1},
            "accounts": len(OWN), "intake_problem": "", "at": self.clock.now,
            "budget": {"period": "2026-04", "until": NOW + 20 * DAY, "banks": banks},
        }  # fmt: skip

    def _brief(self, run_id: str, **changes: Any) -> dict[str, Any]:
        return {
            "run_id": run_id, "analysis": "risk-propagation", "policy": "bands:0.2,0.5,0.8",
            "proposer": "schedule", "schedule": "nightly", "rehearsal": False, "prepare_runs": 0,
            "columns": "", "phase": "stored", "attempt": 1, "code": "", "reason": "",
            "waiting_for": "", "progress": None, "created": NOW - DAY, "expires": NOW + DAY,
            "since": NOW - DAY, "bits": {BANK: 128, "BANKB": 128, "BANKC": 128},
            "measured": {"seconds": 3.5, "bytes_sent": 1_000_000}, "trouble": "",
        } | changes  # fmt: skip

    def _all(self) -> list[dict[str, Any]]:
        waiting = {"phase": "waiting", "waiting_for": "a person of this bank"}
        asked = {"analysis": "trace", "policy": "exact", "proposer": BANK, "schedule": ""}
        return [
            self._brief("e" * 24, analysis="round-trip", proposer="BANKB", schedule="", **waiting),
            self._brief("t" * 24, phase=self.phase, **asked),
            self._brief(TRACE, **asked),
            *(self._brief(run) for run in RUNS),
        ]

    async def runs(self, *, only_open: bool, limit: int) -> list[dict[str, Any]]:
        """Return all runs."""
        found = [r for r in self._all() if not only_open or r["phase"] != "stored"]
        return found[:limit]

    async def run(self, run_id: str) -> dict[str, Any]:
        """Return one run."""
        for run in self._all():
            if run["run_id"] == run_id:
                stated = {"phase": run["phase"], "attempt": 1, "reason": ""}
                return run | {
                    "parameters": {"iterations": "4", "since": "2026-03-01T00:00:00Z",
                                   "until": "2026-03-31T00:00:00Z"},
                    "digest": "9" * 64, "agreement": "f" * 64,
                    "members": {BANK: stated, "BANKB": stated, "BANKC": None},
                    "approved_by": "", "tries": 1,
                }  # fmt: skip
        raise UnknownRunError(f"there is no run {run_id}", "See undercurrent runs list")

    async def result(self, run_id: str, person: str) -> dict[str, Any]:
        """Return no rows."""
        return (await self.run(run_id)) | {"columns": ["account", "value"], "rows": []}

    async def propose(self, proposal: Proposal, person: str) -> dict[str, Any]:
        """Keep the proposal."""
        self.asked.append((proposal, person))
        return self._brief("p" * 24, phase="proposed")

    async def approve(self, run_id: str, person: str) -> dict[str, Any]:
        """Keep the approval."""
        self.asked.append(("approve", run_id, person))
        return self._brief(run_id, phase="consented")

    async def reject(self, run_id: str, reason: str, person: str) -> dict[str, Any]:
        """Keep the refusal."""
        self.asked.append(("reject", run_id, reason, person))
        self.phase = "refused"
        return self._brief(run_id, phase="refused", reason=reason)

    async def trace(
        self, question: Question, person: str, keep: KeepQuestion | None = None
    ) -> dict[str, Any]:
        """Keep the question."""
        if keep is not None:
            await keep("t" * 24)
        self.asked.append((question, person))
        return self._brief("t" * 24, analysis="trace", phase="proposed", proposer=BANK)

    async def ingest(self, person: str) -> dict[str, Any]:
        """Take in nothing."""
        return {}


@dataclass
class SmallOffice:
    """An office with what tests look at beside it."""

    office: Office
    desk: Desk
    node: FakeNode
    clock: Clock
    records: Records
    folder: Path
    payments: OwnPayments

    def token(self, who: Person) -> str:
        """Return a token of a person, without a password's slow hash."""
        policy = self.office.config.web.sign_in
        with self.records.database.begin() as session:
            return issue_token(session, who.name, policy, at=self.clock(), label="tests").token

    def close(self) -> None:
        """Let go of the database and the payments."""
        self.payments.close()
        self.records.close()


def small_office(
    url: str,
    tmp_path: Path,
    *,
    settings: dict[str, Any] | None = None,
    customers: dict[str, str] | None = None,
    accounts: Sequence[str] = (),
) -> SmallOffice:
    """Set up bank BANKA: 60 accounts, payments of March 2026, runs, alerts, a trace, six people.

    Args:
        url: of an empty database. tmp_path: an empty folder.
        settings: sections of ``node.toml``. customers: account → customer, beside the usual ones.
        accounts: further own accounts, each of which pays the first one.
    """
    if not (settings or customers or accounts) and url.startswith("sqlite"):
        return _copied(url, tmp_path)
    folder = tmp_path / "node"
    for name in ("", "keys", "data", "agreements", "runs", "columns"):
        (folder / name).mkdir(mode=0o700, parents=True)
    create_signing_key(folder / "keys")
    source = _write_source(tmp_path / "source", customers or {}, accounts)
    made = _opened(url, folder, source, Clock(), settings or {})
    config = made.office.config
    assert config.data is not None
    take_in(config.data, BANK, config.data_folder, made.records.days(), made.clock.now)
    _add_people(made)
    _add_runs(made)
    for run in RUNS:
        made.desk.evaluate(OTTO, run)
    return made


@contextmanager
def office_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallOffice]:
    """Give the office on the database that a fixture's parameter names, or on SQLite; close it."""
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'node.db'}"
        if getattr(request, "param", "sqlite") == "postgresql":
            cluster = request.getfixturevalue("postgresql_cluster")
            name = cluster.new_database()
            stack.callback(cluster.drop, name)
            url = cluster.url(name)
        made = small_office(url, tmp_path)
        stack.callback(made.close)
        yield made


def _opened(
    url: str, folder: Path, source: Path, clock: Clock, settings: dict[str, Any]
) -> SmallOffice:
    """Open the database of a folder and put a desk before it."""
    config = NodeConfig(
        folder=folder,
        **{
            "node": {"id": BANK, "consortium": "testers"},
            "store": {"url": url},
            "data": {"source": "csv", "folder": str(source)},
        }
        | settings,
    )
    book = Book(config.agreements)
    records = Records(
        Database.open(url), book, lambda: own_key(config, book, clock.now),
        lambda: own_keys(config, book),
    )  # fmt: skip
    payments = OwnPayments(config, records.day_files, clock)
    desk = Desk(config, records, payments, clock)
    node = FakeNode(clock)
    return SmallOffice(
        Office(desk, node, config, clock), desk, node, clock, records, folder, payments
    )


@dataclass(frozen=True)
class _Template:
    """An office that was set up once, closed, to be copied."""

    place: tempfile.TemporaryDirectory[str]
    now: int


@functools.cache
def _template() -> _Template:
    place = tempfile.TemporaryDirectory(prefix="desk-world-")
    top = Path(place.name)
    url = f"sqlite:///{top / 'template.db'}"
    made = small_office(url, top, settings={"log": {"level": "info"}})
    made.close()
    return _Template(place, made.clock.now)


def _copied(url: str, tmp_path: Path) -> SmallOffice:
    """Copy the office that was set up once: setting one up takes longer than most tests."""
    template = _template()
    top = Path(template.place.name)
    for name in ("node", "source"):
        shutil.copytree(top / name, tmp_path / name)
    shutil.copyfile(top / "template.db", url.removeprefix("sqlite:///"))
    return _opened(url, tmp_path / "node", tmp_path / "source", Clock(template.now), {})


def store_run(
    made: SmallOffice, run_id: str, values: Sequence[float], *, analysis: str, at: int
) -> None:
    """Store a run of an analysis with a value for each own account."""
    with made.records.database.begin() as session:
        run_table.add(session, stored_run(run_id, analysis, "bands:0.2,0.5,0.8", at))
        accounts = pa.array(OWN[: len(values)], pa.string())
        results.store_scores(session, run_id, accounts, np.array(values, np.float64))


def with_alerts(made: SmallOffice, patch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Let the desk have other settings of ``[alerts]`` until the test ends."""
    config = made.office.config
    changed = config.model_copy(update={"alerts": config.alerts.model_copy(update=settings)})
    patch.setattr(made.desk, "_config", changed)


def stored_run(run_id: str, analysis: str, policy: str, at: int, **more: str) -> run_table.Run:
    """Return the row of a stored run over March 2026."""
    manifest = RunManifest(
        run_id=run_id,
        consortium="testers",
        agreement="f" * 64,
        analysis=analysis,
        version="1",
        parameters={"since": "2026-03-01T00:00:00Z", "until": "2026-03-31T00:00:00Z"} | more,
        policy=policy,
        members=tuple({"id": b, "role": "bank"} for b in (BANK, "BANKB", "BANKC")),  # type: ignore[arg-type]
        proposer="schedule" if analysis != "trace" else BANK,
        nonce="0" * 32,
        created=at,
        expires=at + DAY,
    )
    return run_table.Run(
        run_id=run_id,
        manifest=manifest.canonical().decode(),
        digest=manifest.digest,
        analysis=analysis,
        policy=policy,
        proposer=manifest.proposer,
        schedule="",
        slot="",
        rehearsal=False,
        phase="stored",
        created=at,
        expires=at + DAY,
        updated=at,
        closed=at,
    )


def _write_source(folder: Path, customers: dict[str, str], accounts: Sequence[str]) -> Path:
    folder.mkdir(parents=True)
    owner = {a: f"C{i // 2:03d}" for i, a in enumerate(OWN)} | customers
    with (folder / "accounts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["account", "customer", "risk_score"])
        writer.writerows([a, owner[a], "0.1"] for a in OWN)
        writer.writerows([a, "", "0.1"] for a in accounts)
    with (folder / "transactions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["tx_id", "timestamp", "from_bank", "from_account", "to_bank", "to_account", "amount",
             "currency", "channel"]
        )  # fmt: skip
        writer.writerows(_payments())
        writer.writerows(
            [f"tx-more-{i}", "2026-03-05T12:00:00Z", BANK, a, BANK, OWN[0], "10.00", "EUR", "wire"]
            for i, a in enumerate(accounts)
        )
    return folder


def _payments() -> list[list[str]]:
    """Each own account pays the next one, gets from and pays to other banks, all in March 2026."""
    rows = []
    for i, account in enumerate(OWN):
        there, other = KNOWN[i % len(KNOWN)], KNOWN[(i * 7 + 3) % len(KNOWN)]
        ends = [
            (BANK, account, BANK, OWN[(i + 1) % len(OWN)], 120 + i),
            (there[:5], there, BANK, account, 900 + 10 * i),
            (BANK, account, other[:5], other, 850 + 10 * i),
        ]
        for number, (from_bank, payer, to_bank, payee, amount) in enumerate(ends):
            day = 1 + (3 * i + 5 * number) % 28
            moment = f"2026-03-{day:02d}T{8 + number:02d}:30:00Z"
            rows.append(
                [f"tx-{i}-{number}", moment, from_bank, payer, to_bank, payee, f"{amount}.50",
                 "EUR", "wire"]
            )  # fmt: skip
    return rows


@functools.cache
def _hash() -> str:
    return hash_password(PASSWORD)  # made to take its time: once is enough


def _add_people(made: SmallOffice) -> None:
    with made.records.database.begin() as session:
        for person in PEOPLE:
            display = person.name.capitalize()
            add_person(
                session, person.name, person.role, display, at=NOW - 30 * DAY, password_hash=_hash()
            )


def _add_runs(made: SmallOffice) -> None:
    bands = np.arange(len(OWN)) % 4
    store_run(made, FIRST, list(np.maximum(bands - 1, 0)), analysis="risk-propagation",
              at=NOW - 2 * DAY)  # fmt: skip
    store_run(made, SECOND_RUN, list(bands), analysis="risk-propagation", at=NOW - DAY)
    tripped = [float(i % 5 == 0) * 2 for i in range(len(OWN))]
    store_run(made, ROUND_TRIP, tripped, analysis="round-trip", at=NOW - DAY + SECOND)
    trace = pa.table(
        {
            "account": [OWN[1], OWN[2], OWN[3], OWN[0]],
            "slice": [1, 2, 3, 3],
            "kind": ["received", "received", "received", "returned"],
            "amount": [800.25, 410.0, 99.5, 55.0],
            "depth": [1, 2, 3, 3],
        }
    )
    with made.records.database.begin() as session:
        more = {"direction": "forward", "slice": "7d", "hops": "3", "depth": "3"}
        run_table.add(session, stored_run(TRACE, "trace", "exact", NOW - DAY, **more))
        results.store_trace(session, TRACE, trace)
    made.desk.remember_question(ANN, TRACE, [OWN[0]])
