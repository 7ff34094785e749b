"""``undercurrent alerts`` against a served API: a morning on the command line."""

from __future__ import annotations

import asyncio
import io
import json
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from alerts import Action, State
from alerts.states import CLOSED, OPEN_STATES
from bank_node.api import api_app
from bank_node.node.control import serve_control
from tests.bank_node.desk_world import (
    ANN,
    OWN,
    PASSWORD,
    PEOPLE,
    SECOND_RUN,
    SUE,
    TRACE,
    SmallOffice,
    small_office,
)
from undercurrent import cli, desk_client
from undercurrent.alerts import _STATES
from undercurrent.case_steps import reference
from undercurrent.desk_client import DeskPlace

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallOffice]:
    """A small office whose API answers on its node's socket."""
    folder = tmp_path_factory.mktemp("desk")
    office = small_office(f"sqlite:///{folder / 'node.db'}", folder)
    with _serving(office):
        yield office
    office.close()


@contextmanager
def _serving(made: SmallOffice) -> Iterator[None]:
    """Serve the socket in a thread with a loop of its own."""
    loop = asyncio.new_event_loop()
    up, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serve_control(made.node, made.folder / "node.sock", api_app(made.office)):
            up.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert up.wait(30)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


@pytest.fixture(scope="module")
def tokens(made: SmallOffice) -> dict[str, str]:
    """Tokens of everybody."""
    return {p.name: made.token(p) for p in PEOPLE}


