"""Taking in ten million transactions from CSV, Parquet and PostgreSQL: time, processor and memory.

    python -m benchmarks.intake [--rows 10000000] [--source csv --source parquet ...] [--out FILE]

The payments are made by DuckDB: thirty days, a million accounts at each side with valid IBANs, one
payment in twenty in another currency, one in a thousand unusable.  Each source is taken in by a
process of its own, then the same rows again, then read as a worker reads them (half of the rows for
five million of ten).  Prints a table, with the machine and the date.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from bank_node.intake import DataConfig, JsonDays, read_taken, take_in
from tests.services import Cluster, postgresql

SOURCES = ("csv", "parquet", "postgresql")


def make(rows: int, folder: Path) -> None:
    """Write the payments and accounts of a bank as Parquet."""
    iban = """'NL' || lpad(CAST(98 - CAST(
        '101123' || '10' || lpad(CAST(n AS VARCHAR), 10, '0') || '232100' AS HUGEINT) % 97
        AS VARCHAR), 2, '0') || 'ABNA' || lpad(CAST(n AS VARCHAR), 10, '0')"""
    with duckdb.connect() as con:
        con.execute(f"""
            CREATE MACRO iban(n) AS {iban.replace("'101123' || '10'", "'10112310'")};
            CREATE TABLE ids AS SELECT CAST(range AS BIGINT) AS n, iban(range) AS id
            FROM range(2000000)""")
        con.execute(f"""
            COPY (
                SELECT 'T' || lpad(CAST(i AS VARCHAR), 12, '0') AS tx_id,
                    strftime(TIMESTAMP '2026-03-01' + to_microseconds(
                        CAST(i * (30 * 86400e6 / {rows}) AS BIGINT)), '%Y-%m-%dT%H:%M:%S.%fZ')
                        AS timestamp,
                    if(i % 3 = 0, 'b', 'a') AS from_bank, f.id AS from_account,
                    if(i % 3 = 0, 'a', 'c') AS to_bank, t.id AS to_account,
                    CAST((hash(i * 3) % 10000000) / 100.0 AS DECIMAL(18, 2)) AS amount,
                    CASE WHEN i % 1000 = 7 THEN 'XXX' WHEN i % 20 = 0 THEN 'USD' ELSE 'EUR' END
                        AS currency,
                    if(i % 4 = 0, 'card', 'wire') AS channel
                FROM range({rows}) p(i)
                JOIN ids f ON f.n = hash(i) % 1000000
                JOIN ids t ON t.n = 1000000 + hash(i * 13) % 1000000
                ORDER BY i)
            TO '{folder}/transactions.parquet' (FORMAT parquet)""")
        con.execute(f"""
            COPY (SELECT id AS account, (n % 100) / 100.0 AS risk_score, n % 10000 AS balance,
                '2026-03-31T00:00:00Z' AS balance_at, n % 50 = 0 AS in_scope
                FROM ids WHERE n < 1000000)
            TO '{folder}/accounts.parquet' (FORMAT parquet)""")


def as_csv(folder: Path) -> None:
    """Write both tables as CSV."""
    with duckdb.connect() as con:
        for table in ("transactions", "accounts"):
            con.execute(
                f"COPY (FROM '{folder}/{table}.parquet') TO '{folder}/{table}.csv' (HEADER)"
            )


def as_tables(folder: Path, cluster: Cluster, database: str) -> None:
    """Load both tables into PostgreSQL."""
    types = {
        "transactions": """tx_id text, timestamp timestamptz, from_bank text, from_account text,
            to_bank text, to_account text, amount numeric(18, 2), currency text, channel text""",
        "accounts": """account text, risk_score float8, balance numeric, balance_at timestamptz,
            in_scope boolean""",
    }
    with psycopg.connect(cluster.dsn(database), autocommit=True) as con:
        for table, columns in types.items():
            con.execute(f"CREATE UNLOGGED TABLE {table} ({columns})".encode())
            statement = f"COPY {table} FROM STDIN (FORMAT csv, HEADER true)".encode()
            with con.cursor().copy(statement) as copy, (folder / f"{table}.csv").open("rb") as file:
                while block := file.read(1 << 20):
                    copy.write(block)
        con.execute(b"ANALYZE")


def processor() -> float:
    """Seconds of processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_memory() -> float:
    """Most memory that this process has held, in MiB; what its parent held does not count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measure(settings: dict[str, Any], place: Path) -> dict[str, float]:
    """Take in, take in again, and read, in this process; memory is the peak of taking in."""
    config = DataConfig.model_validate(settings)
    days, now = JsonDays(place / "days.json"), time.time_ns() // 1000
    found: dict[str, float] = {}
    for name, again in (("first", False), ("again", True)):
        began, used = time.perf_counter(), processor()
        report = take_in(config, "a", place / "data", days, now, again=again)
        found[f"{name} s"] = time.perf_counter() - began
        found[f"{name} cpu s"] = processor() - used
        found[f"{name} accepted"] = report.accepted
        found[f"{name} repeated"] = report.repeated
        if not again:
            found["rejected"] = sum(report.rejected.values())
            found["wrong ibans"] = sum(report.wrong_ibans.values())
    found["peak MB"] = peak_memory()
    listed = days.listed()
    found["stored MB"] = sum(entry.bytes for entry in listed if entry.day[0] == "2") / 1e6
    half = sorted(entry.file for entry in listed if entry.day[0] == "2")[:15]
    files = half + [entry.file for entry in listed if entry.day == "accounts"]
    began = time.perf_counter()
    found["read rows"] = read_taken(place / "data", files, "a", "EUR").transactions.num_rows
    found["read s"] = time.perf_counter() - began
    return found


def in_a_process(settings: dict[str, Any]) -> dict[str, float]:
    """Measure in a process of its own, so that memory is that of this source alone."""
    with tempfile.TemporaryDirectory(prefix="intake-") as place:
        command = [sys.executable, "-m", "benchmarks.intake", "--measure", json.dumps(settings)]
        done = subprocess.run([*command, "--place", place], stdout=subprocess.PIPE, check=True)
    return {name: float(value) for name, value in json.loads(done.stdout).items()}


def run(sources: list[str], rows: int) -> dict[str, dict[str, float]]:
    """Measure each source."""
    found = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="intake-source-")))
        make(rows, folder)
        as_csv(folder)
        for source in sources:
            plain = {"source": source, "rates": {"USD": 0.92}, "retention_days": 0}
            if source == "postgresql":
                cluster = stack.enter_context(postgresql())
                database = cluster.new_database()
                as_tables(folder, cluster, database)
                os.environ["BENCHMARK_DSN"] = cluster.dsn(database)
                plain |= {"dsn_env": "BENCHMARK_DSN"}
            else:
                plain |= {"folder": str(folder)}
            found[source] = in_a_process(plain)
    return found


def machine() -> str:
    """One line on this machine and the date."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    load = os.getloadavg()[0]
    return (
        f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, DuckDB "
        f"{duckdb.__version__}, {datetime.now(UTC):%Y-%m-%d}; load at the end {load:.1f}"
    )


def table(found: dict[str, dict[str, float]], rows: int) -> str:
    """The figures as a table in Markdown."""
    lines = [
        f"{rows:,} payments, {machine()}.",
        "",
        "| source | s | processor s | again s | peak MB | stored MB | taken in | rejected "
        "| payments read | read s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {source} | {f['first s']:.1f} | {f['first cpu s']:.1f} | {f['again s']:.1f} | "
        f"{f['peak MB']:,.0f} | {f['stored MB']:.0f} | {f['first accepted']:,.0f} | "
        f"{f['rejected']:,.0f} | {f['read rows']:,.0f} | {f['read s']:.1f} |"
        for source, f in found.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--source", action="append", choices=SOURCES)
    parser.add_argument("--out", type=Path, help="file for the figures as JSON")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(json.loads(options.measure), options.place)))
        return
    found = run(options.source or list(SOURCES), options.rows)
    print(table(found, options.rows))
    if options.out:
        text = {"rows": options.rows, "machine": machine(), "sources": found}
        options.out.write_text(json.dumps(text, indent=2) + "\n")


if __name__ == "__main__":
    main()
