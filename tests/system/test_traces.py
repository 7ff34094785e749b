"""Flow traces by real workers: the question stays with its bank, columns are used once."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bank_node.job import Job
from bank_node.launcher import WorkersFailedError

from .support import HEADER, UNDERCURRENT, Watch, is_there, request_of

ASKED = ["asked-IBAN-0001", "asked-IBAN-0002"]
PAYMENTS = [
    "t1,2026-01-05T09:00:00Z,A,asked-IBAN-0001,B,b1,100.00,EUR",
    "t2,2026-01-05T10:00:00Z,B,b1,C,c1,90.00,EUR",
    "t3,2026-01-06T10:00:00Z,C,c1,A,a3,90.00,EUR",
    "t4,2026-01-07T10:00:00Z,A,asked-IBAN-0002,A,a3,5.55,EUR",
    "t5,2026-01-07T11:00:00Z,C,c1,A,asked-IBAN-0001,1.00,EUR",
]
PARAMETERS = {"hops": "3", "slice": "1d", "since": "2026-01-05", "until": "2026-01-08"}
EXPECTED = {
    ("a3", "1", "received"): "90.00",
    ("a3", "2", "received"): "5.55",
}
# Kept by some sandboxed workers of these tests, and by nobody's code.
KILLED = """
import os, signal, sys
from bank_node.columns import ColumnStore
from bank_node.worker import main
take = ColumnStore.take
def take_and_die(store, run):
    take(store, run)
    os.kill(os.getpid(), signal.SIGKILL)
ColumnStore.take = take_and_die
sys.exit(main())
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three banks; money of one account goes round over the two others."""
    folder = tmp_path_factory.mktemp("traces") / "data"
    accounts = {"A": [*ASKED, "a3"], "B": ["b1"], "C": ["c1"]}
    for bank, own in accounts.items():
        place = folder / "banks" / bank
        place.mkdir(parents=True)
        (place / "accounts.csv").write_text("\n".join(["account", *own]) + "\n")
        rows = [p for p in PAYMENTS if bank in p.split(",")]
        (place / "transactions.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


def read_trace(out: Path) -> dict[tuple[str, str, str], str]:
    """Amounts, rounded to the cent, by account, slice and kind."""
    with (out / "A" / "trace.csv").open() as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == ["account", "slice", "kind", "amount"]
        return {(r["account"], r["slice"], r["kind"]): f"{float(r['amount']):.2f}" for r in reader}


def request(data: Path, out: Path, accounts: list[str] = ASKED, **changes):
    """A trace that bank A asks for."""
    parameters = PARAMETERS | {"bank": "A", "account": accounts}
    return request_of(data, out, analysis="trace", parameters=parameters, **changes)


@dataclass(frozen=True)
class Observed:
    """A trace at debug level, and what could be seen of it."""

    out: Path
    logs: dict[str, str]
    told: str
    processes: dict[str, bytes]
    jobs: dict[str, Job]


@pytest.fixture(scope="module")
def observed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """The trace, its logs, events and processes."""
    folder = tmp_path_factory.mktemp("observed-trace")
    processes: dict[str, bytes] = {}
    jobs: dict[str, Job] = {}

    def wrap(job: Job) -> list[str]:
        jobs[job.party] = job
        log = shlex.quote(str(folder / f"{job.party}.log"))
        return ["sh", "-c", f'UNDERCURRENT_LOG=DEBUG exec "$@" 2> {log}', "sh"]

    def look(pids: dict[str, int]) -> None:
        for party, pid in pids.items():
            place = Path(f"/proc/{pid}")
            processes[party] = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()

    watch = Watch(request(data, folder / "out"), wrap=wrap, act=look, at=1)
    watch.run()
    told = "\n".join(json.dumps(event) for _party, event in watch.events)
    logs = {bank: (folder / f"{bank}.log").read_text() for bank in "ABC"}
    return Observed(folder / "out", logs, told, processes, jobs)


def test_the_bank_that_asks_gets_the_answer(observed: Observed) -> None:
    """Amounts per slice at own accounts; what came back is at the source."""
    found = read_trace(observed.out)
    returned = found.pop((ASKED[0], "2", "returned"), None)
    assert found == EXPECTED
    # Of the 90.00 that c1 got, all went to a3 the day after: what it pays back later is its own.
    assert returned is None


def test_nobody_else_gets_anything(observed: Observed) -> None:
    """The other banks' folders hold no result."""
    for bank in "BC":
        assert not (observed.out / bank / "trace.csv").exists()
        assert not (observed.out / bank / "scores.csv").exists()


def test_the_question_is_seen_nowhere_else(observed: Observed) -> None:
    """Not in a log, an event, a process list, another bank's job or file, or the shared record."""
    assert set(observed.processes) == {"A", "B", "C"}
    for asked in ASKED:
        assert asked in observed.jobs["A"].model_dump_json()
        for bank in "BC":
            assert asked not in observed.jobs[bank].model_dump_json()
            for path in (observed.out / bank).rglob("*"):
                assert asked not in path.read_text()
        for bank in "ABC":
            assert asked not in observed.logs[bank]
            assert asked.encode() not in observed.processes[bank]
        assert asked not in observed.told
        assert asked not in (observed.out / "run.json").read_text()
        assert asked not in observed.jobs["A"].manifest.model_dump_json()


def test_the_record_tells_the_padded_number_of_traces(observed: Observed) -> None:
    """Of the question, run.json has how many traces each bank may have asked for."""
    record = json.loads((observed.out / "run.json").read_text())
    assert record["padded_sizes"]["traces"] == {"A": 1}
    assert record["parameters"]["traces"] == "A=1"
    assert "account" not in record["parameters"]
    assert record["disclosed_bits"] == {"A": 8 * 3 * 64, "B": 0, "C": 0}


