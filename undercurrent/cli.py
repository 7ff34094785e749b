"""The command ``undercurrent``.

Every command tells in one line what is wrong and what to do, and ends with an exit code: 0 done, 1
failed, 2 wrong usage or input, 3 refused by policy, 4 a peer failed, 130 interrupted.
"""

import os
import sys
from typing import Annotated

import typer
from rich.console import Console
from typer.exceptions import TyperException

import simdata.cli
from alerts import AlertsError
from bank_node.errors import UndercurrentError
from graph_mpc.errors import EngineError
from graph_mpc.session import PeerError, SessionError
from undercurrent import (
    __version__,
    alerts,
    audit,
    bench,
    consortium,
    demo,
    doctor,
    lab,
    node,
    people,
    runs,
    trace,
)

__all__ = ["app", "main"]

_INTERRUPTED = "interrupted; nothing was left half-written"

app = typer.Typer(
    name="undercurrent",
    help="Joint money-laundering detection for banks that may not share their data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(simdata.cli.app, name="simdata")
app.add_typer(lab.app, name="lab")
app.add_typer(node.app, name="node")
app.add_typer(consortium.app, name="consortium")
app.add_typer(runs.app, name="runs")
app.add_typer(alerts.app, name="alerts")
app.add_typer(people.app, name="people")
app.add_typer(audit.app, name="audit")
app.command("trace")(trace.trace)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"undercurrent {__version__}")
        raise typer.Exit


@app.callback()
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
    try:
        result = app(arguments, prog_name="undercurrent", standalone_mode=False)
    except TyperException as error:
        return _explain_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(_INTERRUPTED, 130)
    except (UndercurrentError, AlertsError) as error:
        return _complain(str(error), error.exit_code)
    except EngineError as error:
        return _complain(str(error), error.exit_code)
    except SessionError as error:
        return _complain(str(error), 4 if isinstance(error, PeerError) else 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror}. Check the path, its access and the disk", 1)
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
    return _complain(f"{message.removesuffix('.')}. See {command} --help", 2)


def _complain(message: str, exit_code: int) -> int:
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"undercurrent: {message}", markup=False
    )
    return exit_code
