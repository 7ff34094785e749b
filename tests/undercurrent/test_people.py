"""``undercurrent people``: the users of a node, from its folder."""

import fcntl
import json
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from typer.testing import CliRunner

from alerts import Role
from bank_node.consortium import Book
from bank_node.errors import EncodingError, ParameterError, UndercurrentError
from bank_node.node.config import read_config
from bank_node.node.own_keys import own_keys
from bank_node.operation.node_folder import create_node
from bank_node.operation.template import Answers
from bank_node.people import (
    PersonExistsError,
    Refused,
    SignInPolicy,
    UnknownPersonError,
    WeakPasswordError,
    find_session,
    sign_in,
)
from bank_node.store import Database, audit
from tests.system.support import UNDERCURRENT
from undercurrent.people import app

PASSWORD = "correct horse battery"
OTHER = "another horse battery"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's folder, newly made."""
    folder = tmp_path / "bank-a"
    create_node(
        folder,
        Answers(
            id="bank-a",
            consortium="north",
            role="bank",
            bic="",
            host="127.0.0.1",
            port=9400,
            broker="mqtt://127.0.0.1:1883",
            store="sqlite:///node.db",
            source=None,
            currency="EUR",
            retention=400,
            http_port=0,
        ),
    )
    return folder


@pytest.fixture
def database(node: Path) -> Iterator[Database]:
    """The node's database, beside the commands."""
    opened = Database.open(read_config(node).store_url)
    yield opened
    opened.close()


