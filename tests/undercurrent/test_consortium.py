"""The commands ``undercurrent consortium`` as founder and members use them."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bank_node.consortium import Book
from undercurrent import cli, consortium

COMMANDS = (
    "new",
    "join",
    "add",
    "remove",
    "sign",
    "merge",
    "show",
    "verify",
    "install",
    "rotate-key",
    "broker-certificate",
)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in "ABC":
        node(tmp_path, name)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run(["consortium", *arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert list(tmp_path.rglob(".*")) == [], "a temporary file was left"
        return code, out, err

    return run


def day(ahead: int) -> str:
    """The date so many days after today; version 1 takes effect now."""
    return (datetime.now(UTC) + timedelta(days=ahead)).date().isoformat()


def node(folder: Path, name: str, role: str = "bank") -> None:
    """A node's folder with its configuration."""
    (folder / name).mkdir(mode=0o700)
    (folder / name / "node.toml").write_text(
        f'[node]\nid = "{name}"\nrole = "{role}"\nconsortium = "nordic"\n'
        f'bic = "{f"BANK{name}{name}22" if role == "bank" else ""}"\n'
        f'host = "{name.lower()}.example"\nport = 9400\n'
    )


def done(run: Run, *arguments: str) -> Any:
    """The JSON that a command prints; it ends well and says nothing else."""
    code, out, err = run(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def founded(run: Run, names: str = "ABC") -> None:
    """A draft with all its members."""
    done(run, "new", "nordic", "--node", "A", "--out", "consortium.toml")
    for name in names[1:]:
        done(run, "join", "--node", name, "--out", f"request-{name}.toml")
        add = ("add", f"request-{name}.toml", "--to", "consortium.toml", "--node", "A")
        assert done(run, *add)["member"] == name


def signed(run: Run, file: str = "consortium.toml", names: str = "ABC") -> Any:
    """The same, signed by all."""
    for name in names:
        done(run, "sign", file, "--node", name, "--yes", "--out", f"signed-{name}.toml")
    copies = [f"signed-{name}.toml" for name in names]
    return done(run, "merge", *copies, "--out", file)


def test_the_way_of_a_consortium(run: Run, tmp_path: Path) -> None:
    """New, join, add, sign, merge, verify, show, install: every node has the same agreement."""
    founded(run)
    assert signed(run) == {"file": "consortium.toml", "signed": ["A", "B", "C"], "missing": []}
    valid = done(run, "verify", "consortium.toml")
    assert valid["valid"]
    shown = done(run, "show", "consortium.toml")
    assert shown["hash"] == valid["hash"]
    assert [(m["id"], m["signature"]) for m in shown["members"]] == [
        (name, "valid") for name in "ABC"
    ]
    for name in "ABC":
        found = done(run, "install", "consortium.toml", "--node", name)
        assert found == {"version": 1, "hash": valid["hash"], "member": True}
        assert Book(tmp_path / name / "agreements").versions()[0].hash == valid["hash"]
        assert (tmp_path / name / "keys" / "authority.crt").is_file()
    private = [p for p in tmp_path.rglob("*.pem") if stat.S_IMODE(p.stat().st_mode) != 0o600]
    assert private == []
    assert (tmp_path / "A" / "authority" / "authority.pem").is_file()


def test_the_tables_say_what_is_agreed(run: Run) -> None:
    """Members, who has signed, bounds, budgets and schedules stand in the tables."""
    founded(run)
    done(run, "sign", "consortium.toml", "--node", "B", "--yes")
    code, out, err = run("show", "consortium.toml")
    assert (code, err) == (0, "")
    for text in ("nordic", "a.example", "not signed", "delta: 0.05 to 0.3", "nightly-risk", "bits"):
        assert text in out
    assert out.count("not signed") == 2


def test_a_missing_signature_is_told_with_exit_code_3(run: Run) -> None:
    """verify names the members who have not signed, in one line, or as JSON."""
    founded(run)
    done(run, "sign", "consortium.toml", "--node", "B", "--yes")
    code, out, err = run("verify", "consortium.toml")
    assert (code, out) == (3, "")
    assert err.startswith("undercurrent: A, C have not signed. ")
    assert err.count("\n") == 1
    code, out, err = run("verify", "consortium.toml", "--json")
    assert (code, err) == (3, "")
    fault = json.loads(out)
    assert (fault["valid"], fault["code"]) == (False, "consortium.signature")
    code, _out, err = run("install", "consortium.toml", "--node", "A")
    assert code == 3
    assert "A, C have not signed" in err


def test_an_edited_value_is_told_and_a_comment_is_not(run: Run, tmp_path: Path) -> None:
    """After an edit of a value all signatures are invalid; a comment may be edited at any time."""
    founded(run)
    signed(run)
    path = tmp_path / "consortium.toml"
    text = path.read_text()
    path.write_text(text.replace("# ---- How much", "# (see annex) ---- How much"))
    assert done(run, "verify", "consortium.toml")["valid"]
    path.write_text(text.replace("bits = 1_000_000_000", "bits = 2_000_000_000"))
    code, _out, err = run("verify", "consortium.toml")
    assert code == 3
    assert "signature of A is not of this text" in err


def test_the_next_version_without_a_member(run: Run) -> None:
    """new --from, remove, a new member: what changes is told, and the step is verified."""
    founded(run)
    signed(run)
    for name in "ABC":
        done(run, "install", "consortium.toml", "--node", name)
    later = ("--effective", "2100-01-01", "--expires", "2100-12-31")
    code, _out, err = run("new", "--from", "consortium.toml", *later, "--out", "x.toml")
    assert (code, err) == (0, "")
    second = ("new", "--from", "consortium.toml", "--effective", day(7), "--out", "2.toml")
    assert done(run, *second)["version"] == 2
    node(Path.cwd(), "N", "compute")
    done(run, "join", "--node", "N", "--out", "request-N.toml")
    done(run, "add", "request-N.toml", "--to", "2.toml", "--node", "A")
    assert done(run, "remove", "C", "--from", "2.toml")["members"] == ["A", "B", "N"]
    told = done(run, "show", "2.toml", "--previous", "consortium.toml")["change"]
    assert (told["removed"], told["added"]) == (["C"], ["N"])
    assert (told["columns"], told["budgets"]) == ("discard", "carry")
    signed(run, "2.toml", "ABN")
    assert done(run, "verify", "2.toml", "--previous", "consortium.toml")["step_checked"]
    assert not done(run, "verify", "2.toml")["step_checked"]
    _code, out, _err = run("verify", "2.toml")
    assert "give --previous" in out
    assert not done(run, "install", "2.toml", "--node", "C")["member"]
    _code, out, _err = run("show", "2.toml", "--previous", "consortium.toml")
    assert "members removed: C" in out


def test_a_rotation_of_keys(run: Run, tmp_path: Path) -> None:
    """rotate-key, add and sign: the member's entry is replaced, and it signs with the new key."""
    founded(run)
    signed(run)
    done(run, "install", "consortium.toml", "--node", "B")
    made = done(run, "rotate-key", "--node", "B", "--out", "rotate.toml")
    assert (tmp_path / "B" / "keys" / "signing-2.pem").is_file()
    second = ("new", "--from", "consortium.toml", "--effective", day(7), "--out", "2.toml")
    done(run, *second)
    added = done(run, "add", "rotate.toml", "--to", "2.toml", "--node", "A")
    assert added == {"member": "B", "key": made["key"], "replaced": True}
    signed(run, "2.toml")
    assert done(run, "verify", "2.toml", "--previous", "consortium.toml")["valid"]


def test_nothing_is_replaced_unasked(run: Run, tmp_path: Path) -> None:
    """A file that is there stays, with exit code 2, unless --force is given."""
    (tmp_path / "mine.toml").write_text("mine")
    for command in (
        ("new", "nordic", "--node", "A"),
        ("join", "--node", "B"),
        ("rotate-key", "--node", "B"),
    ):
        code, _out, err = run(*command, "--out", "mine.toml")
        assert code == 2
        assert "is there already" in err
        assert (tmp_path / "mine.toml").read_text() == "mine"
    assert not (tmp_path / "A" / "authority").exists()
    assert not (tmp_path / "B" / "keys").exists()
    done(run, "join", "--node", "B", "--out", "mine.toml", "--force")
    assert (tmp_path / "mine.toml").read_text() != "mine"


def test_nobody_signs_without_having_been_asked(run: Run, tmp_path: Path) -> None:
    """Without a terminal and without --yes: the agreement is shown, and not signed."""
    founded(run)
    before = (tmp_path / "consortium.toml").read_bytes()
    code, _out, err = run("sign", "consortium.toml", "--node", "A")
    assert code == 2
    assert "Members" in err
    assert "Give --yes" in err
    assert (tmp_path / "consortium.toml").read_bytes() == before


def test_a_person_is_shown_the_agreement_and_asked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No leaves it unsigned; yes signs."""
    founded(run)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, code in ((False, 130), (True, 0)):
        monkeypatch.setattr("typer.confirm", _answer(answer))
        assert run("sign", "consortium.toml", "--node", "A")[0] == code
        shown = done(run, "show", "consortium.toml")["members"][0]["signature"]
        assert shown == ("valid" if answer else "missing")


def _answer(yes: bool) -> Callable[..., bool]:
    def confirm(text: str, *, abort: bool, err: bool) -> bool:
        assert (text, abort, err) == ("Sign this as A?", True, True)
        if not yes:
            raise typer.Abort
        return True

    return confirm


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("new", "--out", "x"), 2, "needs a name"),
        (("new", "baltic", "--node", "A", "--out", "x"), 2, "names consortium nordic"),
        (("new", "nordic", "--node", "Z", "--out", "x"), 2, "node.toml"),
        (("new", "nordic", "--node", "A", "--effective", "soon", "--out", "x"), 2, "is no time"),
        (
            ("new", "nordic", "--node", "A", "--expires", "2020-01-01", "--out", "x"),
            2,
            "end before it begins",
        ),
        (("new", "--from", "consortium.toml", "--out", "x"), 2, "needs a date"),
        (("new", "--from", "none", "--effective", "2027-01-01", "--out", "x"), 2, "No such file"),
        (("join", "--node", "B", "--bic", "bank", "--out", "x"), 2, "bic"),
        (("join", "--node", "B", "--host", "no host", "--out", "x"), 2, "host"),
        (("join", "--node", "B", "--out", "none/x"), 1, "No such file"),
        (
            ("add", "consortium.toml", "--to", "consortium.toml", "--node", "A"),
            2,
            "consortium.toml",
        ),
        (("add", "request-B.toml", "--to", "consortium.toml", "--node", "B"), 2, "no authority"),
        (("remove", "Z", "--from", "consortium.toml"), 2, "Z is no member"),
        (("sign", "request-B.toml", "--node", "A", "--yes"), 2, "request-B.toml"),
        (("merge", "consortium.toml", "none"), 2, "none"),
        (("show", "none"), 2, "No such file"),
        (("verify", "none"), 2, "No such file"),
        (("broker-certificate", "bröker", "--node", "A", "--out", "x"), 2, "no host name"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    run: Run, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Wrong input ends with its exit code, a cause and a remedy, and writes nothing."""
    founded(run)
    assert run("verify", "consortium.toml")[0] == 3
    got, out, err = run(*arguments)
    assert (got, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1
    assert not Path("x").exists()


def test_a_step_that_cannot_be_checked_is_not_signed(run: Run) -> None:
    """A node that follows version 1 does not sign version 3 without version 2."""
    founded(run)
    signed(run)
    done(run, "install", "consortium.toml", "--node", "A")
    step = ("new", "--effective")
    done(run, *step, day(7), "--from", "consortium.toml", "--out", "2.toml")
    done(run, *step, day(8), "--from", "2.toml", "--out", "3.toml")
    sign = ("sign", "3.toml", "--node", "A", "--yes")
    code, _out, err = run(*sign)
    assert code == 3
    assert "version 2 is not installed here" in err
    assert done(run, *sign, "--previous", "2.toml")["member"] == "A"


def test_a_readable_key_is_refused(run: Run, tmp_path: Path) -> None:
    """No command uses a key that others can read."""
    founded(run)
    (tmp_path / "B" / "keys" / "signing-1.pem").chmod(0o644)
    code, _out, err = run("sign", "consortium.toml", "--node", "B", "--yes")
    assert code == 2
    assert "can be read by others (mode 0644)" in err


def test_an_agreement_of_another_consortium_is_not_installed(run: Run, tmp_path: Path) -> None:
    """The node's own consortium stands in its configuration."""
    founded(run)
    signed(run)
    path = tmp_path / "B" / "node.toml"
    path.write_text(path.read_text().replace("nordic", "baltic"))
    code, _out, err = run("install", "consortium.toml", "--node", "B")
    assert code == 2
    assert "another consortium than baltic" in err


def test_an_authority_elsewhere(run: Run, tmp_path: Path) -> None:
    """The authority may lie in a folder of its own; the broker's certificate comes from it."""
    place = ("--authority", "vault")
    done(run, "new", "nordic", "--node", "A", *place, "--out", "consortium.toml")
    assert not (tmp_path / "A" / "authority").exists()
    done(run, "join", "--node", "B", "--out", "request-B.toml")
    done(run, "add", "request-B.toml", "--to", "consortium.toml", *place)
    names = ("broker.example", "192.0.2.7")
    paths = done(run, "broker-certificate", *names, *place, "--out", "broker")
    assert paths["certificate"] == "broker/broker.crt"
    assert stat.S_IMODE((tmp_path / "broker" / "broker.pem").stat().st_mode) == 0o600
    code, out, _err = run("broker-certificate", *names, *place, "--out", "broker")
    assert code == 0
    assert "private_key: broker/broker.pem" in out


def test_what_stands_in_node_toml_can_be_overridden(run: Run) -> None:
    """BIC, host and port of the request come from options where they are given."""
    options = ("--bic", "NEWBDE22", "--host", "10.0.0.7", "--port", "9700")
    done(run, "join", "--node", "B", *options, "--out", "request-B.toml")
    done(run, "new", "nordic", "--node", "A", "--out", "consortium.toml")
    done(run, "add", "request-B.toml", "--to", "consortium.toml", "--node", "A")
    member = done(run, "show", "consortium.toml")["members"][1]
    assert (member["bic"], member["host"], member["ports"]) == ("NEWBDE22", "10.0.0.7", [9700, 4])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    """--help says what a command does, shows how it is used, and offers --json."""
    result = CliRunner().invoke(consortium.app, [command, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert f"undercurrent consortium {command}" in result.output
    assert "--json" in result.output
