"""The commands ``undercurrent people``: the users of a node's desk and API.

They work on the node's folder, whether the node runs or not: whoever may read its keys is trusted
to say who its users are.  Each change goes with an entry in the audit log, whose head is signed, in
one transaction.
"""

import json
import os
import pwd
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

from alerts import Role
from bank_node.consortium import Book
from bank_node.errors import EncodingError, ParameterError
from bank_node.node.config import NodeConfig, default_folder, read_config
from bank_node.node.own_keys import own_key, own_keys
from bank_node.node.records import Entry, Records
from bank_node.people import (
    PersonView,
    SignInPolicy,
    UnknownPersonError,
    add_person,
    disable,
    enable,
    end_sessions,
    find_person,
    hash_password,
    issue_token,
    list_people,
    set_password,
    set_role,
)
from bank_node.store import Database
from undercurrent.options import JsonOption, NodeOption
from undercurrent.waiting import describe_time

__all__ = ["app"]

app = typer.Typer(
    help="The users of the desk and the API: add, list, roles, passwords, tokens.",
    no_args_is_help=True,
)

_LONGEST_LINE = 4096
_T = TypeVar("_T")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the user signs in with.")]
FromStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from the first line of the input."),
]


@app.callback()
def _people() -> None:
    """The users of the desk and the API: add, list, roles, passwords, tokens."""


@app.command("add")
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What the user may do.")],
    display: Annotated[str, typer.Option(help="The name as people write it.")] = "",
    password_stdin: FromStdin = False,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a user; asks for the password twice, and never shows it.

    Analysts and supervisors work on alerts, cases and traces; only supervisors
    approve what others investigated. Auditors read all of it and the audit
    log. Operators run the node and see no account.

    Examples:

      undercurrent people add ann --role analyst --display "Ann Smit"

      pass show desk/sue | undercurrent people add sue --role supervisor
      --password-stdin
    """
    config = _config(node)
    hashed = hash_password(_password(from_stdin=password_stdin), name)

    def change(session: Session, at: int) -> tuple[PersonView, dict[str, Any]]:
        made = add_person(session, name, role, display, at=at, password_hash=hashed)
        return made, {"role": made.role.value}

    made = _change(config, "people.added", name, change)
    _tell(made, f"{name} is {made.role} now", as_json=as_json)


@app.command("list")
def list_(node: NodeOption = None, as_json: JsonOption = False) -> None:
    """Show the users, the disabled ones too.

    Examples:

      undercurrent people list

      undercurrent people list --json
    """
    database = Database.open(_config(node).store_url)
    try:
        with database.read() as session:
            found = list_people(session)
    finally:
        database.close()
    if as_json:
        typer.echo(json.dumps([asdict(person) for person in found], indent=2))
        return
    table = Table()
    for column in ("name", "role", "display name", "state", "last seen"):
        table.add_column(column)
    now = _now()
    for person in found:
        seen = "never" if person.last_seen is None else describe_time(person.last_seen)
        row = (person.name, person.role.value, person.display, _state(person, now), seen)
        table.add_row(*map(Text, row))
    Console().print(table)


@app.command("password")
def password(
    name: Name,
    password_stdin: FromStdin = False,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a user another password; all their sessions and tokens end.

    Example:

      undercurrent people password ann
    """
    config = _config(node)
    _check_known(config, name)
    hashed = hash_password(_password(from_stdin=password_stdin), name)

    def change(session: Session, at: int) -> tuple[PersonView, dict[str, Any]]:
        return set_password(session, name, at=at, password_hash=hashed), {}

    made = _change(config, "people.password-set", name, change)
    _tell(made, f"{name} has another password; sessions and tokens ended", as_json=as_json)


