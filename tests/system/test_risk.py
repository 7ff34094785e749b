"""Risk propagation by real workers: TNO's data against the formula, policies, the ledger."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from bank_node.errors import ParameterError
from graph_mpc.errors import ParameterError as EngineParameterError
from graph_mpc.padding import padded_size
from simdata.tno import import_tno

from .support import UNDERCURRENT, Key, Watch, read_scores, request_of, write_bank

A, B = 0.3, 0.8


@pytest.fixture(scope="module")
def tno() -> Path:
    """The folder of TNO's test data."""
    place = os.environ.get("UNDERCURRENT_TEST_DATA")
    if place is None or not (Path(place) / "tno").is_dir():
        pytest.skip("UNDERCURRENT_TEST_DATA does not name the folder of TNO's data")
    return Path(place) / "tno"


def joined_truth(folder: Path, iterations: int) -> dict[str, float]:
    """The formula over the joined files, written out payment by payment."""
    with (folder / "nodes_all.csv").open() as file:
        s = {row["id"]: float(row["risk_score"]) for row in csv.DictReader(file)}
    for path in sorted(folder.glob("transactions_all_period*.csv")):
        paid: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        with path.open() as file:
            for row in csv.DictReader(file):
                paid[row["id_destination"]][row["id_source"]] += float(row["amount"])
        for k in range(1, iterations + 1):
            delta = A / k**B
            mean = {
                i: sum(a * s[j] for j, a in paid[i].items()) / sum(paid[i].values()) for i in paid
            }
            s = {i: (1 - delta) * score + delta * mean.get(i, 0.0) for i, score in s.items()}
    return s


@pytest.mark.parametrize(
    ("name", "iterations"),
    [("small", 1), ("small", 3), ("small_multi_period", 2), ("small_multi_period", 3)],
)
def test_every_account_has_the_score_of_the_joined_truth(
    tno: Path, tmp_path: Path, scratch: Path, name: str, iterations: int
) -> None:
    """Delta_k = 0.3 / k^0.8, one slice per period: within 1e-5 for every account."""
    import_tno(tno / name, tmp_path / "data")
    parameters = {"iterations": str(iterations), "a": str(A), "b": str(B), "slice": "1d"}
    request = request_of(
        tmp_path / "data", tmp_path / "out", analysis="risk-propagation", parameters=parameters
    )
    record = Watch(request).run()
    scores = {account: score for (_bank, account), score in read_scores(tmp_path / "out").items()}
    truth = joined_truth(tno / name, iterations)
    assert set(scores) == set(truth)
    worst = max(abs(scores[account] - truth[account]) for account in truth)
    assert worst <= min(1e-5, record["accuracy"]["bound"])
    assert record["parameters"]["since"] == "2020-01-01T00:00:00Z"


def hard(data: Path) -> Path:
    """Large amounts, repeated payments, a receiver that no table has, a sender outside."""
    payments = [
        "t1,A,a1,B,b1,30000000.00",  # above 2^31 minor units
        "t2,A,a1,B,b1,30000000.00",
        "t3,C,c1,B,b1,60000000.00",
        "t4,A,a1,B,ghost,100.00",  # not in B's accounts table
        "t5,X,x1,A,a1,500.00",  # X takes no part
        "t6,C,c1,A,a1,500.00",
    ]
    write_bank(data, "A", ["a1"], [payments[i] for i in (0, 1, 3, 4, 5)], risk="0.8")
    write_bank(data, "B", ["b1"], payments[:4], risk="0.2")
    write_bank(data, "C", ["c1"], [payments[2], payments[5]], risk="0.4")
    return data


