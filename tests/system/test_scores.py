"""A joint run of real workers gives every bank the scores that the pooled data would give."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import pytest

from simdata.amlsim import import_amlsim
from simdata.generate import generate

from .conftest import Finished
from .support import (
    Pooled,
    Watch,
    pool,
    read_scores,
    request_of,
    worst_error,
    write_bank,
)

PROMISED = {
    "analysis", "parameters", "policy", "parties", "iterations", "seconds", "bytes_sent",
    "messages_sent", "peak_memory_bytes", "padded_sizes", "reconciliation", "disclosed_bits",
    "accuracy", "versions",
}  # fmt: skip


def test_every_account_has_the_score_of_the_pooled_graph(finished: Finished, truth: Pooled) -> None:
    """Three banks, high precision: within 1e-5 of networkx, for every account."""
    assert worst_error(read_scores(finished.out), truth.truth()) <= 1e-5


def test_score_files_are_as_promised(finished: Finished, truth: Pooled) -> None:
    """Sorted by account, isolated ones included, 17 significant digits, one sum of 1."""
    assert truth.isolated(), "the data set has no isolated account to look at"
    total, digits = 0.0, []
    for bank in ("bank1", "bank2", "bank3"):
        with (finished.out / bank / "scores.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["account", "score"]
        assert [row[0] for row in rows] == sorted(a for b, a in truth.accounts if b == bank)
        for _, text in rows:
            assert text == f"{float(text):.17g}"
            digits.append(len(re.sub(r"e.*|[.]", "", text).lstrip("0")))
            total += float(text)
    assert max(digits) == 17
    assert abs(total - 1) < 1e-6


def test_run_json_has_what_was_promised(finished: Finished, truth: Pooled) -> None:
    """All promised keys, true counts, phases per party, and a total that bounds them."""
    record = finished.record
    assert set(record) >= PROMISED
    phases = {"load", "setup", "prepare", "apply", "reveal", "total"}
    assert set(record["seconds"]) >= phases
    assert record["seconds"]["total"] >= max(record["seconds"][p] for p in phases - {"total"})
    names = [party["id"] for party in record["parties"]]
    assert names == ["bank1", "bank2", "bank3"]
    for key in ("bytes_sent", "messages_sent"):
        assert set(record[key]) == set(names)
        for spent in record[key].values():
            assert set(spent) >= {"setup", "prepare", "apply", "reveal"}
            assert min(spent.values()) > 0
    for party in record["parties"]:
        assert party["role"] == "bank"
        assert party["accounts"] == sum(b == party["id"] for b, _ in truth.accounts)
        payers = [truth.accounts[v][0] for v in truth.graph.source]
        assert party["edges"] == payers.count(party["id"])
        assert record["disclosed_bits"][party["id"]] >= 64 * party["accounts"]
        assert record["padded_sizes"]["accounts"][party["id"]] >= party["accounts"]
        assert record["peak_memory_bytes"][party["id"]] > 1 << 20
        assert record["reconciliation"][party["id"]]["unmatched"] == 0


def test_run_json_names_no_account(finished: Finished, truth: Pooled) -> None:
    """The record of a run holds no account id."""
    text = (finished.out / "run.json").read_text()
    assert [account for _, account in truth.accounts if account in text] == []


def test_json_output_is_run_json_and_nothing_else(finished: Finished) -> None:
    """``--json`` prints what stands in run.json; no progress bar where there is no terminal."""
    assert json.loads(finished.stdout) == finished.record
    assert finished.stderr == ""


def test_only_results_are_written(finished: Finished) -> None:
    """OUT holds run.json and per bank its scores and rejected rows; nothing is left over."""
    names = {str(p.relative_to(finished.out)) for p in finished.out.rglob("*") if p.is_file()}
    banks = ("bank1", "bank2", "bank3")
    files = {f"{b}/{name}.csv" for b in banks for name in ("scores", "rejected")}
    assert names == {"run.json"} | files
    assert [path.name for path in finished.out.parent.iterdir()] == ["out"]


def test_four_banks_by_count_and_risk(tmp_path: Path, scratch: Path) -> None:
    """Four banks, weight=count, personalisation=risk_score: within 1e-5, and Σ risk is secret."""
    data = tmp_path / "data"
    generate(data, banks=4, accounts=160, days=10, seed=5, payments_per_account=4)
    parameters = {"weight": "count", "personalisation": "risk_score", "alpha": "0.7"}
    Watch(request_of(data, tmp_path / "out", parameters=parameters)).run()
    expected = pool(data, "count").truth(0.7, by_risk=True)
    assert worst_error(read_scores(tmp_path / "out"), expected) <= 1e-5


@pytest.mark.slow
def test_five_parties_without_weights_at_standard_precision(
    generated: Path, tmp_path: Path, scratch: Path
) -> None:
    """Three banks and two compute parties, weight=none, precision=standard: within 1e-4."""
    parameters = {"weight": "none", "precision": "standard"}
    watch = Watch(request_of(generated, tmp_path / "out", parameters=parameters, compute=2))
    record = watch.run()
    assert [p["role"] for p in record["parties"]] == ["bank"] * 3 + ["compute"] * 2
    expected = pool(generated, "none").truth()
    assert worst_error(read_scores(tmp_path / "out"), expected) <= 1e-4


@pytest.mark.slow
def test_five_banks(tmp_path: Path, scratch: Path) -> None:
    """Five banks: within 1e-5."""
    data = tmp_path / "data"
    generate(data, banks=5, accounts=200, days=10, seed=6, payments_per_account=4)
    Watch(request_of(data, tmp_path / "out")).run()
    assert worst_error(read_scores(tmp_path / "out"), pool(data).truth()) <= 1e-5


# Two banks that spell ids differently, do not know all of each other's payments, and have rows
# that cannot be used; a compute party makes the third.
BOTH = [
    "t01,007,n1,0042,c1,100.50",
    "t02,7,n1,42,c2,20",
    "t03,42,c1,7,n2,70.05",
    "t04,0042,c2,007,n3,1",
    "t05,7,n2,42,c5,9.99",
]
SEVEN = [
    "t06,7,n2,7,n3,11",
    "t07,007,n3,007,n3,4",
    "t08,7,n1,999,x1,5",
    "t20,7,n4,42,c3,3",
    "t21,42,c4,7,n4,8",
    "t30,7,n2,42,c2,50",
    "bad1,7,n1,7,n2,abc",
    "bad2,7,n1,7,n2,",
    "bad3,7,n1,7,n2,-5",
    "bad4,1,z1,2,z2,5",
]
FORTY_TWO = ["t09,42,c3,42,c4,12", "t30,7,n2,42,c2,60", "t10,888,y1,42,c1,7"]


@pytest.fixture(scope="module")
def two_banks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watch]:
    """The two banks' run with a compute party."""
    folder = tmp_path_factory.mktemp("two")
    data = folder / "data"
    write_bank(data, "007", ["n1", "n2", "n3", "n4", "lonely"], [*BOTH, *SEVEN])
    write_bank(data, "0042", ["c1", "c2", "c3", "c4"], [*BOTH, *FORTY_TWO])
    watch = Watch(request_of(data, folder / "out", compute=1))
    (folder / "returned.json").write_text(json.dumps(watch.run()))
    return folder, watch


