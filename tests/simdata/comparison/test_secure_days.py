"""The secure runs of a replay: what the workers get on a day, and that they find the same."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from bank_node.ingest import read_bank
from simdata.comparison import SecureDays, SecureRecord, read_labelled, replay_days, shipped_model
from simdata.comparison.marking import Marks
from simdata.comparison.payments import until
from simdata.comparison.report import write_replay
from simdata.comparison.secure_days import write_until
from simdata.dataset import bank_folder
from tests.simdata.comparison.conftest import BUDGET, deaf
from tests.simdata.comparison.test_commands import run
from tests.simdata.comparison.test_report import DAY


def test_a_day_has_the_payments_until_then_and_no_other(folder: Path, tmp_path: Path) -> None:
    """Read again, a bank's file of a day is the first part of what the bank has, to the cent."""
    data = read_labelled(folder)
    last = int(data.payments.time[len(data.payments.time) // 3])
    for bank in data.dataset.banks:
        whole = read_bank(bank_folder(folder, bank), bank, base_currency="EUR")
        place = tmp_path / bank
        write_until(place, whole, last)
        (place / "accounts.csv").write_text("account\n")
        early = read_bank(place, bank, base_currency="EUR").transactions
        expected = whole.transactions.filter(pc.less_equal(whole.transactions["timestamp"], last))
        assert 0 < early.num_rows < whole.transactions.num_rows
        columns = [name for name in early.column_names if name != "channel"]
        assert early.select(columns).equals(expected.select(columns))


def test_without_any_suspicion_nothing_runs(folder: Path) -> None:
    """Before the first payment nobody has anything to put in: no run, and nothing is found."""
    data = read_labelled(folder)
    days = SecureDays(folder, data, deaf, run=lambda _work: pytest.fail("a run was started"))
    nothing = Marks(np.zeros(len(data)), np.zeros(len(data), np.bool_))
    found = days(data, until(data.payments, 0), nothing)
    assert not any(result.any() for result in found.values())
    assert days.record == SecureRecord()


def test_the_report_says_how_it_was_computed(folder: Path, tmp_path: Path) -> None:
    """Secure runs are told with their cost and their agreement; without them it says in plain."""
    data = read_labelled(folder)
    replay = replay_days(data, shipped_model(), 15 * DAY, BUDGET)
    for name, record in (
        ("plain", None),
        ("one", SecureRecord(8, 20.4, 1_500_000_000, 0.25, 1)),
        ("none", SecureRecord(1234, 20.4, 1_500_000_000, 0.25, 0)),
    ):
        (tmp_path / name).mkdir()
        write_replay(tmp_path / name, data, replay, "15d", BUDGET, record)
    told = {
        path.name: re.sub(r"\s+", " ", (path / "report.html").read_text())
        for path in tmp_path.iterdir()
    }
    assert "computed in plain over all banks" in told["plain"]
    assert (
        "8 secure runs of the banks' workers, which took 20 seconds and sent 1.5 GB" in told["one"]
    )
    assert "1 account would have been flagged on another day" in told["one"]
    assert "25 % of their stated bounds" in told["one"]
    assert "1,234 secure runs" in told["none"]
    assert "no account would have been flagged on another day" in told["none"]


@pytest.mark.slow
def test_a_secure_replay_flags_whom_the_plain_one_flags(folder: Path, tmp_path: Path) -> None:
    """Two evaluations by the real workers: the same accounts on the same days, within bounds."""
    secure, plain = (
        json.loads(run("replay", str(folder), "--every", "15d", "--out", str(tmp_path / name),
                       "--json", *more))
        for name, more in (("secure", ["--secure"]), ("plain", []))
    )  # fmt: skip
    assert secure["summary"] == plain["summary"]
    assert plain["secure"] is None
    assert secure["secure"]["runs"] == 8
    assert secure["secure"]["different"] == 0
    assert 0 < secure["secure"]["bound_used"] <= 1
    assert secure["secure"]["bytes_sent"] > 1_000_000
