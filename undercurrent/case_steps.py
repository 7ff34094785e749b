"""What ``undercurrent alerts`` does with a case: assign, note, close, approve and the rest.

Each command reads the version of the case just before it acts, so that what somebody else did in
between is refused by the desk and said, never overwritten.
"""

import json
import re
import sys
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import typer
from rich.console import Console
from rich.text import Text

from bank_node.errors import ParameterError
from undercurrent.desk_client import DeskPlace
from undercurrent.options import JsonOption, NodeOption

__all__ = [
    "IdArgument",
    "NoteOption",
    "Reference",
    "UrlOption",
    "approve",
    "assign",
    "attach",
    "begin",
    "case_of",
    "close",
    "escalate",
    "given_note",
    "next_case",
    "note",
    "reference",
    "reopen",
    "send_back",
    "snooze",
    "tell",
    "wake",
]

UrlOption = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="UNDERCURRENT_URL",
        help="Address of the desk. [default: the socket in the node's folder]",
    ),
]
NoteOption = Annotated[str, typer.Option("--note", help="Why; asked for if it is not given.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A12 for an alert, C7 for a case.")]
_Outcome = Literal["false-alarm", "confirmed", "reported"]


class Reference(NamedTuple):
    """An alert or a case."""

    kind: Literal["alert", "case"]
    number: int


def reference(text: str) -> Reference:
    """Return what an id names; a bare number is an alert."""
    found = re.fullmatch(r"([aAcC]?)([0-9]{1,15})", text)
    if found is None:
        raise ParameterError(f"{text[:40]!r} is no id", "Write A12 for an alert, C7 for a case")
    return Reference("case" if found[1] in ("c", "C") else "alert", int(found[2]))


def given_note(note: str) -> str:
    """Return the note; at a terminal, ask for one that is missing."""
    if note.strip():
        return note
    if not sys.stdin.isatty():
        raise ParameterError("this needs a note", "Say why: --note TEXT")
    asked: str = typer.prompt("Note", err=True)
    return asked


def tell(changed: dict[str, Any], *, as_json: bool) -> None:
    """Print where a case stands after a change."""
    if as_json:
        typer.echo(json.dumps(changed, indent=2))
        return
    case = changed["case"]
    holder = f", with {case['assignee']}" if case["assignee"] else ""
    outcome = f", as {case['outcome']}" if case["outcome"] else ""
    line = f"C{case['id']} is {case['state']}{holder}{outcome} (version {case['version']})"
    Console(highlight=False, soft_wrap=True).print(Text(line))


