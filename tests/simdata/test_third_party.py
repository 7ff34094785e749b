"""Data of others, from their files to a comparison and its report, by commands alone.

The published AMLSim samples are read from the folder that UNDERCURRENT_TEST_DATA names.  Files in
the format of AMLworld are exports of the generator: the published ones may not be passed on.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import simdata.cli
from tests.simdata.test_amlsim import pack
from undercurrent.comparison import compare, replay

app = typer.Typer()
app.add_typer(simdata.cli.app, name="simdata")
app.command("compare")(compare)
app.command("replay")(replay)


def run(*arguments: object) -> str:
    """Run a command that must end well, and return what it printed."""
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if ended.exception is not None:
        raise ended.exception
    return ended.stdout


def compared(folder: Path, out: Path, *options: object) -> dict[str, Any]:
    """Compare, and return the figures."""
    return json.loads(run("compare", folder, "--out", out, "--json", *options))


def assert_complete(out: Path, figures: dict[str, Any], accounts: int) -> None:
    """Secure and pooled agree within every stated bound, and the report tells the figures."""
    (judged,) = figures["sets"]
    assert judged["about"]["accounts"] == accounts
    assert judged["different_alerts"] == 0
    assert [one["holds"] for one in judged["agreement"]] == [True] * len(judged["agreement"])
    page = (out / "report.html").read_text()
    recall = figures["means"]["secure"]["recall"]["mean"]
    assert f"{100 * recall:.1f} %" in page
    assert page.count("<svg") >= 2


def sample(rng: np.random.Generator, accounts: int = 240, rings: int = 6) -> dict[str, str]:
    """Files in the form of an AMLSim sample: payments at random, and rings of five."""
    ends = rng.integers(0, accounts, (1500, 2))
    ring = rng.permutation(accounts)[: 5 * rings].reshape(rings, 5)
    ring_ends = np.stack([ring.ravel(), np.roll(ring, -1, axis=1).ravel()], axis=1)
    both = np.concatenate([ends[ends[:, 0] != ends[:, 1]], ring_ends])
    amounts, days = rng.integers(100, 999, len(both)), rng.integers(0, 200, len(both))
    payments = zip(both, amounts, days, strict=True)
    illicit = np.isin(np.arange(accounts), ring).astype(int)
    return {
        "nodes.csv": "nodeid,isFraud,init_balance,fraudStep\n"
        + "".join(f"{i},{illicit[i]},500.00,-1\n" for i in range(accounts)),
        "transactions.csv": "sourceNodeId,targetNodeId,value,time\n"
        + "".join(f"{s},{t},{a}.25,{d}\n" for (s, t), a, d in payments),
        "metadata.txt": f"patterns: {rings} cycles\n",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_amlsim_sample_is_compared_without_hand_work(tmp_path: Path) -> None:
    """A small archive of their form: imported, compared by the secure workers, reported."""
    archive = pack(tmp_path, sample(np.random.default_rng(3)), "tgz")
    run("simdata", "import", "amlsim", archive, tmp_path / "data")
    out = tmp_path / "out"
    assert_complete(out, compared(tmp_path / "data", out), 240)


def to_amlworld_and_back(place: Path, options: Sequence[object]) -> Path:
    """Simulate, write as files in AMLworld's format, and import those."""
    run("simdata", "generate", place / "made", "--seed", "301", *options)
    run("simdata", "export", "amlworld", place / "made", place / "files")
    (transactions,) = (place / "files").glob("*_Trans.csv")
    assert transactions.read_text().count("Account") >= 2
    run("simdata", "import", "amlworld", place / "files", place / "data")
    return place / "data"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_file_of_amlworlds_format_is_compared_without_hand_work(tmp_path: Path) -> None:
    """Transactions, accounts and patterns files: imported, compared, replayed, reported."""
    data = to_amlworld_and_back(tmp_path, ("--accounts", "300", "--schemes", "8"))
    out = tmp_path / "out"
    figures = compared(data, out)
    assert_complete(out, figures, figures["sets"][0]["about"]["accounts"])
    assert "unnamed" not in figures["typologies"]
    run("replay", data, "--every", "10d", "--out", tmp_path / "replayed")
    assert (tmp_path / "replayed" / "report.html").is_file()


@pytest.mark.slow
def test_the_amlworld_format_at_the_size_of_a_preset(tmp_path: Path) -> None:
    """The preset small through AMLworld's format: nothing is lost on the way to the report."""
    data = to_amlworld_and_back(tmp_path, ())
    out = tmp_path / "out"
    assert_complete(out, compared(data, out), 3000)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "other"), [("20K_cycle200", "20K_fanin200"), ("20K_fanin200", "20K_cycle200")]
)
def test_the_published_amlsim_samples(tmp_path: Path, name: str, other: str) -> None:
    """Each sample, judged by weights fitted on the other: all rows used, bounds held, reported."""
    place = os.environ.get("UNDERCURRENT_TEST_DATA")
    if not place or not (Path(place) / "amlsim" / f"{name}.tgz").is_file():
        pytest.skip("UNDERCURRENT_TEST_DATA names no folder with the AMLSim samples")
    for one in (name, other):
        source = Path(place) / "amlsim" / f"{one}.tgz"
        found = json.loads(run("simdata", "import", "amlsim", source, tmp_path / one, "--json"))
        assert found["rejected"] == {}
    out = tmp_path / "out"
    figures = compared(tmp_path / name, out, "--fit", tmp_path / other)
    assert_complete(out, figures, 20_000)
    # Far above chance, which is the share of illicit accounts, below 0.05.
    assert figures["means"]["secure"]["pr_auc"]["mean"] > 0.2