@pytest.fixture
def run(
    made: SmallOffice,
    tokens: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command as a person and gives exit code, output and complaint."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("UNDERCURRENT_NODE", str(made.folder))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def command(who: str, *arguments: str) -> tuple[int, str, str]:
        if who:
            monkeypatch.setenv("UNDERCURRENT_TOKEN", tokens[who])
        else:
            monkeypatch.delenv("UNDERCURRENT_TOKEN", raising=False)
        code = cli.run(["alerts", *arguments])
        out, err = capsys.readouterr()
        assert len(err.splitlines()) <= 1, err
        return code, out, err

    return command


def cases_of(made: SmallOffice, state: str = "new") -> list[Any]:
    """Return the cases in a state."""
    return [c for c in made.desk.cases(SUE, limit=500) if c.state == state]


def free_alerts(made: SmallOffice) -> list[Any]:
    """Return the alerts that are in no case."""
    return [a for a in made.desk.alerts(ANN, limit=500) if a.status == "open"]


def test_alerts_are_listed_within_eighty_columns(run: Run) -> None:
    """A list fits a terminal of eighty columns and names each alert as A and its number."""
    code, out, _err = run("ann", "list", "--severity", "high")
    assert code == 0
    assert re.search(r"\bA[0-9]+\b", out)
    assert max(map(len, out.splitlines())) <= 80
    listed = json.loads(run("ann", "list", "--run", SECOND_RUN, "--json")[1])
    assert {a["last_run"] for a in listed["alerts"]} == {SECOND_RUN}
    about = json.loads(run("ann", "list", "--account", OWN[3], "--json")[1])
    assert about["alerts"]


def test_an_alert_says_why(run: Run) -> None:
    """Sentences, results over runs and own payments; a bare number is an alert."""
    code, out, _err = run("ann", "show", "1")
    assert code == 0
    assert "About customer" in out
    assert "own payments" in out
    assert max(map(len, out.splitlines())) <= 80
    whole = json.loads(run("ann", "show", "a1", "--json")[1])
    assert whole["alert"]["id"] == 1


def test_two_people_close_a_case(run: Run, made: SmallOffice, tmp_path: Path) -> None:
    """Take, note, attach, propose, refused to oneself, approved by a supervisor, reopened."""
    case = f"C{cases_of(made)[0].id}"
    assert "with ann" in run("ann", "assign", case, "--note", "mine")[1]
    assert run("ann", "note", case, "--note", "called them")[0] == 0
    code, out, _err = run("ann", "attach", case, TRACE, "--note", "where it went")
    assert code == 0
    code, out, _err = run("ann", "close", case, "--as", "confirmed", "--note", "as it looks")
    assert (code, "pending-review" in out) == (0, True)
    code, _out, err = run("ann", "approve", case, "--note", "fine")
    assert code == 3
    assert "ann is analyst and may not approve" in err
    assert "closed-confirmed" in run("sue", "approve", case, "--note", "agreed")[1]
    shown = run("sue", "show", case)[1]
    assert "trace 1" in shown
    assert "you may now: reopen" in shown
    assert "is new" in run("sue", "reopen", case, "--note", "again")[1]


def test_lists_leave_out_what_is_closed(run: Run, made: SmallOffice) -> None:
    """Alerts and cases that are closed come with --status closed only; pages stay in order."""
    case = cases_of(made)[0].id
    for who, *step in (
        ("ann", "assign"), ("ann", "close", "--as", "confirmed"), ("sue", "approve")
    ):  # fmt: skip
        assert run(who, step[0], f"C{case}", *step[1:], "--note", "as it looks")[0] == 0

    def listed(*options: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("ann", "list", *options, "--json")[1])
        return found

    everything = listed("--limit", "500")
    assert {a["status"] for a in everything["alerts"]} == {"open", "in-case"}
    assert everything["next"] is None
    whole = made.desk.alerts(SUE, limit=500)
    assert [a["id"] for a in everything["alerts"]] == [a.id for a in whole if a.status != "closed"]
    assert listed("--limit", "3")["alerts"] == everything["alerts"][:3]
    assert listed("--limit", "3")["next"] == everything["alerts"][2]["id"]
    assert {a["status"] for a in listed("--status", "closed")["alerts"]} == {"closed"}
    shown = {c["id"] for c in listed("--cases", "--limit", "500")["cases"]}
    closed = {c["id"] for c in listed("--cases", "--status", "closed", "--limit", "500")["cases"]}
    assert case in closed - shown
    assert case not in {c["id"] for c in listed("--mine")["cases"]}
    assert run("ann", "list", "--cases", "--status", "in-case")[0] == 2
    assert {*map(State, _STATES["open"])} == OPEN_STATES
    assert {*map(State, _STATES["closed"])} == CLOSED
    assert run("sue", "reopen", f"C{case}", "--note", "again")[0] == 0


def test_an_alert_without_a_case_gets_one(run: Run, made: SmallOffice) -> None:
    """Assigning a free alert opens a case; other commands say that there is none."""
    alert = f"A{free_alerts(made)[0].id}"
    code, _out, err = run("ann", "note", alert, "--note", "odd")
    assert (code, f"undercurrent alerts assign {alert}" in err) == (2, True)
    code, out, _err = run("ann", "assign", alert, "--note", "odd")
    assert (code, "assigned, with ann" in out) == (0, True)
    assert run("ann", "note", alert, "--note", "now it goes")[0] == 0


def test_a_supervisor_gives_cases_out(run: Run, made: SmallOffice) -> None:
    """To a person by name, back for the next, asleep until a day, and all by load."""
    case = f"C{cases_of(made)[0].id}"
    assert "with ben" in run("sue", "assign", case, "ben", "--note", "knows them")[1]
    assert run("ann", "begin", case, "--note", "I too")[0] == 3
    assert run("ben", "begin", case, "--note", "begun")[0] == 0
    slept = run("ben", "snooze", case, "--until", "2026-05-01", "--note", "answer is due", "--json")
    assert json.loads(slept[1])["case"]["snoozed_until"] == "2026-05-01T00:00:00Z"
    assert run("ben", "escalate", case, "--note", "too close")[0] == 3
    assert run("ann", "wake", case, "--note", "not mine")[0] == 3
    woken = run("ben", "wake", case, "--note", "the answer is here", "--json")
    assert json.loads(woken[1])["case"]["snoozed_until"] is None
    assert made.desk.case(SUE, int(case[1:])).journal[-1].action == "wake"
    mine = json.loads(run("ben", "list", "--mine", "--json")[1])
    assert {c["assignee"] for c in mine["cases"]} == {"ben"}
    assert "with ann" in run("ann", "next", "--note", "mine today")[1]
    code, out, _err = run("sue", "assign", "--auto")
    assert (code, "assigned" in out) == (0, True)
    assert run("sue", "assign", "--auto")[1] == "no new cases\n"
    assert run("ann", "next", "--note", "more")[1] == "no new cases\n"


def test_a_case_is_sent_back(run: Run, made: SmallOffice) -> None:
    """What a supervisor does not accept goes back to who investigates."""
    free = free_alerts(made)[0].id
    run("ann", "assign", f"A{free}", "--note", "odd")
    run("ann", "close", f"A{free}", "--as", "false-alarm", "--note", "salary")
    code, out, _err = run("sam", "send-back", f"A{free}", "--note", "which salary?")
    assert (code, "investigating, with ann" in out) == (0, True)


def test_a_stale_version_is_said(
    run: Run, made: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was slower gets exit code 1, who was faster and the remedy; nothing is overwritten."""
    assert run("ann", "assign", f"A{free_alerts(made)[0].id}", "--note", "odd")[0] == 0
    case = cases_of(made, "assigned")[0]
    ask = DeskPlace.ask

    def slow(self: DeskPlace, method: str, path: str, *rest: Any, **more: Any) -> Any:
        found = ask(self, method, path, *rest, **more)
        if path.endswith("/standing"):
            made.desk.act(SUE, case.id, found["version"], Action.NOTE, "faster")
        return found

    monkeypatch.setattr(DeskPlace, "ask", slow)
    code, _out, err = run("ann", "note", f"C{case.id}", "--note", "slower")
    assert code == 1
    assert "was changed by sue" in err
    assert "look at it again" in err
    assert made.desk.case(SUE, case.id).journal[-1].note == "faster"


def test_exports_are_whole_private_and_never_overwritten(
    run: Run, made: SmallOffice, tmp_path: Path
) -> None:
    """A file has mode 0600, one that is there stays without --force, no half file is left."""
    case = made.desk.cases(SUE, limit=1)[0].id
    for kind, ending in (
        ("html", "html"), ("json", "json"), ("ftm", "ftm.json"), ("csv", "transactions.csv")
    ):  # fmt: skip
        assert run("ann", "export", f"C{case}", "--as", kind)[0] == 0
        file = tmp_path / f"case-{case}.{ending}"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_size > 100
    out = tmp_path / "mine.html"
    out.write_text("mine")
    code, _out, err = run("ann", "export", f"C{case}", "--as", "html", "--out", str(out))
    assert (code, out.read_text()) == (2, "mine")
    assert "--force" in err
    assert run("ann", "export", f"C{case}", "--as", "html", "--out", str(out), "--force")[0] == 0
    assert out.read_text() != "mine"
    missing = tmp_path / "none" / "x.html"
    assert run("ann", "export", f"C{case}", "--as", "html", "--out", str(missing))[0] == 1
    code, _out, err = run("ann", "export", f"C{case}", "--as", "goaml", "--country", "NL")
    assert (code, "profile" in err) == (2, True)
    assert not (tmp_path / f"case-{case}.goaml.xml").exists()
    assert [p for p in tmp_path.rglob(".*") if p.is_file()] == []


def test_rules_are_shown_and_tried(run: Run, tmp_path: Path) -> None:
    """The rules as they stand; a file is tried on stored runs, a wrong one is said in a line."""
    assert "risk-high" in run("ann", "rules", "show")[1]
    file = tmp_path / "rules.toml"
    file.write_text(
        '[[rule]]\nname = "r"\njoint = [{analysis = "risk-propagation", reached = 2}]\n'
    )
    code, out, _err = run("sue", "rules", "test", str(file), "--runs", "3")
    assert (code, "customers" in out) == (0, True)
    assert json.loads(run("sue", "rules", "test", str(file), "--json")[1])[0]["rule"] == "r"
    assert run("ann", "rules", "test", str(file))[0] == 3
    file.write_text("[[rule]]\nname = 7\n")
    code, _out, err = run("sue", "rules", "test", str(file))
    assert (code, "name" in err) == (2, True)
    assert run("sue", "rules", "test", str(tmp_path / "none.toml"))[0] == 2


def test_signing_in_keeps_a_token_for_this_user(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is asked for, the token kept at 0600 for this node; signing out forgets it."""
    monkeypatch.setattr(typer, "prompt", lambda *_a, **_m: PASSWORD)
    code, _out, err = run("", "list")
    assert (code, "undercurrent alerts sign-in NAME" in err) == (3, True)
    code, out, _err = run("", "sign-in", "ann")
    assert (code, "signed in as ann (analyst)" in out) == (0, True)
    kept = tmp_path / "config" / "undercurrent" / "tokens.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert PASSWORD not in kept.read_text()
    assert run("", "list")[0] == 0
    token = next(iter(json.loads(kept.read_text()).values()))
    assert run("", "sign-out")[1] == "signed out\n"
    assert json.loads(kept.read_text()) == {}
    monkeypatch.setattr(desk_client, "_kept", lambda: {DeskPlace.of(None, "").key: token})
    assert run("", "list")[0] == 3, "the token ended at the desk, too"


def test_a_wrong_password_is_exit_code_three(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, with what to do; nothing is kept."""
    monkeypatch.setattr(typer, "prompt", lambda *_a, **_m: "wrong wrong wrong")
    code, out, err = run("", "sign-in", "otto")
    assert (code, out) == (3, "")
    assert "the name or the password is wrong" in err


@pytest.mark.parametrize("bad", ["X1", "C", "A-1", "1;2", "../1", ""])
def test_an_id_is_a_letter_and_a_number(run: Run, bad: str) -> None:
    """What is no id is refused before anything is asked."""
    assert run("ann", "show", bad)[0] == 2
    assert reference("7") == ("alert", 7)
    assert reference("c7") == ("case", 7)


def test_a_note_is_required(run: Run, made: SmallOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal it is said; at one it is asked for; one that says nothing is refused."""
    case = f"C{made.desk.cases(SUE, limit=1)[0].id}"
    code, _out, err = run("ann", "note", case)
    assert (code, "--note" in err) == (2, True)
    assert run("ann", "note", case, "--note", "...")[0] == 2
    monkeypatch.setattr("undercurrent.case_steps.sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", lambda *_a, **_m: "typed")
    assert run("ann", "note", case)[0] == 0
    assert made.desk.case(SUE, int(case[1:])).journal[-1].note == "typed"


class _Typed(io.StringIO):
    """A terminal on which something is typed."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


def test_a_question_is_no_part_of_the_json(
    run: Run, made: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note is asked for on standard error; standard output is for the program that reads it."""
    case = f"C{made.desk.cases(SUE, limit=1)[0].id}"
    monkeypatch.setattr("sys.stdin", _Typed("typed at a terminal\n"))
    code, out, err = run("ann", "note", case, "--json")
    assert (code, "Note" in err) == (0, True)
    assert json.loads(out)["case"]["id"] == int(case[1:])


def test_an_answer_that_is_no_json_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sign-in page of a proxy, or another site: what to check, and no traceback."""
    page = httpx.Response(200, text="<html>Sign in</html>")
    monkeypatch.setattr(httpx.Client, "request", lambda *_a, **_m: page)
    code, out, err = run("ann", "list", "--url", "http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "in no form of the desk" in err
    assert "Check --url" in err


def test_a_token_goes_over_tls_or_stays_here(run: Run) -> None:
    """An address that would carry the token in clear, or is none, is refused."""
    for url in ("http://desk.bank.example", "ftp://x", "desk", "http://user@127.0.0.1"):
        assert run("ann", "list", "--url", url)[0] == 2
    code, _out, err = run("ann", "list", "--url", "http://127.0.0.1:1")
    assert (code, "no desk answers" in err) == (1, True)


def test_no_node_is_said_with_the_remedy(run: Run, tmp_path: Path) -> None:
    """Where nothing runs, the line says how to start it."""
    code, _out, err = run("ann", "list", "--node", str(tmp_path))
    assert (code, "undercurrent node run" in err) == (1, True)


def test_words_of_others_are_not_obeyed(run: Run, made: SmallOffice) -> None:
    """Markup in a note is shown as it is; what a terminal would obey is not printed."""
    case = made.desk.cases(SUE, limit=1)[0]
    made.desk.act(SUE, case.id, case.version, Action.NOTE, "[red]loud[/red] \t<b>")
    out = run("ann", "show", f"C{case.id}")[1]
    assert "[red]loud[/red]" in out
    assert "\x1b" not in out


def test_every_command_has_an_example(run: Run) -> None:
    """Each command's help shows how it is used."""
    group = typer.main.get_command(cli.command_line("alerts")).commands["alerts"]  # type: ignore[attr-defined]
    commands = {n: c for n, c in group.commands.items() if n != "rules"}
    commands |= group.commands["rules"].commands
    assert len(commands) == 19
    for name, command in commands.items():
        assert "Example" in command.help, name
        assert "undercurrent alerts" in command.help, name
