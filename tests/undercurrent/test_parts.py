"""The small parts of the command line."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

import pytest
import typer

from bank_node.errors import ParameterError
from undercurrent import cli
from undercurrent.options import parse_pairs
from undercurrent.progress import run_interruptible, show_progress

COMMANDS = [
    "demo", "bench", "lab run", "simdata generate", "simdata import", "simdata describe",
]  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], {}),
        (["alpha=0.9"], {"alpha": "0.9"}),
        (["alpha=0.9", "weight=count"], {"alpha": "0.9", "weight": "count"}),
        ([" alpha = 0.9 "], {"alpha": "0.9"}),
        (["path=a=b"], {"path": "a=b"}),
        (["alpha="], {"alpha": ""}),
    ],
)
def test_pairs_are_parsed(pairs: list[str], expected: dict[str, str]) -> None:
    """The first equals sign parts key and value; blanks around both are dropped."""
    assert parse_pairs(pairs) == expected


@pytest.mark.parametrize("pair", ["alpha", "", "=", "=0.9", " =0.9"])
def test_a_pair_without_key_or_equals_sign_is_refused(pair: str) -> None:
    """The error shows the pair and how to write one."""
    with pytest.raises(ParameterError, match=r"not KEY=VALUE\..*-p alpha=0\.85") as caught:
        parse_pairs([pair])
    assert repr(pair) in caught.value.message


def test_a_key_twice_is_refused() -> None:
    """Nobody has to guess which of the two counts."""
    with pytest.raises(ParameterError, match="-p alpha is given twice"):
        parse_pairs(["alpha=0.9", " alpha=0.8"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--help ends well and shows the command as one would type it."""
    monkeypatch.setenv("COLUMNS", "120")
    assert cli.run([*command.split(), "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Examples:" in shown
    assert f"undercurrent {command}" in shown.split("Examples:")[1]


@pytest.mark.parametrize("arguments", [[], ["lab"], ["simdata"]])
def test_without_arguments_the_help_is_shown(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare command shows what there is, and is wrong usage."""
    assert cli.run(arguments) == 2
    assert "--help" in "".join(capsys.readouterr())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints name and version on one line."""
    assert cli.run(["--version"]) == 0
    assert re.fullmatch(r"undercurrent \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_no_progress_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Events move no bar where nobody looks."""
    with show_progress("a run") as on_event:
        on_event("A", {"event": "progress", "phase": "iterate", "done": 1, "total": 2})
        on_event("A", {"event": "finished", "report": {}})
    assert capsys.readouterr() == ("", "")


def test_what_was_run_is_returned() -> None:
    """A run to the end returns its result, and an error is passed on as it is."""

    async def well() -> int:
        return 4

    async def badly() -> int:
        raise ParameterError("no", "do it otherwise")

    assert run_interruptible(well()) == 4
    with pytest.raises(ParameterError):
        run_interruptible(badly())


def test_the_help_says_of_each_command_what_it_says_itself() -> None:
    """Purposes stand in a table, so that the help need not load the commands."""
    group = typer.main.get_command(cli.command_line(*cli.COMMANDS))
    for name, place in cli.COMMANDS.items():
        help_text = group.commands[name].help  # type: ignore[attr-defined]
        assert " ".join(help_text.split("\n\n")[0].split()) == place.purpose


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        ("--help", {"numpy", "sqlalchemy", "pyarrow"}),
        ("--version", {"numpy", "sqlalchemy", "pyarrow"}),
        ("runs list --help", {"scipy", "numba", "fastapi", "simdata", "uvicorn", "psycopg"}),
        ("alerts list --help", {"scipy", "numba", "fastapi", "simdata", "uvicorn", "psycopg"}),
        ("lab run --help", {"sqlalchemy", "fastapi", "uvicorn"}),
    ],
)
def test_a_command_loads_no_more_than_it_needs(arguments: str, unwanted: set[str]) -> None:
    """Whoever asks a node, or for help, does not wait for what computes."""
    code = (
        "import sys; from undercurrent.cli import run; run(sys.argv[1:]);"
        "print('\\n', sorted(sys.modules))"
    )
    program = [sys.executable, "-c", code, *arguments.split()]
    ended = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(ast.literal_eval(ended.stdout.splitlines()[-1].strip()))
    assert "typer" in loaded
    assert loaded & unwanted == set()


def test_a_mistyped_command_is_put_right(capsys: pytest.CaptureFixture[str]) -> None:
    """Commands that are not loaded are proposed, too."""
    assert cli.run(["alert", "list"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "'alerts'? See undercurrent --help" in said


def test_the_shell_completes_every_command() -> None:
    """Completion knows what each command takes."""
    environment = os.environ | {
        "_UNDERCURRENT_COMPLETE": "complete_bash",
        "COMP_WORDS": "undercurrent audit ver",
        "COMP_CWORD": "2",
    }
    program = [sys.executable, "-m", "undercurrent"]
    ended = subprocess.run(
        program, capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert ended.stdout.split() == ["verify"]
