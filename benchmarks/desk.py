"""How long each reading of the desk's API takes at a large bank.

``python -m benchmarks.desk``.  100,000 alerts in cases, 1,000,000 own accounts with two stored
runs, 5,000,000 own payments; each GET for different alerts, cases and accounts, in the process and
over a socket, on SQLite as a node sets it up and on PostgreSQL with its own defaults.  The audit
entry that each reading leaves is part of it.  Beside the time that passed stands the processor time
of this process, which other work on the machine changes less.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import uvicorn

from alerts import SYSTEM, PaymentsView, open_cases, raise_alerts
from bank_node.api.server import Split
from bank_node.desk import Desk, Office, OwnPayments
from bank_node.desk.own_payments import _Loaded
from bank_node.desk.results_of import results_of
from bank_node.store import results
from bank_node.store import runs as run_table
from benchmarks.engine import machine
from tests.bank_node.api.world import served, token_of
from tests.bank_node.desk_world import (
    BANK,
    DAY,
    FIRST,
    MARCH,
    NOW,
    OWN,
    SUE,
    TRACE,
    SmallOffice,
    small_office,
    stored_run,
)
from tests.services import postgresql

BEFORE, AFTER = "slot-" + "1" * 20, "slot-" + "2" * 20
WARM, LIMIT_MS = 3, 150


@dataclass(frozen=True)
class Sizes:
    """How large the bank is, and how often each call is made."""

    accounts: int
    payments: int
    alerts: int
    calls: int


class LargePayments(OwnPayments):
    """Own payments that were made here instead of being taken in."""

    def __init__(self, made: SmallOffice, view: PaymentsView) -> None:
        super().__init__(made.office.config, list, made.clock)
        self._view = view

    def _wanted(self) -> tuple[str, ...]:
        return ("large",)

    def _load(self, files: tuple[str, ...]) -> _Loaded:
        return _Loaded(files, self._view, None)


def large_bank(names: pa.Array, payments: int) -> PaymentsView:
    """Return own payments, half of them with other banks, and two accounts to a customer."""
    chance, count = np.random.default_rng(5), len(names)
    payer, payee = chance.integers(0, count, (2, payments))
    is_own = chance.random(payments) < 0.5
    other = pa.array([f"X{i:07}" for i in range(100_000)], pa.string())
    foreign = other.take(pa.array(payee % 100_000))
    banks = pa.array([BANK, "BANKB"])
    home = banks.take(pa.array(np.zeros(payments, np.int64)))
    transactions = pa.table(
        {
            "tx_id": pa.array(np.arange(payments)).cast(pa.string()),
            "timestamp": MARCH + chance.integers(0, 30 * DAY, payments),
            "from_bank": home,
            "from_account": names.take(pa.array(payer)),
            "to_bank": banks.take(pa.array((~is_own).astype(np.int64))),
            "to_account": pc.if_else(pa.array(is_own), names.take(pa.array(payee)), foreign),
            "amount": chance.integers(1, 10**6, payments),
            "channel": home,
        }
    )
    customers = pc.binary_join_element_wise("K", pa.array(np.arange(count) // 2).cast("string"), "")
    accounts = pa.table({"account": names, "customer": customers})
    return PaymentsView(BANK, "EUR", 2, accounts, transactions)


def enlarge(made: SmallOffice, sizes: Sizes) -> Office:
    """Give the small office a large bank: payments, two runs, alerts, cases."""
    extra = [f"NL{i:016}" for i in range(sizes.accounts - len(OWN))]
    names = pa.array(sorted([*OWN, *extra]), pa.string())
    view = large_bank(names, sizes.payments)
    desk = Desk(made.office.config, made.records, LargePayments(made, view), made.clock)
    chance = np.random.default_rng(7)
    share = sizes.alerts / sizes.accounts * 1.05
    for run_id, at in ((BEFORE, NOW - 2 * DAY), (AFTER, NOW)):
        found = chance.random(len(names)) < (share if run_id == AFTER else 0)
        values = np.where(found, chance.integers(2, 4, len(names)), 0).astype(np.float64)
        with made.records.database.begin() as session:
            row = stored_run(run_id, "risk-propagation", "bands:0.2,0.5,0.8", at)
            run_table.add(session, row)
            results.store_scores(session, run_id, names, values)
    with made.records.database.read() as session:
        facts = results_of(session, row, None, 7)
    with made.records.database.begin() as session:
        raised = raise_alerts(session, SYSTEM, desk.current_rules(), facts, view)
        open_cases(session, now=NOW)
    print(f"{raised.raised:,} alerts raised")
    return Office(desk, made.node, made.office.config, made.clock)


def calls_of(page: Sequence[dict[str, Any]], cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what is asked: a name → addresses, one for each time."""
    alerts, numbers = [a["id"] for a in page], [c["id"] for c in cases]
    account = [f"NL{97 * i:016}" for i in range(1, len(alerts) + 1)]
    return {
        "me": ["/me"],
        "summary": ["/summary"],
        "people": ["/people"],
        "workers": ["/workers"],
        "alerts, first page": ["/alerts"],
        "alerts, further page": [f"/alerts?after={n}" for n in alerts],
        "alerts, newest, 500": ["/alerts?order=newest&limit=500"],
        "alerts, by strength": ["/alerts?order=strength"],
        "alerts, in a case, high": ["/alerts?status=in-case&severity=high"],
        "alerts of a rule": ["/alerts?rule=risk-rose"],
        "alerts of an account": [f"/alerts?account={a}" for a in account],
        "alerts of a run": [f"/alerts?run={AFTER}"],
        "an alert explained": [f"/alerts/{n}" for n in alerts],
        "cases, first page": ["/cases"],
        "cases, further page": [f"/cases?after={n}" for n in numbers],
        "new cases": ["/cases?state=new"],
        "cases of a person": ["/cases?assignee=ann"],
        "a case": [f"/cases/{n}" for n in numbers],
        "where a case stands": [f"/cases/{n}/standing" for n in numbers],
        "export, page": [f"/cases/{n}/exports/html" for n in numbers],
        "export, JSON": [f"/cases/{n}/exports/json" for n in numbers],
        "export, payments": [f"/cases/{n}/exports/transactions.csv" for n in numbers],
        "an account": [f"/accounts/{a}" for a in account],
        "rules": ["/rules"],
        "samples": ["/samples"],
        "samples counted": ["/samples/counts"],
        "runs": ["/runs"],
        "a run": [f"/runs/{FIRST}"],
        "traces": ["/traces"],
        "a trace": [f"/traces/{TRACE}"],
        "audit, first page": ["/audit"],
        "audit of a person": ["/audit?actor=sue"],
        "audit of an account": [f"/audit?account={a}" for a in account],
        "audit verified": ["/audit/verification"],
    }


