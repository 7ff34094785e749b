"""``node init`` sets a node up, asked or told; ``backup`` and ``restore`` save it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest
import typer
from typer.testing import CliRunner

from bank_node.errors import UndercurrentError
from bank_node.node.config import read_config
from bank_node.operation.errors import AnswerError
from bank_node.operation.source import data_of
from undercurrent.setup import backup, init, restore

app = typer.Typer(pretty_exceptions_enable=False)
app.command("init")(init)
app.command("backup")(backup)
app.command("restore")(restore)

ROOT = Path(__file__).parents[2]
HERE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it.
from tests.undercurrent.test_setup import app
from bank_node.errors import UndercurrentError
try:
    app(sys.argv[1:])
except UndercurrentError as error:
    sys.exit(f"undercurrent: {error}")
"""


def run(*words: str | Path) -> str:
    """Run a command and return what it printed."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def on_a_terminal(
    folder: Path,
    words: Sequence[str],
    answers: Sequence[str],
    interrupt_at: str = "",
    out: IO[str] | None = None,
) -> tuple[int, str]:
    """Run a command on a terminal of its own, type answers, and return exit code and screen.

    With ``interrupt_at`` it is interrupted as soon as that stands on the screen.
    """
    master, slave = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-c", HERE, *words],
        stdin=slave,
        stdout=out or slave,
        stderr=slave,
        cwd=folder,
        env=environment,
    )
    try:
        os.close(slave)
        os.write(master, "".join(f"{answer}\n" for answer in answers).encode())
        screen, end = b"", time.monotonic() + 60
        while select.select([master], [], [], max(end - time.monotonic(), 0))[0]:
            try:
                screen += os.read(master, 65536)
            except OSError:  # Nobody holds the other end any more.
                break
            if interrupt_at and interrupt_at.encode() in screen:
                process.send_signal(signal.SIGINT)
                interrupt_at = ""
        return process.wait(10), screen.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_a_node_is_set_up_from_options(tmp_path: Path) -> None:
    """With --yes every answer is an option, and nothing is asked."""
    (tmp_path / "tx").mkdir()
    told = json.loads(
        run(
            *("init", tmp_path / "n", "--yes", "--json", "--id", "bank-a", "--consortium", "north"),
            *("--bic", "nortdeff", "--host", "node.example", "--port", "9500"),
            *("--broker", "mqtts://mq.invalid:8883", "--data", "parquet"),
            *("--data-folder", tmp_path / "tx", "--currency", "sek", "--retention", "90"),
            *("--store", "sqlite:///other.db", "--http-port", "0", "--transactions", "t-*.parquet"),
        )
    )
    config = read_config(tmp_path / "n")
    node = config.node
    assert (node.id, node.bic, node.host, node.port) == ("bank-a", "NORTDEFF", "node.example", 9500)
    assert (config.store.url, config.http.port) == ("sqlite:///other.db", 0)
    data = data_of(config)
    assert data is not None
    assert (data.source, data.folder) == ("parquet", tmp_path / "tx")
    assert (data.base_currency, data.retention_days) == ("SEK", 90)
    assert len(told["public_key"]) == 64
    assert "consortium join" in told["next"][0]
    states = {finding["name"]: finding["state"] for finding in told["findings"]}
    assert states == {
        "data source (transactions)": "warning",
        "data source (accounts)": "warning",
        "broker": "fault",
    }


def test_a_compute_party_needs_no_source(tmp_path: Path) -> None:
    """A neutral party is set up without data, and is not asked for them."""
    run("init", tmp_path / "n", "-y", "--id", "x", "--consortium", "north", "--role", "compute")
    config = read_config(tmp_path / "n")
    assert config.node.role == "compute"
    assert config.data is None


def test_the_source_can_be_a_database(tmp_path: Path) -> None:
    """The file with the connection string is named by its whole path; its text is not copied."""
    (tmp_path / "dsn").write_text("postgresql://user:secret@127.0.0.1:1/none")
    (tmp_path / "dsn").chmod(0o600)
    output = run(
        *("init", tmp_path / "n", "-y", "--id", "x", "--consortium", "north"),
        *("--data", "postgresql", "--dsn-file", tmp_path / "dsn", "--watermark", "booked"),
    )
    data = data_of(read_config(tmp_path / "n"))
    assert data is not None
    assert (data.dsn_file, data.watermark) == (tmp_path / "dsn", "booked")
    assert "secret" not in output + (tmp_path / "n" / "node.toml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--yes"], "--id and --consortium missing"),
        (["--yes", "--id", "x"], "--consortium missing"),
        (["--yes", "--id", "x", "--consortium", "n", "--bic", "1"], "no BIC"),
        (["--yes", "--id", "x", "--consortium", "n", "--data-folder", "d"], "has no kind"),
        (["--id", "x"], "no terminal"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_a_line(
    tmp_path: Path, words: list[str], said: str
) -> None:
    """A missing or wrong answer is an error with a remedy, and nothing is made."""
    with pytest.raises(AnswerError, match=said) as caught:
        run("init", tmp_path / "n", *words)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    """A node's keys are never replaced."""
    with pytest.raises(UndercurrentError, match="is there already"):
        run("init", tmp_path)