def test_an_account_of_another_bank_is_refused_without_its_name(
    data: Path, tmp_path: Path, scratch: Path
) -> None:
    """The error says which account of the question is none of the bank's, not its id."""
    failure = Watch(request(data, tmp_path / "out", ["a3", "secret-b1"])).fail()
    assert "account number 2 of trace 1 is no account of A" in str(failure)
    assert "secret-b1" not in str(failure)
    assert failure.exit_code == 2


def prepare(data: Path, ready: Path, runs: int = 3) -> None:
    """Prepare columns on the command line."""
    command = [UNDERCURRENT, "lab", "prepare", str(data), "--analysis", "trace", "-p", "bank=A"]
    for key, value in PARAMETERS.items():
        command += ["-p", f"{key}={value}"]
    command += ["--runs", str(runs), "--out", str(ready)]
    subprocess.run(command, capture_output=True, timeout=60, check=True)


def test_a_worker_killed_after_it_took_columns(data: Path, tmp_path: Path, scratch: Path) -> None:
    """Kill -9 between advancing the index and the first message: those columns are not used again.

    The next run skips to the largest index of all parties, and its answer is right.
    """
    ready = tmp_path / "ready"
    prepare(data, ready)

    def wrap(job: Job) -> list[str]:
        return [sys.executable, "-c", KILLED] if job.party == "B" else []

    watch = Watch(request(data, tmp_path / "out", prepared=ready), wrap=wrap)
    with pytest.raises(WorkersFailedError) as caught:
        watch.run()
    assert caught.value.exit_code == 4
    assert [p for p in watch.pids.values() if is_there(p)] == []
    index = {bank: int((ready / bank / "columns" / "next").read_text()) for bank in "ABC"}
    assert index["B"] == 1
    Watch(request(data, tmp_path / "out", prepared=ready)).run()
    assert read_trace(tmp_path / "out") == EXPECTED
    for bank in "ABC":
        assert (ready / bank / "columns" / "next").read_text() == "2"
        assert not (ready / bank / "columns" / "run-0").exists()
        assert not (ready / bank / "columns" / "run-1").exists()


def test_columns_are_bound_to_their_purpose(data: Path, tmp_path: Path, scratch: Path) -> None:
    """Other parameters than prepared, or no columns there: refused, and nothing is used up."""
    ready = tmp_path / "ready"
    prepare(data, ready, runs=1)
    other = request_of(
        data,
        tmp_path / "out",
        analysis="trace",
        parameters=PARAMETERS | {"hops": "2", "bank": "A", "account": ["a3"]},
        prepared=ready,
    )
    failure = Watch(other).fail()
    assert "prepared for hops 3, the run has 2" in str(failure)
    assert (ready / "A" / "columns" / "next").read_text() == "0"
    command = [UNDERCURRENT, "lab", "run", str(data), "--analysis", "trace", "-p", "bank=A"]
    for key, value in PARAMETERS.items():
        command += ["-p", f"{key}={value}"]
    command += ["-p", "account=a3", "--prepared", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there are no prepared columns of A" in done.stderr


def test_several_traces_from_a_file(data: Path, tmp_path: Path, scratch: Path) -> None:
    """Traces of two banks in one run; each bank gets its own, numbered."""
    params = tmp_path / "traces.toml"
    params.write_text(
        'hops = 3\nslice = "1d"\nsince = 2026-01-05\nuntil = 2026-01-08\n'
        '[[trace]]\nbank = "A"\naccounts = ["asked-IBAN-0001"]\n'
        '[[trace]]\nbank = "A"\naccounts = ["asked-IBAN-0002"]\n'
        '[[trace]]\nbank = "C"\naccounts = ["c1"]\n'
    )
    command = [UNDERCURRENT, "lab", "run", str(data), "--analysis", "trace"]
    command += ["--params", str(params), "--out", str(tmp_path / "out")]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    with (tmp_path / "out" / "A" / "trace.csv").open() as file:
        rows = [
            (r["account"], r["trace"], f"{float(r['amount']):.2f}") for r in csv.DictReader(file)
        ]
    assert sorted(rows) == [("a3", "1", "90.00"), ("a3", "2", "5.55")]
    assert not (tmp_path / "out" / "B" / "trace.csv").exists()
    with (tmp_path / "out" / "C" / "trace.csv").open() as file:
        assert list(csv.DictReader(file)) == []


def test_round_trips_end_to_end(data: Path, tmp_path: Path, scratch: Path) -> None:
    """Every account has the share of its money that came back, over all banks."""
    command = [UNDERCURRENT, "lab", "run", str(data), "--analysis", "round-trip"]
    command += ["-p", "hops=4", "--out", str(tmp_path / "out")]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    shares = {}
    for bank in "ABC":
        with (tmp_path / "out" / bank / "scores.csv").open() as file:
            shares |= {row["account"]: float(row["score"]) for row in csv.DictReader(file)}
    # Of 100.00, b1 keeps 10; c1 pays 91.00 of which it got 90.00, 1.00 of it to the source.
    assert set(shares) == {*ASKED, "a3", "b1", "c1"}
    assert abs(shares[ASKED[0]] - 0.9 * 1.00 / 91.00) < 1e-6
    assert shares["a3"] == 0.0


def test_only_traces_can_be_prepared(data: Path, tmp_path: Path) -> None:
    """Asked for another analysis, the command says so before any worker starts."""
    command = [UNDERCURRENT, "lab", "prepare", str(data), "--analysis", "pagerank"]
    command += ["--out", str(tmp_path / "ready")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "columns of pagerank cannot be prepared" in done.stderr
    assert not (tmp_path / "ready").exists()
