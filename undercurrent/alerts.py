"""The commands ``undercurrent alerts``: triage, as a client of the desk's API."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.console import Console
from rich.text import Text

from bank_node.errors import MissingFileError, OutputExistsError, ParameterError
from bank_node.files import create_file, replace_file
from bank_node.node.client import RemoteError
from undercurrent import alert_tables, case_steps
from undercurrent.case_steps import UrlOption, reference
from undercurrent.desk_client import DeskPlace, forget_token, keep_token
from undercurrent.options import JsonOption, NodeOption

__all__ = ["app"]

_Status = Literal["open", "in-case", "closed"]
_Severity = Literal["low", "medium", "high", "critical"]
_LEVELS = ("low", "medium", "high", "critical")
_STATES = {
    "open": ("new", "assigned", "investigating", "escalated", "pending-review"),
    "closed": ("closed-false-alarm", "closed-confirmed", "closed-reported"),
}
"""What ``--status`` means for cases: these states, as the API names them."""
_Kind = Literal["html", "json", "ftm", "goaml", "csv"]
_KINDS = {
    "html": "html",
    "json": "json",
    "ftm": "ftm.json",
    "goaml": "goaml.xml",
    "csv": "transactions.csv",
}

app = typer.Typer(
    help="Alerts and cases: list, show, assign, note, close, approve, export.",
    no_args_is_help=True,
)
rules_app = typer.Typer(help="The rules that raise alerts: show, test.", no_args_is_help=True)
app.add_typer(rules_app, name="rules")


@app.callback()
def _alerts() -> None:
    """Alerts and cases: list, show, assign, note, close, approve, export.

    Sign in once: undercurrent alerts sign-in NAME. Programs give a token in
    UNDERCURRENT_TOKEN instead. A12 is an alert, C7 a case.
    """


@rules_app.callback()
def _rules() -> None:
    """The rules that raise alerts: show, test."""


@app.command("sign-in")
def sign_in(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.")],
    node: NodeOption = None,
    url: UrlOption = "",
) -> None:
    """Sign in; the password is asked for, the token is kept for this user only.

    Examples:

      undercurrent alerts sign-in ann

      undercurrent alerts sign-in ann --url https://desk.bank.example
    """
    place = DeskPlace.of(node, url)
    password = typer.prompt("Password", hide_input=True)
    body = {"name": name, "password": password, "label": "undercurrent alerts"}
    told = place.ask("POST", "/sign-in", body)
    keep_token(place, told["token"])
    person = told["person"]
    words = f"signed in as {person['name']} ({person['role']}) until {told['expires']}"
    Console(highlight=False, soft_wrap=True).print(Text(words))


@app.command("sign-out")
def sign_out(node: NodeOption = None, url: UrlOption = "") -> None:
    """End the token that is kept, at the desk and here.

    Example:

      undercurrent alerts sign-out
    """
    place = DeskPlace.of(node, url)
    try:
        place.ask("POST", "/sign-out")
    except RemoteError as error:
        if error.code != "api.not-signed-in":  # it had ended already
            raise
    typer.echo("signed out" if forget_token(place) else "nobody was signed in here")


@app.command("list")
def list_alerts(
    status: Annotated[
        _Status | None,
        typer.Option(help="open, in-case (alerts only) or closed. [default: not closed]"),
    ] = None,
    severity: Annotated[_Severity | None, typer.Option(help="At least so severe.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only of this rule.")] = None,
    account: Annotated[str | None, typer.Option(help="Only with this own account.")] = None,
    run: Annotated[str | None, typer.Option(help="Only seen in this run.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Cases that one has.")] = False,
    cases: Annotated[bool, typer.Option("--cases", help="Cases instead of alerts.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 30,
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """List alerts, or cases, the most severe first; closed ones with --status closed.

    Examples:

      undercurrent alerts list --status open --severity high

      undercurrent alerts list --mine

      undercurrent alerts list --cases --json
    """
    place = DeskPlace.of(node, url)
    if cases or mine:
        if status == "in-case" or any(value is not None for value in (rule, account, run)):
            raise ParameterError(
                "--status in-case, --rule, --account and --run choose alerts",
                "Leave them out with --cases and --mine",
            )
        who = place.ask("GET", "/me")["person"]["name"] if mine else None
        query = {"severity": severity, "assignee": who, "limit": limit}
        found = place.ask("GET", "/cases", query=query | {"state": _STATES[status or "open"]})
    else:
        query = {"severity": severity, "rule": rule, "account": account, "run": run, "limit": limit}
        found = _alerts_of(place, ("open", "in-case") if status is None else (status,), query)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    if cases or mine:
        alert_tables.show_cases(found["cases"])
    else:
        alert_tables.show_alerts(found["alerts"])
    if found["next"] is not None:
        typer.echo(f"the first {limit}; for more: --limit")


def _alerts_of(
    place: DeskPlace, statuses: tuple[_Status, ...], query: dict[str, Any]
) -> dict[str, Any]:
    """Return one page of the alerts with any of these statuses, which the API gives one by one.

    Whoever is put into a case in between is in both answers, and stands here once.
    """
    pages = [place.ask("GET", "/alerts", query=query | {"status": s}) for s in statuses]
    found = {alert["id"]: alert for page in pages for alert in page["alerts"]}
    ordered = sorted(found.values(), key=lambda a: (-_LEVELS.index(a["severity"]), a["id"]))
    shown = ordered[: query["limit"]]
    more = len(ordered) > len(shown) or any(page["next"] is not None for page in pages)
    return {"alerts": shown, "next": shown[-1]["id"] if more and shown else None}


@app.command("evaluate")
def evaluate(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run with scores or bands.")],
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Raise alerts from a stored result by today's rules; for an operator.

    Results are evaluated when they are stored; this is for rules that failed
    then, or that are new. By the same rules it changes nothing.

    Example:

      undercurrent alerts evaluate slot-3bd27d6618610ee0
    """
    done = DeskPlace.of(node, url).ask("POST", f"/runs/{quote(run, safe='')}/evaluation")
    if as_json:
        typer.echo(json.dumps(done, indent=2))
    elif done["repeated"]:
        typer.echo("these rules had been through this result before; nothing was done")
    else:
        typer.echo(
            f"{done['raised']} alerts raised, {done['updated']} seen again,"
            f" of {done['accounts']:,} accounts"
        )