def test_questions_are_asked_on_a_terminal(tmp_path: Path) -> None:
    """Answers are typed, an empty one takes what is proposed, a wrong one is asked for again."""
    answers = [
        *("bank a", "bank-a"),  # the first is no id
        *("", "", "north", "", "9500", "http://x", "", "", "csv", "tx", "EUR", "30"),
    ]
    code, screen = on_a_terminal(tmp_path, ["init", "node-1"], answers)
    assert code == 0, screen
    config = read_config(tmp_path / "node-1")
    assert (config.node.id, config.node.consortium, config.node.port) == ("bank-a", "north", 9500)
    data = data_of(config)
    assert data is not None
    assert (data.folder, data.retention_days) == (tmp_path / "tx", 30)
    assert "node.id" in screen
    assert "mqtts://host:port" in screen
    assert "undercurrent consortium join --node node-1" in screen


def test_a_question_is_no_part_of_the_json(tmp_path: Path) -> None:
    """Questions are asked on standard error; what was made is JSON and nothing else."""
    answers = ["a", "bank", *[""] * 6, "postgresql", "dsn", "", "", ""]
    (tmp_path / "dsn").touch(0o600)
    told = tmp_path / "told.json"
    with told.open("w") as file:
        code, screen = on_a_terminal(tmp_path, ["init", "node-1", "--json"], answers, out=file)
    assert (code, "Where transactions come from" in screen) == (0, True), screen
    assert json.loads(told.read_text())["folder"] == "node-1"


def test_an_interrupted_interview_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C at a question ends the set-up, and no folder is there."""
    code, _screen = on_a_terminal(tmp_path, ["init", "node-1"], ["bank-a"], interrupt_at="Role")
    assert code != 0
    assert list(tmp_path.iterdir()) == []


def test_a_node_comes_back_from_its_backup(tmp_path: Path) -> None:
    """What backup wrote, restore makes a node of, and both say what is to be done."""
    run("init", tmp_path / "n", "-y", "--id", "x", "--consortium", "north")
    saved = run("backup", tmp_path / "b.tar", "--node", tmp_path / "n", "--with-keys")
    assert "not in it: columns/" in saved
    told = json.loads(run("restore", tmp_path / "b.tar", tmp_path / "m", "--json"))
    assert told["folder"] == str(tmp_path / "m")
    assert read_config(tmp_path / "m").node.id == "x"
    assert (tmp_path / "m" / "keys" / "tls-1.pem").exists()


@pytest.mark.parametrize("command", ["init", "backup", "restore"])
def test_each_command_has_help_with_examples(command: str) -> None:
    """--help shows how a command is used."""
    assert "Examples:" in run(command, "--help")
