"""The commands ``undercurrent runs``: joint runs of the running node."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bank_node.errors import OutputExistsError
from bank_node.node.client import ask
from bank_node.node.config import default_folder
from undercurrent.options import JsonOption, NodeOption, parse_pairs
from undercurrent.rows import show_rows, write_rows
from undercurrent.waiting import describe_time, wait_for_run

__all__ = ["app"]

app = typer.Typer(
    help="Joint runs: propose, approve, reject, list, show, result.", no_args_is_help=True
)


@app.callback()
def _runs() -> None:
    """Joint runs: propose, approve, reject, list, show, result."""


@app.command("propose")
def propose(
    analysis: Annotated[str, typer.Option(help="Name of the analysis, for example pagerank.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="KEY=VALUE", help="A parameter; repeatable.")
    ] = None,
    policy: Annotated[
        str, typer.Option(help="Output policy. [default: the first that the agreement allows]")
    ] = "",
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="Run on synthetic data that every node makes.")
    ] = False,
    prepare: Annotated[
        int, typer.Option(min=0, help="Prepare columns for so many later runs instead.")
    ] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end of the run.")] = False,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a joint run to all members of the consortium.

    Every node checks it against the agreement, its own policy and the budgets,
    and consents or refuses with a reason. It starts when all have consented.

    Examples:

      undercurrent runs propose --analysis pagerank --rehearse --wait

      undercurrent runs propose --analysis risk-propagation -p iterations=2

      undercurrent runs propose --analysis trace -p traces=BANKA=1 --prepare 5
    """
    parameters = {key: str(value) for key, value in parse_pairs(parameter or []).items()}
    body = {"analysis": analysis, "parameters": parameters, "policy": policy}
    folder = node or default_folder()
    run = ask(folder, "POST", "/runs", body | {"rehearse": rehearse, "prepare_runs": prepare})
    if wait:
        run = wait_for_run(folder, run["run_id"], quiet=as_json)
    _tell(run, as_json=as_json)


@app.command("approve")
def approve(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its start.")],
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Consent to a run that waits for a person.

    Example:

      undercurrent runs approve 3f9a
    """
    _tell(ask(node or default_folder(), "POST", f"/runs/{run_id}/approve"), as_json=as_json)


@app.command("reject")
def reject(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its start.")],
    reason: Annotated[str, typer.Option(help="Why; the other members are told.")] = "",
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse a run that waits for a person, or give up one that has not begun.

    Example:

      undercurrent runs reject 3f9a --reason "not before the audit"
    """
    body = {"reason": reason}
    run = ask(node or default_folder(), "POST", f"/runs/{run_id}/reject", body)
    _tell(run, as_json=as_json)


@app.command("list")
def list_runs(
    only_open: Annotated[bool, typer.Option("--open", help="Only runs that are not over.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="At most so many.")] = 20,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List joint runs, the newest first.

    Examples:

      undercurrent runs list

      undercurrent runs list --open --json
    """
    query: dict[str, Any] = {"limit": limit} | ({"open": "1"} if only_open else {})
    runs = ask(node or default_folder(), "GET", "/runs", **query)
    if as_json:
        typer.echo(json.dumps(runs, indent=2))
        return
    console = Console()
    if not runs:
        console.print("no runs yet")
        return
    table = Table()
    for name in ("run", "analysis", "by", "created", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for run in runs:
        row = (
            run["run_id"][:9],
            run["analysis"] + _kind(run),
            run["schedule"] or run["proposer"],
            describe_time(run["created"])[5:16],
            run["phase"],
            run["reason"] or _waits(run),
        )
        # Words of other members are shown as they are, never as markup.
        table.add_row(*map(Text, row))
    console.print(table)


@app.command("show")
def show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its start.")],
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run: parameters, where each member stands, what it may disclose.

    Example:

      undercurrent runs show 3f9a
    """
    _tell(ask(node or default_folder(), "GET", f"/runs/{run_id}"), as_json=as_json)


@app.command("result")
def result(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or its start.")],
    out: Annotated[Path | None, typer.Option(help="Write the rows as CSV (0600).")] = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a run released to this bank; that it was read goes into the audit log.

    Examples:

      undercurrent runs result 3f9a

      undercurrent runs result 3f9a --out bands.csv
    """
    if out is not None and out.exists():
        raise OutputExistsError(f"{out} is there already", "Choose another file")
    found = ask(node or default_folder(), "GET", f"/runs/{run_id}/result")
    if out is not None:
        write_rows(out, found)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        show_rows(found, out)


def _kind(run: dict[str, Any]) -> str:
    """Return a mark for runs without a result of their own."""
    if run["rehearsal"]:
        return ", rehearsal"
    return ", columns" if run["prepare_runs"] else ""


def _stands(stated: dict[str, Any]) -> str:
    """Return where a member stands: phase, how far its worker is, why it said no."""
    progress = stated.get("progress")
    far = f" ({progress['phase']} {progress['done']}/{progress['total']})" if progress else ""
    return f"{stated['phase']}{far} {stated.get('reason', '')}".rstrip()


def _waits(run: dict[str, Any]) -> str:
    if run["waiting_for"]:
        return f"waits for {run['waiting_for']}"
    progress = run["progress"]
    return f"{progress['phase']} {progress['done']}/{progress['total']}" if progress else ""


def _tell(run: dict[str, Any], *, as_json: bool) -> None:
    """Print a run in full or in some lines; a run that was refused or given up ends with a code."""
    if as_json:
        typer.echo(json.dumps(run, indent=2))
    else:
        _print(run)
    if run["phase"] in ("refused", "abandoned"):
        refused = str(run["code"]).startswith(("consortium.", "store.budget", "node.policy"))
        raise typer.Exit(3 if refused or run["phase"] == "refused" else 4)


def _print(run: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(
        f"[bold]{run['run_id']}[/bold]  {run['analysis']}, {run['policy']}", soft_wrap=True
    )
    console.print(
        f"proposed by {run['schedule'] or run['proposer']}, {describe_time(run['created'])}"
    )
    if run.get("parameters"):
        words = ", ".join(f"{k}={v}" for k, v in sorted(run["parameters"].items()))
        console.print(f"parameters: {words}", soft_wrap=True, markup=False)
    state = f"{run['phase']}" + (f", attempt {run['attempt']}" if run["attempt"] else "")
    console.print(f"here: {state}  {run['reason'] or _waits(run)}", soft_wrap=True, markup=False)
    for member, stated in sorted(run.get("members", {}).items()):
        told = "nothing heard" if stated is None else _stands(stated)
        console.print(f"  {member}: {told}", soft_wrap=True, markup=False)
    if run["trouble"]:
        words = f"the last failure here: {run['trouble']}"
        console.print(words, soft_wrap=True, markup=False)
    measured = run["measured"]
    if measured:
        sent = measured["bytes_sent"] / 1e6
        console.print(f"computed in {measured['seconds']:.1f} s, {sent:,.1f} MB sent from here")
    if any(run["bits"].values()):
        words = ", ".join(f"{bank} {bits:,}" for bank, bits in sorted(run["bits"].items()))
        console.print(f"discloses at most (bits): {words}", markup=False)