def test_two_banks_and_a_compute_party(two_banks: tuple[Path, Watch]) -> None:
    """Zero-padded ids meet, one-sided edges are left out, the payer's amount counts: within 1e-5.

    Isolated accounts, accounts in payments only, payments to itself and to a bank outside are as
    in the pooled graph.
    """
    folder, _ = two_banks
    pooled = pool(folder / "data", without={"t20", "t21", "bad1", "bad2", "bad3", "bad4"})
    assert ("7", "lonely") in pooled.isolated()
    assert ("42", "c5") in pooled.accounts
    assert worst_error(read_scores(folder / "out"), pooled.truth()) <= 1e-5


def test_the_compute_party_gets_nothing(two_banks: tuple[Path, Watch]) -> None:
    """It has no folder of results and is given no bit; the banks' folders keep their names."""
    folder, _ = two_banks
    record = json.loads((folder / "out" / "run.json").read_text())
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["0042", "007", "run.json"]
    roles = {party["id"]: party["role"] for party in record["parties"]}
    assert roles == {"7": "bank", "42": "bank", "compute1": "compute"}
    assert record["disclosed_bits"]["compute1"] == 0
    assert json.loads((folder / "returned.json").read_text()) == record


def test_one_sided_edges_are_counted_and_listed(two_banks: tuple[Path, Watch]) -> None:
    """Each is counted in run.json and listed, by its own account, at the bank that knows it."""
    folder, _ = two_banks
    record = json.loads((folder / "out" / "run.json").read_text())
    assert record["reconciliation"]["7"]["unmatched"] == 2
    assert record["reconciliation"]["42"]["unmatched"] == 0
    assert record["reconciliation"]["7"]["different_amounts"] == 1
    with (folder / "out" / "007" / "unmatched.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = {(r["account"], r["direction"], r["other_bank"], r["minor_units"]) for r in rows}
    assert told == {("n4", "out", "42", "300"), ("n4", "in", "42", "800")}
    assert not (folder / "out" / "0042" / "unmatched.csv").exists()


def test_rows_that_cannot_be_used_are_counted_and_listed(two_banks: tuple[Path, Watch]) -> None:
    """They do not fail the run: each is in rejected.csv with its reason, and counted by reason."""
    folder, _ = two_banks
    record = json.loads((folder / "out" / "run.json").read_text())
    assert record["ingest"]["7"]["rejected"] == {
        "unparsable amount": 1,
        "missing amount": 1,
        "negative amount": 1,
        "neither side at this bank": 1,
    }
    assert record["ingest"]["42"]["rejected"] == {}
    assert record["ingest"]["42"]["accounts_only_in_payments"] == 1
    with (folder / "out" / "007" / "rejected.csv").open(newline="") as file:
        rows = {row["tx_id"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"bad1", "bad2", "bad3", "bad4"}
    assert rows["bad1"]["amount"] == "abc"
    assert all(row["remedy"] for row in rows.values())


@pytest.fixture(scope="module")
def amlsim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The AMLSim sample with cycles, split over three banks."""
    place = os.environ.get("UNDERCURRENT_TEST_DATA")
    if not place:
        pytest.skip("UNDERCURRENT_TEST_DATA does not name the folder of the AMLSim sample")
    data = tmp_path_factory.mktemp("amlsim") / "data"
    import_amlsim(Path(place) / "amlsim" / "20K_cycle200.tgz", data, banks=3)
    return data


@pytest.fixture(scope="module")
def amlsim_truth(amlsim: Path) -> Pooled:
    """The sample, pooled."""
    return pool(amlsim)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "limit"), [("high", 1e-5), ("standard", 1e-4)])
def test_the_amlsim_sample(
    amlsim: Path, amlsim_truth: Pooled, tmp_path: Path, precision: str, limit: float
) -> None:
    """20,000 accounts: every score within 1e-5 with high and 1e-4 with standard precision."""
    out = tmp_path / "out"
    record = Watch(request_of(amlsim, out, parameters={"precision": precision})).run()
    error = worst_error(read_scores(out), amlsim_truth.truth())
    print(f"AMLSim {precision}: {error:.1e}, {record['seconds']['total']:.1f} s")
    assert error <= limit