@app.command("role")
def role_(
    name: Name,
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="The new role.")],
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a user another role, which holds at once, for open sessions too.

    Roles: analyst, supervisor, auditor, operator.

    Example:

      undercurrent people role ann supervisor
    """

    def change(session: Session, at: int) -> tuple[PersonView, dict[str, Any]]:
        before = find_person(session, name)
        made = set_role(session, name, role, at=at)
        return made, {"role": made.role.value, "before": before.role.value if before else ""}

    made = _change(_config(node), "people.role-set", name, change)
    _tell(made, f"{name} is {made.role} now", as_json=as_json)


@app.command("disable")
def disable_(name: Name, node: NodeOption = None, as_json: JsonOption = False) -> None:
    """Let a user in no more; their sessions and tokens end at once.

    Users are not removed, since journals and the audit log name them.

    Example:

      undercurrent people disable ann
    """

    def change(session: Session, at: int) -> tuple[PersonView, dict[str, Any]]:
        return disable(session, name, at=at), {}

    made = _change(_config(node), "people.disabled", name, change)
    _tell(made, f"{name} is disabled; sessions and tokens ended", as_json=as_json)


@app.command("enable")
def enable_(name: Name, node: NodeOption = None, as_json: JsonOption = False) -> None:
    """Let a user in again who was disabled, or locked out after wrong passwords.

    Example:

      undercurrent people enable ann
    """

    def change(session: Session, at: int) -> tuple[PersonView, dict[str, Any]]:
        return enable(session, name, at=at), {}

    made = _change(_config(node), "people.enabled", name, change)
    _tell(made, f"{name} can sign in", as_json=as_json)


@app.command("token")
def token(
    name: Name,
    label: Annotated[str, typer.Option(help="What it is for, to tell tokens apart.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, help="How long it lasts. [default: as node.toml says]")
    ] = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token with which a program acts as a user; it is shown this once.

    The node keeps a digest of it only. It ends by time, with another password,
    or with people sign-out.

    Examples:

      undercurrent people token ann --label export --days 7

      UNDERCURRENT_TOKEN=$(undercurrent people token ann) undercurrent alerts list
    """
    config = _config(node)
    policy = _policy(config.web.sign_in, days)

    def change(session: Session, at: int) -> tuple[tuple[str, int], dict[str, Any]]:
        made = issue_token(session, name, policy, at=at, label=label)
        return (made.token, made.expires), {"label": label, "expires": made.expires}

    secret, expires = _change(config, "people.token-issued", name, change)
    if as_json:
        typer.echo(json.dumps({"name": name, "token": secret, "expires": expires}, indent=2))
    else:
        typer.echo(secret)
        typer.echo(f"valid until {describe_time(expires)}; shown this once", err=True)


@app.command("sign-out")
def sign_out(name: Name, node: NodeOption = None, as_json: JsonOption = False) -> None:
    """End all sessions and tokens of a user, who can sign in again.

    Example:

      undercurrent people sign-out ann
    """
    config = _config(node)
    _check_known(config, name)

    def change(session: Session, _at: int) -> tuple[int, dict[str, Any]]:
        ended = end_sessions(session, name)
        return ended, {"ended": ended}

    ended = _change(config, "people.sessions-ended", name, change)
    if as_json:
        typer.echo(json.dumps({"name": name, "ended": ended}, indent=2))
    else:
        typer.echo(f"{ended} sessions and tokens of {name} ended")


def _change(
    config: NodeConfig,
    action: str,
    name: str,
    change: Callable[[Session, int], tuple[_T, Mapping[str, Any]]],
) -> _T:
    """Do something about a user, and put it on record, in one transaction."""
    book, at = Book(config.agreements), _now()
    records = Records(
        Database.open(config.store_url),
        book,
        lambda: own_key(config, book, at),
        lambda: own_keys(config, book),
    )
    try:
        with records.database.begin() as session:
            done, details = change(session, at)
            told = {"name": name, "from": "command line", **details}
            records.append_in(session, Entry(_operator(), action, told), at)
        return done
    finally:
        records.close()


def _config(node: Any) -> NodeConfig:
    return read_config(node or default_folder())


def _now() -> int:
    return time.time_ns() // 1000


def _operator() -> str:
    """Return who runs this command, as the operating system knows them."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _check_known(config: NodeConfig, name: str) -> None:
    """Refuse a name that nobody has before anything is asked for."""
    database = Database.open(config.store_url)
    try:
        with database.read() as session:
            known = find_person(session, name) is not None
    finally:
        database.close()
    if not known:
        raise UnknownPersonError(
            f"There is no user {name[:64]!r}", "See who there is: undercurrent people list"
        )


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        line = sys.stdin.buffer.readline(_LONGEST_LINE)
        try:
            return line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:  # whose text would quote the password
            raise EncodingError("The password is not UTF-8", "Send it as UTF-8") from None
    if not sys.stdin.isatty():
        raise ParameterError(
            "There is no terminal to ask for a password on",
            "Send the password on the standard input, with --password-stdin",
        )
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _policy(policy: SignInPolicy, days: int | None) -> SignInPolicy:
    if days is None:
        return policy
    if days > policy.token_days:
        raise ParameterError(
            f"A token lasts at most {policy.token_days} days here, not {days}",
            "Ask for fewer, or raise token_days under [web.sign_in] of node.toml",
        )
    return policy.model_copy(update={"token_days": days})


def _state(person: PersonView, now: int) -> str:
    if person.disabled:
        return "disabled"
    if person.locked_until is not None and now < person.locked_until:
        return f"locked until {describe_time(person.locked_until)}"
    return "active"


def _tell(person: PersonView, words: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(asdict(person), indent=2) if as_json else words)