def run(node: Path, *words: str, typed: str | bytes = "") -> str:
    """Run a command on the node and return what it printed."""
    arguments = [*words, "--node", str(node)]
    result = CliRunner().invoke(app, arguments, input=typed, env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def add(node: Path, name: str, role: str = "analyst", *words: str) -> str:
    """Add a user with the usual password."""
    options = ("--role", role, "--password-stdin", *words)
    return run(node, "add", name, *options, typed=f"{PASSWORD}\n")


def may_enter(database: Database, name: str, password: str) -> bool:
    """Return whether somebody can sign in."""
    with database.begin() as session:
        now = time.time_ns() // 1000
        return not isinstance(sign_in(session, name, password, SignInPolicy(), at=now), Refused)


def test_users_are_added_and_listed(node: Path, database: Database) -> None:
    """A user can sign in with the password that was sent; the list fits 80 columns."""
    add(node, "sue", "supervisor")
    told = json.loads(add(node, "ann", "analyst", "--display", "Ann Smit", "--json"))
    assert (told["name"], told["role"], told["display"]) == ("ann", "analyst", "Ann Smit")
    assert may_enter(database, "ann", PASSWORD)
    found = json.loads(run(node, "list", "--json"))
    assert [(p["name"], p["role"]) for p in found] == [("ann", "analyst"), ("sue", "supervisor")]
    shown = run(node, "list")
    assert "Ann Smit" in shown
    assert max(map(len, shown.splitlines())) <= 80
    for word in (PASSWORD, "argon2", "password"):
        assert word not in shown + json.dumps([told, found])


def test_each_change_is_on_record_and_the_log_is_signed(node: Path, database: Database) -> None:
    """Every command leaves one entry with who ran it and whom it is about, and no secret."""
    add(node, "ann")
    run(node, "role", "ann", "supervisor")
    run(node, "password", "ann", "--password-stdin", typed=f"{OTHER}\n")
    token = run(node, "token", "ann", "--label", "export").strip()
    run(node, "sign-out", "ann")
    run(node, "disable", "ann")
    run(node, "enable", "ann")
    config = read_config(node)
    with database.read() as session:
        entries = audit.entries(session, after=0, limit=100)
        verified = audit.verify(session, own_keys(config, Book(config.agreements)))
    assert [e.action for e in entries] == [
        "people.added",
        "people.role-set",
        "people.password-set",
        "people.token-issued",
        "people.sessions-ended",
        "people.disabled",
        "people.enabled",
    ]
    details = [json.loads(e.details) for e in entries]
    assert {d["name"] for d in details} == {"ann"}
    assert (details[1]["before"], details[1]["role"]) == ("analyst", "supervisor")
    assert (details[3]["label"], details[4]["ended"]) == ("export", 1)
    assert len({e.actor for e in entries}) == 1
    assert entries[0].actor
    assert verified.ok, verified.reason
    told = repr(entries)
    assert [s for s in (PASSWORD, OTHER, token, "argon2") if s in told] == []


def test_what_fails_leaves_neither_change_nor_entry(node: Path, database: Database) -> None:
    """A user twice, a name that nobody has, a weak password: refused, and not on record as done."""
    add(node, "ann")
    with pytest.raises(PersonExistsError):
        add(node, "ann", "operator")
    with pytest.raises(WeakPasswordError):
        run(node, "password", "ann", "--password-stdin", typed="password1234\n")
    for words in (("role", "ben", "auditor"), ("disable", "ben"), ("enable", "ben")):
        with pytest.raises(UnknownPersonError):
            run(node, *words)
    for words in (("token", "ben"), ("sign-out", "ben"), ("password", "ben")):
        with pytest.raises(UnknownPersonError):
            run(node, *words)
    with database.read() as session:
        assert len(audit.entries(session, after=0, limit=100)) == 1
    assert [p["role"] for p in json.loads(run(node, "list", "--json"))] == ["analyst"]
    assert may_enter(database, "ann", PASSWORD)


def test_a_user_without_an_audit_entry_cannot_come_to_be(node: Path, database: Database) -> None:
    """If the audit log cannot be signed, the user is not added either."""
    for key in (node / "keys").glob("signing*"):
        key.unlink()
    with pytest.raises(UndercurrentError, match="signing key"):
        add(node, "ann")
    assert json.loads(run(node, "list", "--json")) == []


def test_another_password_or_role_and_being_disabled(node: Path, database: Database) -> None:
    """What the commands change holds for the next sign-in, and ends sessions where it should."""
    add(node, "ann")
    token = json.loads(run(node, "token", "ann", "--json"))["token"]
    run(node, "role", "ann", "auditor")
    policy, now = SignInPolicy(), time.time_ns() // 1000
    with database.begin() as session:
        standing = find_session(session, token, policy, at=now)
    assert standing is not None
    assert standing.person.role is Role.AUDITOR
    run(node, "password", "ann", "--password-stdin", typed=f"{OTHER}\n")
    with database.begin() as session:
        assert find_session(session, token, policy, at=now) is None
    assert may_enter(database, "ann", OTHER)
    assert not may_enter(database, "ann", PASSWORD)
    run(node, "disable", "ann")
    assert not may_enter(database, "ann", OTHER)
    assert "disabled" in run(node, "list")
    run(node, "enable", "ann")
    assert may_enter(database, "ann", OTHER)


def test_a_lock_out_is_shown_and_ended_by_the_operator(node: Path, database: Database) -> None:
    """The list says until when somebody is locked out; enable lets them in at once."""
    add(node, "ann")
    for _ in range(5):
        assert not may_enter(database, "ann", OTHER)
    assert not may_enter(database, "ann", PASSWORD)
    assert "locked" in run(node, "list")
    run(node, "enable", "ann")
    assert "locked" not in run(node, "list")
    assert may_enter(database, "ann", PASSWORD)


def test_a_token_lasts_as_long_as_was_asked(node: Path, database: Database) -> None:
    """Not longer than the node's settings allow; only the token itself is on the output."""
    add(node, "ann")
    made = json.loads(run(node, "token", "ann", "--days", "7", "--json"))
    week = 7 * 86_400_000_000
    left = made["expires"] - time.time_ns() // 1000
    assert week - 120_000_000 < left <= week
    policy = SignInPolicy()
    with database.begin() as session:
        assert find_session(session, made["token"], policy, at=made["expires"] - 1) is not None
        assert find_session(session, made["token"], policy, at=made["expires"]) is None
    with pytest.raises(ParameterError, match="token_days"):
        run(node, "token", "ann", "--days", "31")
    assert len(run(node, "token", "ann").split()) == 1
    assert run(node, "sign-out", "ann").startswith("2 ")


@pytest.mark.parametrize("command", [("add", "ann", "--role", "analyst"), ("password", "ann")])
def test_no_password_is_taken_but_from_terminal_or_input(
    node: Path, command: tuple[str, ...]
) -> None:
    """Without a terminal the remedy is named; there is no option that takes a password."""
    if command[0] == "password":
        add(node, "ann")
    with pytest.raises(ParameterError, match="--password-stdin"):
        run(node, *command)
    result = CliRunner().invoke(app, [*command, "--password", PASSWORD, "--node", str(node)])
    assert result.exit_code == 2


def test_a_password_in_another_encoding_is_refused_without_quoting_it(node: Path) -> None:
    """The error of bytes that are no UTF-8 holds none of them."""
    with pytest.raises(EncodingError) as caught:
        run(
            *(node, "add", "ann", "--role", "analyst", "--password-stdin"),
            typed=b"correct horse \xe9\xe8 battery\n",
        )
    assert "horse" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_terminal_is_asked_twice_and_shows_nothing(node: Path, database: Database) -> None:
    """The password is typed hidden, and again; two that differ are asked for again."""
    words = ["people", "add", "ann", "--role", "analyst", "--node", str(node)]
    code, screen = on_a_terminal(words, [PASSWORD, OTHER, PASSWORD, PASSWORD])
    assert code == 0, screen
    assert "do not match" in screen
    assert PASSWORD not in screen
    assert OTHER not in screen
    assert may_enter(database, "ann", PASSWORD)


def test_a_question_is_no_part_of_the_json(node: Path, tmp_path: Path) -> None:
    """The password is asked for on standard error."""
    words = ["people", "add", "ann", "--role", "analyst", "--node", str(node), "--json"]
    with (tmp_path / "told.json").open("w") as file:
        code, screen = on_a_terminal(words, [PASSWORD, PASSWORD], file)
    assert (code, "Password" in screen) == (0, True), screen
    assert json.loads((tmp_path / "told.json").read_text())["name"] == "ann"


@pytest.mark.parametrize(
    "command", ["add", "list", "password", "role", "disable", "enable", "token", "sign-out"]
)
def test_each_command_has_an_example(command: str) -> None:
    """The help of each command shows how it is used."""
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert f"undercurrent people {command}" in " ".join(result.output.split())


def on_a_terminal(
    words: list[str], answers: list[str], out: IO[str] | None = None
) -> tuple[int, str]:
    """Run ``undercurrent`` on a terminal, type each answer when asked; return code and screen."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [UNDERCURRENT, *words],
        stdin=slave,
        stdout=out or slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        env=os.environ | {"TERM": "dumb", "COLUMNS": "200"},
    )
    os.close(slave)
    screen, typed, end = b"", 0, time.monotonic() + 60
    try:
        while select.select([master], [], [], max(end - time.monotonic(), 0))[0]:
            try:
                screen += os.read(master, 65536)
            except OSError:  # nobody holds the other end any more
                break
            if (
                typed < len(answers)
                and screen.count(b"assword: ") + screen.count(b"ation: ") > typed
            ):
                os.write(master, f"{answers[typed]}\n".encode())
                typed += 1
        return process.wait(10), screen.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(master)
