"""``lab compare`` and ``lab replay`` as a user types them."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bank_node.errors import DataError
from undercurrent.comparison import compare, replay

app = typer.Typer()
app.command("compare")(compare)
app.command("replay")(replay)


def run(*arguments: str) -> str:
    """Run a command; its error, if it ends with one, is raised."""
    ended = CliRunner().invoke(app, list(arguments))
    if isinstance(ended.exception, DataError):
        raise ended.exception
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_compare_writes_its_report_in_one_step(folder: Path, tmp_path: Path) -> None:
    """A whole comparison by the secure workers: metrics as printed, report and tables are there."""
    out = tmp_path / "out"
    printed = json.loads(run("compare", str(folder), "--out", str(out), "--json"))
    assert printed == json.loads((out / "metrics.json").read_text())
    assert printed["sets"][0]["different_alerts"] == 0
    assert {p.name for p in out.iterdir()} == {
        "report.html", "metrics.json", "model.json", "overall.parquet", "typologies.parquet",
        "banks.parquet", "cost.parquet", "accounts.parquet",
    }  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_replay_tells_what_was_flagged(folder: Path, tmp_path: Path) -> None:
    """The table names both worlds and where the report is; a second run needs --force."""
    out = tmp_path / "out"
    told = run("replay", str(folder), "--every", "10d", "--out", str(out))
    assert "alone" in told
    assert "joint" in told
    assert (out / "report.html").is_file()
    with pytest.raises(DataError, match="the folder is not empty"):
        run("replay", str(folder), "--every", "10d", "--out", str(out))
    run("replay", str(folder), "--every", "15d", "--out", str(out), "--force")


@pytest.mark.parametrize("command", ["compare", "replay"])
def test_help_fits_a_terminal_of_80_columns(command: str) -> None:
    """Lines of prose are not broken again, and examples stay whole."""
    told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).output
    prose = told[: told.index("Arguments")].splitlines()
    written = (compare if command == "compare" else replay).__doc__ or ""
    examples = [line.strip() for line in written.splitlines() if "undercurrent lab" in line]
    assert examples
    assert all(any(line.strip() == one for line in prose) for one in examples)
    assert max(len(line.strip()) for line in written.splitlines()[1:]) <= 78


@pytest.mark.parametrize("every", ["0d", "1", "d", "1w", "-1d"])
def test_a_period_that_is_none_is_refused(folder: Path, tmp_path: Path, every: str) -> None:
    """The error says how to write one, and nothing is written."""
    with pytest.raises(DataError, match="Write for example 1d or 12h"):
        run("replay", str(folder), f"--every={every}", "--out", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_judged_on_what_was_fitted_on(folder: Path, tmp_path: Path) -> None:
    """The same data set for --fit and for the comparison is refused before anything runs."""
    with pytest.raises(DataError, match="judged on"):
        run("compare", str(folder), "--fit", str(folder), "--out", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_counts_once(folder: Path, tmp_path: Path) -> None:
    """The same data set twice, under whatever name, would narrow the intervals for nothing."""
    (tmp_path / "other").symlink_to(folder)
    for other in (folder, folder / ".." / folder.name, tmp_path / "other"):
        with pytest.raises(DataError, match=r"given twice\. Give each data set once"):
            run("compare", str(folder), str(other), "--out", str(tmp_path / "out"))
    assert [p.name for p in tmp_path.iterdir()] == ["other"]


def test_only_one_source_of_weights(folder: Path, tmp_path: Path) -> None:
    """--fit and --model exclude each other."""
    with pytest.raises(DataError, match="Give one of them"):
        run("compare", str(folder), "--fit", str(tmp_path), "--model", "m.json",
            "--out", str(tmp_path / "out"))  # fmt: skip