@app.command("show")
def show(
    id_: case_steps.IdArgument,
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show why there is an alert, or a case with its journal.

    Examples:

      undercurrent alerts show A12

      undercurrent alerts show C7 --json
    """
    wanted, place = reference(id_), DeskPlace.of(node, url)
    found = place.ask("GET", f"/{wanted.kind}s/{wanted.number}")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif wanted.kind == "alert":
        alert_tables.show_alert(found)
    else:
        alert_tables.show_case(found)


@app.command("export")
def export(
    id_: Annotated[str, typer.Argument(metavar="ID", help="C7, or an alert that is in a case.")],
    kind: Annotated[
        _Kind, typer.Option("--as", help="html (printable), json, ftm, goaml (draft), csv.")
    ],
    out: Annotated[Path | None, typer.Option(help="File. [default: case-7.html and so on]")] = None,
    country: Annotated[str | None, typer.Option(help="Whose goAML profile, as NL.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    node: NodeOption = None,
    url: UrlOption = "",
) -> None:
    """Write a case into a file that only this user can read (0600).

    Examples:

      undercurrent alerts export C7 --as html --out case-7.html

      undercurrent alerts export C7 --as goaml --country NL
    """
    place = DeskPlace.of(node, url)
    number = case_steps.case_of(place, reference(id_))["id"]
    path = out or Path(f"case-{number}.{_KINDS[kind]}")
    if path.exists() and not force:
        raise OutputExistsError(f"{path} is there already", "Choose another file, or --force")
    query = {"country": country}
    content = place.fetch("GET", f"/cases/{number}/exports/{_KINDS[kind]}", query=query).content
    try:
        (replace_file if force else create_file)(path, content)
    except FileExistsError:
        raise OutputExistsError(
            f"{path} is there already", "Choose another file, or --force"
        ) from None
    Console(highlight=False, soft_wrap=True).print(Text(f"{path}: {len(content):,} bytes"))


@rules_app.command("show")
def show_rules(node: NodeOption = None, url: UrlOption = "", as_json: JsonOption = False) -> None:
    """Show the rules as they stand in the node's file now.

    Example:

      undercurrent alerts rules show
    """
    found = DeskPlace.of(node, url).ask("GET", "/rules")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        alert_tables.show_rules(found)


@rules_app.command("test")
def try_rules(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A rules file (TOML).")],
    rule: Annotated[str | None, typer.Option(help="Only the rule of this name.")] = None,
    runs: Annotated[int, typer.Option(min=1, max=30, help="The last so many runs.")] = 5,
    node: NodeOption = None,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> None:
    """Try rules on stored runs before they go live; nothing is raised.

    Examples:

      undercurrent alerts rules test rules-new.toml

      undercurrent alerts rules test rules-new.toml --rule risk-high --runs 10
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MissingFileError(
            f"{file} cannot be read ({type(error).__name__})", "Name a TOML file in UTF-8"
        ) from error
    body = {"text": text, "rule": rule, "runs": runs}
    tested = DeskPlace.of(node, url).ask("POST", "/rules/test", body)["rules"]
    if as_json:
        typer.echo(json.dumps(tested, indent=2))
    else:
        alert_tables.show_tests(tested)


app.command("next")(case_steps.next_case)
app.command("assign")(case_steps.assign)
app.command("note")(case_steps.note)
app.command("begin")(case_steps.begin)
app.command("escalate")(case_steps.escalate)
app.command("close")(case_steps.close)
app.command("approve")(case_steps.approve)
app.command("send-back")(case_steps.send_back)
app.command("reopen")(case_steps.reopen)
app.command("snooze")(case_steps.snooze)
app.command("wake")(case_steps.wake)
app.command("attach")(case_steps.attach)
