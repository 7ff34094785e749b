"""The command ``undercurrent``.

Every command tells in one line what is wrong and what to do, and ends with an exit code: 0 done, 1
failed, 2 wrong usage or input, 3 refused by policy, 4 a peer failed, 130 interrupted.
"""

import importlib
import os
import sys
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from typer.exceptions import TyperException

from undercurrent import __version__

__all__ = ["COMMANDS", "command_line", "main", "run"]

_INTERRUPTED = "interrupted; nothing was left half-written"
_COMPLETION = "_UNDERCURRENT_COMPLETE"  # The shell asks what could come next.


class Place(NamedTuple):
    """Where a command is, and what it is for, so that help need not load it."""

    module: str
    name: str
    purpose: str


COMMANDS = {
    "simdata": Place(
        "simdata.cli",
        "app",
        "Make, import, export or look at labelled data sets that are split over banks.",
    ),
    "lab": Place(
        "undercurrent.lab", "app", "Replay a data set through the real secure code on this machine."
    ),
    "node": Place(
        "undercurrent.node", "app", "A bank's node: set up, run, look at, take payments in."
    ),
    "consortium": Place(
        "undercurrent.consortium",
        "app",
        "The agreement between the members: make, sign, check and install it.",
    ),
    "runs": Place(
        "undercurrent.runs", "app", "Joint runs: propose, approve, reject, list, show, result."
    ),
    "alerts": Place(
        "undercurrent.alerts",
        "app",
        "Alerts and cases: list, show, assign, note, close, approve, export.",
    ),
    "people": Place(
        "undercurrent.people",
        "app",
        "The users of the desk and the API: add, list, roles, passwords, tokens.",
    ),
    "audit": Place("undercurrent.audit", "app", "The audit log: show, verify, export."),
    "trace": Place(
        "undercurrent.trace",
        "trace",
        "Follow the money of own accounts through the banks of the consortium.",
    ),
    "doctor": Place(
        "undercurrent.doctor", "doctor", "Look at all that a node needs, and say what to do."
    ),
    "demo": Place(
        "undercurrent.demo",
        "demo",
        "Simulate three banks and run their nodes: detect jointly and alone, follow the"
        " difference.",
    ),
    "bench": Place(
        "undercurrent.bench",
        "bench",
        "Measure secure PageRank of three banks on this machine, with simulated payments.",
    ),
}


def command_line(*wanted: str) -> typer.Typer:
    """Return the command line, in which only the commands that are wanted can be used.

    Loading all of them takes seconds.  The others are there by name and purpose, for the help and
    for proposals when a name is mistyped.
    """
    app = typer.Typer(
        name="undercurrent",
        help="Joint money-laundering detection for banks that may not share their data.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for command, place in COMMANDS.items():
        if command not in wanted:
            app.command(command, help=place.purpose)(_not_loaded)
            continue
        found = getattr(importlib.import_module(place.module), place.name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command)
        else:
            app.command(command)(found)
    return app


def _not_loaded() -> None:
    raise RuntimeError("a command was chosen that is not among the arguments")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"undercurrent {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Joint money-laundering detection for banks that may not share their data."""


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    wanted = [word for word in arguments if not word.startswith("-")][:1]
    try:
        app = command_line(*(COMMANDS if _COMPLETION in os.environ else wanted))
        result = app(arguments, prog_name="undercurrent", standalone_mode=False)
    except TyperException as error:
        return _explain_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(_INTERRUPTED, 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror}. Check the path, its access and the disk", 1)
    except Exception as error:
        # Every error that a user can mend has one; to name their classes would load the packages.
        exit_code = getattr(error, "exit_code", None)
        if not isinstance(exit_code, int):
            raise
        return _complain(str(error), exit_code)
    if result == 130:  # Typer's word for a KeyboardInterrupt inside a command.
        return _complain(_INTERRUPTED, 130)
    return result if isinstance(result, int) else 0


def _explain_usage(error: TyperException) -> int:
    """Say in one line what is wrong with the arguments; without any, the help says it all."""
    message = " ".join(error.format_message().split())
    if not message or message.startswith("Usage:"):
        typer.echo(error.format_message(), err=True, nl=bool(message))
        return 2
    ctx = getattr(error, "ctx", None)
    command = ctx.command_path if ctx is not None else "undercurrent"
    ended = message if message.endswith((".", "?")) else f"{message}."
    return _complain(f"{ended} See {command} --help", 2)


def _complain(message: str, exit_code: int) -> int:
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"undercurrent: {message}", markup=False
    )
    return exit_code