def test_what_other_packages_get_wrong(tmp_path: Path, scratch: Path) -> None:
    """Repeated payments, amounts above 2^31, a missing receiver, 100 iterations: right scores."""
    s: dict[Key, float] = {
        ("A", "a1"): 0.8, ("B", "b1"): 0.2, ("B", "ghost"): 0.0, ("C", "c1"): 0.4,
    }  # fmt: skip
    for _ in range(100):
        mean = {
            ("A", "a1"): s["C", "c1"],
            ("B", "b1"): (s["A", "a1"] + s["C", "c1"]) / 2,
            ("B", "ghost"): s["A", "a1"],
            ("C", "c1"): 0.0,
        }
        s = {key: 0.99 * score + 0.01 * mean[key] for key, score in s.items()}
    request = request_of(
        hard(tmp_path / "data"),
        tmp_path / "out",
        analysis="risk-propagation",
        parameters={"iterations": "100", "delta": "0.01"},
    )
    record = Watch(request).run()
    scores = read_scores(tmp_path / "out")
    assert set(scores) == set(s)
    assert max(abs(scores[key] - s[key]) for key in s) <= 1e-5
    assert record["ingest"]["B"]["accounts_only_in_payments"] == 1


@pytest.mark.parametrize(
    ("policy", "column", "bits"),
    [("bands:0.2,0.5,0.8", "band", 2), ("threshold:0.3:0.1", "score", 4)],
)
def test_policies_end_to_end(
    tmp_path: Path, scratch: Path, policy: str, column: str, bits: int
) -> None:
    """Files hold what the policy allows; the ledger's bound stands before and above the release."""
    request = request_of(
        hard(tmp_path / "data"),
        tmp_path / "out",
        analysis="risk-propagation",
        parameters={"iterations": "1", "delta": "0.5"},
        policy=policy,
    )
    watch = Watch(request)
    record = watch.run()
    exact = {("A", "a1"): 0.6, ("B", "b1"): 0.4, ("B", "ghost"): 0.4, ("C", "c1"): 0.2}
    found = {}
    for bank in "ABC":
        with (tmp_path / "out" / bank / "scores.csv").open() as file:
            reader = csv.DictReader(file)
            assert reader.fieldnames == ["account", column]
            found |= {(bank, row["account"]): float(row[column]) for row in reader}
    if column == "band":
        # 0.6 and 0.4 are clear of the borders; 0.2 is one.
        assert found.pop(("C", "c1")) in (0, 1)
        assert found == {key: 1 + (s > 0.5) for key, s in exact.items() if s > 0.2}
    else:
        assert {key: round(s, 6) for key, s in found.items()} == {
            key: s for key, s in exact.items() if s >= 0.3
        }
    for bank, accounts in (("A", 1), ("B", 2), ("C", 1)):
        bound = padded_size(accounts) * bits
        assert record["disclosed_bits"][bank] == bound
        assert record["released"][bank]["values"] == accounts
        assert record["released"][bank]["bits"] <= bound
        charged = [
            i for i, (party, event) in enumerate(watch.events)
            if party == bank and event["event"] == "ledger"
        ]  # fmt: skip
        first = [
            i for i, (party, event) in enumerate(watch.events)
            if party == bank and event.get("phase") == "iterate"
        ]  # fmt: skip
        assert charged[0] < first[0]


def test_slices_without_a_window_are_refused(tmp_path: Path) -> None:
    """Without since and until the number of slices is open: exit code 2 with the remedy."""
    data = hard(tmp_path / "data")
    command = [UNDERCURRENT, "lab", "run", str(data), "--analysis", "risk-propagation"]
    command += ["-p", "slice=1d", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "since and until" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unknown_policy_is_refused(tmp_path: Path) -> None:
    """A policy that does not exist is refused before any worker starts."""
    request = request_of(hard(tmp_path / "data"), tmp_path / "out", policy="everything")
    with pytest.raises((ParameterError, EngineParameterError), match="everything"):
        Watch(request).run()


def test_json_record_is_complete(tmp_path: Path, scratch: Path) -> None:
    """``--json`` prints the record with what was charged and what was released."""
    data = hard(tmp_path / "data")
    command = [UNDERCURRENT, "lab", "run", str(data), "--analysis", "risk-propagation", "--json"]
    command += ["--policy", "bands:0.5", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    record = json.loads(done.stdout)
    assert record["policy"] == "bands:0.5"
    assert record["disclosed_bits"] == dict.fromkeys("ABC", 8)
    assert record["released"]["B"] == {"values": 2, "bits": 2}
