"""``undercurrent trace``: where the money of own accounts went, asked of the running node."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bank_node.errors import OutputExistsError, ParameterError
from bank_node.node.client import ask
from bank_node.node.config import default_folder
from undercurrent.options import JsonOption, NodeOption, parse_pairs
from undercurrent.rows import show_rows, write_rows
from undercurrent.waiting import wait_for_run

__all__ = ["trace"]


def trace(
    accounts: Annotated[
        list[str],
        typer.Argument(
            metavar="ACCOUNT...", help="Own accounts to start from; - reads them, one a line."
        ),
    ],
    since: Annotated[str, typer.Option(help="First day.")],
    until: Annotated[str, typer.Option(help="Day after the last.")],
    hops: Annotated[int, typer.Option(min=1, help="At most so many hops.")] = 3,
    slice_: Annotated[str, typer.Option("--slice", help="Length of a time slice.")] = "1d",
    direction: Annotated[
        str, typer.Option(help="forward: where it went; backward: where it came from.")
    ] = "forward",
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="KEY=VALUE", help="Further parameters.")
    ] = None,
    policy: Annotated[
        str, typer.Option(help="Output policy. [default: the first that the agreement allows]")
    ] = "",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do not use columns prepared ahead.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the rows as CSV.")] = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow the money of own accounts through the banks of the consortium.

    No other bank learns which accounts are asked about. The answer holds own
    accounts only: what each received, and what came back to the start.
    An account on the command line stays in the shell's history; with - the
    accounts are read from the standard input instead.

    Examples:

      undercurrent trace ACCOUNT --since 2026-01-01 --until 2026-02-01

      undercurrent trace - --since 2026-01-01 --until 2026-01-15 --hops 4

      undercurrent trace ACCOUNT --direction backward --since ... --until ...
    """
    parameters = {key: str(value) for key, value in parse_pairs(parameter or []).items()}
    parameters |= {"since": since, "until": until, "hops": str(hops)}
    parameters |= {"slice": slice_, "direction": direction}
    if out is not None and out.exists():
        raise OutputExistsError(f"{out} is there already", "Choose another file")
    body = {
        "accounts": _accounts(accounts),
        "parameters": parameters,
        "policy": policy,
        "prepared": not fresh,
    }
    folder = node or default_folder()
    run = wait_for_run(folder, ask(folder, "POST", "/trace", body)["run_id"], quiet=as_json)
    if run["phase"] != "stored":
        _explain(run, as_json=as_json)
    result = ask(folder, "GET", f"/runs/{run['run_id']}/result")
    if out is not None:
        write_rows(out, result)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        show_rows(result, out)


def _accounts(given: list[str]) -> list[str]:
    """Return the accounts; - stands for those on the standard input."""
    if given != ["-"]:
        return given
    lines = [line.strip() for line in sys.stdin if line.strip()]
    if not lines:
        raise ParameterError("there is no account on the standard input", "Write one a line")
    return lines


def _explain(run: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(run, indent=2))
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"undercurrent: the trace was {run['phase']}: {run['reason']}", markup=False
    )
    is_policy = run["phase"] == "refused" or str(run["code"]).startswith(("consortium.", "store."))
    raise typer.Exit(3 if is_policy else 4)