async def measure(client: httpx.AsyncClient, calls: int) -> dict[str, tuple[float, float, float]]:
    """Return median, 95th percentile and median of work of each call, in milliseconds."""
    page = (await client.get("/alerts", params={"rule": "risk-rose"})).json()["alerts"]
    cases = (await client.get("/cases", params={"order": "newest"})).json()["cases"]
    found = {}
    for name, paths in calls_of(page, cases).items():
        took, worked = [], []
        for turn in range(calls + WARM):
            start, work = time.perf_counter(), time.process_time()
            answer = await client.get(paths[turn % len(paths)])
            took.append(1000 * (time.perf_counter() - start))
            worked.append(1000 * (time.process_time() - work))
            if answer.status_code not in (200, 404):
                raise RuntimeError(f"{name}: {answer.status_code} {answer.text}")
        found[name] = (
            statistics.median(took[WARM:]),
            float(np.percentile(took[WARM:], 95)),
            statistics.median(worked[WARM:]),
        )
    return found


@asynccontextmanager
async def over_a_socket(app: Split) -> Any:
    """Serve an application on loopback and give its address."""
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, lifespan="off", proxy_headers=False
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def both_ways(office: Office, made: SmallOffice, calls: int) -> list[Any]:
    """Measure in the process and over a socket."""
    whole = SmallOffice(
        office, office.desk, made.node, made.clock, made.records, made.folder, made.payments
    )
    app: Any = served(whole)
    headers = {"Authorization": f"Bearer {token_of(whole, SUE)}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://desk/api/v1", headers=headers, timeout=600
    ) as client:
        inside = await measure(client, calls)
    async with (
        over_a_socket(app) as url,
        httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=600) as client,
    ):
        return [inside, await measure(client, calls)]


@contextmanager
def database(name: str, folder: Path) -> Iterator[str]:
    """Give the URL of an empty database."""
    if name == "SQLite":
        yield f"sqlite:///{folder / 'node.db'}"
        return
    with postgresql(fsync="on", full_page_writes="on", shared_buffers="128MB") as cluster:
        yield cluster.url(cluster.new_database())


def main() -> None:
    """Measure both databases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--payments", type=int, default=5_000_000)
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=20)
    sizes = Sizes(**vars(parser.parse_args()))
    found: dict[str, list[dict[str, tuple[float, float, float]]]] = {}
    for name in ("SQLite", "PostgreSQL"):
        with tempfile.TemporaryDirectory() as folder, database(name, Path(folder)) as url:
            made = small_office(url, Path(folder))
            office = enlarge(made, sizes)
            found[name] = asyncio.run(both_ways(office, made, sizes.calls))
            made.close()
    print(
        f"\n{machine()}, {datetime.now(UTC):%Y-%m-%d}; milliseconds,"
        " median / 95th percentile (work)\n"
    )
    columns = [f"{db}, {way}" for db in found for way in ("in the process", "socket")]
    print(f"| GET | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for call in found["SQLite"][0]:
        cells = [way[call] for ways in found.values() for way in ways]
        marks = ["**" if median > LIMIT_MS else "" for median, _p95, _work in cells]
        told = [
            f"{m}{a:.0f} / {b:.0f}{m} ({w:.0f})" for m, (a, b, w) in zip(marks, cells, strict=True)
        ]
        print(f"| {call} | {' | '.join(told)} |")


if __name__ == "__main__":
    main()
