"""``doctor`` prints what it finds, and its exit code says whether there is a fault."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bank_node.operation.findings import Finding, fault, good, warning
from bank_node.operation.node_folder import create_node
from bank_node.operation.template import Answers
from undercurrent import doctor as module
from undercurrent.doctor import doctor

app = typer.Typer(pretty_exceptions_enable=False)
app.command("doctor")(doctor)

WELL = good("disk", "there is room")
WORRY = warning("clock", "it may be wrong [bold]", "Set up NTP")
ILL = fault("broker", "nothing listens there", "Start it")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the doctor will find; the test fills it."""
    findings: list[Finding] = []

    def examine(_folder: Path, _now: int) -> Iterator[Finding]:
        yield from findings

    monkeypatch.setattr(module, "examine", examine)
    return findings


def test_without_a_fault_the_exit_code_is_0(found: list[Finding]) -> None:
    """Warnings are shown with what to do, and are no failure."""
    found += [WELL, WORRY]
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert "Set up NTP" in result.output
    assert "[bold]" in result.output
    assert "faults: 0, warnings: 1" in result.output


def test_a_fault_is_exit_code_1(found: list[Finding]) -> None:
    """One fault is enough."""
    found += [WELL, ILL]
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert "nothing listens there" in result.output


def test_programs_can_read_it(found: list[Finding]) -> None:
    """--json prints a list of findings and nothing else on the standard output."""
    found += [WELL, WORRY, ILL]
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [one["state"] for one in told] == ["ok", "warning", "fault"]
    assert told[2] == {
        "name": "broker",
        "state": "fault",
        "text": "nothing listens there",
        "remedy": "Start it",
    }


def test_a_real_node_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder comes from --node or UNDERCURRENT_NODE; a new node has no agreement yet."""
    create_node(tmp_path / "n", Answers(id="x", consortium="north"))
    by_option = CliRunner().invoke(app, ["--node", str(tmp_path / "n"), "--json"])
    monkeypatch.setenv("UNDERCURRENT_NODE", str(tmp_path / "n"))
    by_environment = CliRunner().invoke(app, ["--json"])
    for result in (by_option, by_environment):
        states = {one["name"]: one["state"] for one in json.loads(result.stdout)}
        assert states["agreement"] == "fault"
        assert states["settings"] == states["folder"] == "ok"