def assign(
    id_: Annotated[
        str, typer.Argument(metavar="[ID]", help="A12 for an alert, C7 for a case.")
    ] = "",
    person: Annotated[
        str, typer.Argument(metavar="[PERSON]", help="Who gets it. [default: oneself]")
    ] = "",
    auto: Annotated[
        bool, typer.Option("--auto", help="Give all new cases to whoever has the fewest.")
    ] = False,
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take a case, give it to somebody, or give out all new ones.

    An alert that is in no case gets one opened; who opens a case has worked on
    it and cannot approve its closing.

    Examples:

      undercurrent alerts assign A12 --note "mine today"

      undercurrent alerts assign C7 ben --note "knows the customer"

      undercurrent alerts assign --auto
    """
    place = DeskPlace.of(node, url)
    if auto == bool(id_):
        raise ParameterError("name one alert or case, or --auto and none", "See --help")
    if auto:
        _tell_many(place.ask("POST", "/queue/auto-assign")["changes"], as_json=as_json)
        return
    words = given_note(note)
    case = _case_or_new(place, reference(id_), words)
    me = place.ask("GET", "/me")["person"]["name"]
    if case["state"] == "new" and person in ("", me):
        changed = _step(place, case, "take", words)
    else:
        changed = _step(place, case, "assign", words, assignee=person or me)
    tell(changed, as_json=as_json)


def note(
    id_: IdArgument,
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write a note into the journal of a case; who writes one has worked on it.

    Example:

      undercurrent alerts note C7 --note "called the customer, no answer"
    """
    _simple("note", id_, note, DeskPlace.of(node, url), as_json=as_json)


def begin(
    id_: IdArgument,
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Begin to investigate a case that one has.

    Example:

      undercurrent alerts begin C7 --note "looking at the transfers of March"
    """
    _simple("begin", id_, note, DeskPlace.of(node, url), as_json=as_json)


def escalate(
    id_: IdArgument,
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask a supervisor to decide who goes on with a case.

    Example:

      undercurrent alerts escalate C7 --note "a colleague's relative"
    """
    _simple("escalate", id_, note, DeskPlace.of(node, url), as_json=as_json)


def close(
    id_: IdArgument,
    outcome: Annotated[_Outcome, typer.Option("--as", help="false-alarm, confirmed or reported.")],
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Propose to close a case that one has; somebody who never worked on it approves.

    A case that was not begun yet is begun first.

    Example:

      undercurrent alerts close C7 --as false-alarm --note "salary of a new job"
    """
    place, words = DeskPlace.of(node, url), given_note(note)
    case = case_of(place, reference(id_))
    if case["state"] == "assigned":
        case = _step(place, case, "begin", words)["case"]
    tell(_step(place, case, "submit", words, outcome=outcome), as_json=as_json)


def approve(
    id_: IdArgument,
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Close a case as was proposed; for a supervisor who never worked on it.

    Example:

      undercurrent alerts approve C7 --note "agreed, the payslip is in the file"
    """
    _simple("approve", id_, note, DeskPlace.of(node, url), as_json=as_json)


def send_back(
    id_: IdArgument,
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Send a proposed case back to who investigates it.

    Example:

      undercurrent alerts send-back C7 --note "where did the cash come from?"
    """
    _simple("send-back", id_, note, DeskPlace.of(node, url), as_json=as_json)


def reopen(
    id_: IdArgument,
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Open a closed case again.

    Example:

      undercurrent alerts reopen C7 --note "the same payer has come back"
    """
    _simple("reopen", id_, note, DeskPlace.of(node, url), as_json=as_json)


def snooze(
    id_: IdArgument,
    until: Annotated[str, typer.Option(metavar="DAY", help="A day or a time, UTC.")],
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a case sleep; in all at most 180 days.

    Example:

      undercurrent alerts snooze C7 --until 2026-12-01 --note "answer is due then"
    """
    place, words, moment = DeskPlace.of(node, url), given_note(note), _moment(until)
    case = case_of(place, reference(id_))
    tell(_step(place, case, "snooze", words, until=moment), as_json=as_json)


def wake(
    id_: IdArgument,
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Wake a case that sleeps before its day has come; for who has it.

    Example:

      undercurrent alerts wake C7 --note "the answer is here"
    """
    _simple("wake", id_, note, DeskPlace.of(node, url), as_json=as_json)


def attach(
    id_: Annotated[str, typer.Argument(metavar="CASE", help="C7, or an alert that is in a case.")],
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of a finished trace.")],
    title: Annotated[str, typer.Option(help="What was asked. [default: the run's id]")] = "",
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Attach a trace to a case; its rows are copied and stay.

    Example:

      undercurrent alerts attach C7 3f9a... --note "where it went in March"
    """
    place, words = DeskPlace.of(node, url), given_note(note)
    case = case_of(place, reference(id_))
    body = {"run_id": run_id, "title": title or f"trace {run_id}", "note": words}
    body |= {"version": case["version"]}
    tell(place.ask("POST", f"/cases/{case['id']}/traces", body), as_json=as_json)


def next_case(
    note: NoteOption = "",
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take the most severe, oldest new case.

    Example:

      undercurrent alerts next --note "mine today"
    """
    place = DeskPlace.of(node, url)
    changed = place.ask("POST", "/queue/next", {"note": given_note(note)})["change"]
    if changed is not None:
        tell(changed, as_json=as_json)
    else:
        typer.echo("null" if as_json else "no new cases")


def _simple(action: str, id_: str, note: str, place: DeskPlace, *, as_json: bool) -> None:
    words = given_note(note)
    case = case_of(place, reference(id_))
    tell(_step(place, case, action, words), as_json=as_json)


def _step(
    place: DeskPlace, case: dict[str, Any], action: str, note: str, **more: Any
) -> dict[str, Any]:
    """Do one thing with a case as it was read."""
    body = {"action": action, "version": case["version"], "note": note} | more
    changed: dict[str, Any] = place.ask("POST", f"/cases/{case['id']}/actions", body)
    return changed


def case_of(place: DeskPlace, found: Reference) -> dict[str, Any]:
    """Return a case as it stands now; of an alert, the one that it is in."""
    if found.kind == "case":
        case: dict[str, Any] = place.ask("GET", f"/cases/{found.number}/standing")
        return case
    told = place.ask("GET", f"/alerts/{found.number}")
    if told["case"] is None:
        raise ParameterError(
            f"alert {found.number} is in no case",
            f"Open one: undercurrent alerts assign A{found.number}",
        )
    inside: dict[str, Any] = told["case"]
    return inside


def _case_or_new(place: DeskPlace, found: Reference, note: str) -> dict[str, Any]:
    """Return the case of an id; an alert in none gets one."""
    if found.kind == "case":
        return case_of(place, found)
    told = place.ask("GET", f"/alerts/{found.number}")
    case: dict[str, Any] | None = told["case"]
    if case is None:
        alert = {"id": found.number, "version": told["alert"]["version"]}
        case = place.ask("POST", "/cases", {"alerts": [alert], "note": note})["case"]
    assert case is not None
    return case


def _tell_many(changes: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(changes, indent=2))
        return
    for changed in changes:
        tell(changed, as_json=False)
    if not changes:
        typer.echo("no new cases")


def _moment(text: str) -> str:
    """Return a day or a time as the API takes it."""
    wanted = f"{text}T00:00:00Z" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else text
    try:
        parsed = datetime.fromisoformat(wanted)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise ParameterError(
            f"--until {text[:40]!r} is no time", "Write 2026-12-01 or 2026-12-01T09:00:00Z"
        )
    return parsed.isoformat()
