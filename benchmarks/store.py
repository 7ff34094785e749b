"""How long a node's database takes for what comes in bulk.

``python -m benchmarks.store``.  One run with 1,000,000 results, each step a transaction of its own:
storing them, reading them back, the history of one account, a trace of 100,000 rows, 10,000 audit
entries in one transaction each signed, verifying them, 300 small transactions (a charge, an entry,
a signed head), and forgetting the run.  SQLite as a node sets it up (every commit on disk);
PostgreSQL 15 with its own defaults, durable too, on a Unix socket.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from bank_node.store import Database, audit, ledger, results, retention, runs
from benchmarks.engine import machine
from tests.services import postgresql

ENTRIES = 10_000
TRACE_ROWS = 100_000
SMALL = 300


class Key:
    """A signing key."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message."""
        return self._private.sign(message)


def measure(database: Database, rows: int) -> Iterator[tuple[str, float]]:
    """Carry out each step and yield its name and seconds."""
    accounts = pa.array([f"NL{n:02}BANK{n:010}" for n in range(rows)]).sort()
    values = np.random.default_rng(1).random(rows)
    key, run_id = Key(), "5f" * 16
    with database.begin() as session:
        runs.add(session, _run(run_id))
    steps: list[tuple[str, bool, Callable[[Session], object]]] = [
        ("store results", True, lambda s: results.store_scores(s, run_id, accounts, values)),
        ("read results", False, lambda s: results.scores_of(s, run_id)),
        ("history of an account", False, lambda s: results.history(s, accounts[rows // 2].as_py())),
        ("store a trace", True, lambda s: results.store_trace(s, run_id, _trace(accounts))),
        ("add audit entries", True, lambda s: _entries(s, key)),
        ("verify audit entries", False, lambda s: audit.verify(s, {key.public})),
    ]
    for name, writes, step in steps:
        with _timed(name) as seconds, database.begin() if writes else database.read() as session:
            step(session)
        yield name, seconds[0]
    with _timed("small transactions") as seconds:
        for n in range(SMALL):
            _small(database, n, key)
    yield "small transactions", seconds[0]
    with _timed("forget the run") as seconds, database.begin() as session:
        retention.forget(session, before=10)
    yield "forget the run", seconds[0]


def _small(database: Database, n: int, key: Key) -> None:
    with database.begin() as session:
        ledger.charge(session, f"r{n}", 1, {"alba": 1}, "2026-11", {"alba": SMALL}, n)
        audit.append(session, at=n, actor="alba", action="run.ready", details={"bits": 1})
        audit.sign_head(session, key, n)


def _entries(session: Session, key: Key) -> None:
    for n in range(ENTRIES):
        audit.append(session, at=n, actor="alba", action="run.stored", details={"n": n})
    audit.sign_head(session, key, ENTRIES)


def _trace(accounts: pa.Array) -> pa.Table:
    count = min(TRACE_ROWS, len(accounts))
    columns = {
        "account": accounts.slice(0, count),
        "slice": np.arange(count) % 30,
        "kind": np.full(count, "received"),
        "amount": np.arange(count) / 100 + 0.01,
    }
    return pa.table(columns)


def _run(run_id: str) -> runs.Run:
    return runs.Run(
        *(run_id, "{}", "00" * 32, "pagerank", "exact", "alba", "", "", False, "stored"),
        *(1, 2, 3),
        closed=4,
    )


@contextmanager
def _timed(_name: str) -> Iterator[list[float]]:
    seconds: list[float] = []
    start = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - start)


def main() -> None:
    """Measure both databases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.db"
        database = Database.open(f"sqlite:///{path}")
        found["SQLite"] = dict(measure(database, rows))
        database.close()
        size = path.stat().st_size
    with postgresql(fsync="on", full_page_writes="on", shared_buffers="128MB") as cluster:
        database = Database.open(cluster.url(cluster.new_database()))
        found["PostgreSQL"] = dict(measure(database, rows))
        database.close()
    print(f"{machine()}, {datetime.now(UTC):%Y-%m-%d}\n")
    print("| step | rows | SQLite s | PostgreSQL s |\n|---|---:|---:|---:|")
    counts = {"store a trace": TRACE_ROWS, "history of an account": 1, "small transactions": SMALL}
    for name, seconds in found["SQLite"].items():
        count = ENTRIES if "audit" in name else counts.get(name, rows)
        print(f"| {name} | {count:,} | {seconds:.2f} | {found['PostgreSQL'][name]:.2f} |")
    print(f"\nSQLite's file: {size / 1e6:.0f} MB.")


if __name__ == "__main__":
    main()
