"""The commands ``undercurrent node``: a bank's daemon."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from bank_node.node.client import ask
from bank_node.node.config import default_folder, read_config
from undercurrent.options import JsonOption, NodeOption
from undercurrent.setup import backup, init, restore
from undercurrent.waiting import describe_time

__all__ = ["app"]

app = typer.Typer(
    help="A bank's node: set up, run, look at, take payments in.", no_args_is_help=True
)
app.command("init")(init)
app.command("backup")(backup)
app.command("restore")(restore)


@app.callback()
def _node() -> None:
    """A bank's node: set up, run, look at, take payments in."""


@app.command("run")
def run(node: NodeOption = None) -> None:
    """Run the node until Ctrl-C or SIGTERM; logs go to the standard error.

    Examples:

      undercurrent node run --node /var/lib/undercurrent

      UNDERCURRENT_NODE=/var/lib/undercurrent undercurrent node run
    """
    # The parts of a running node are many; the other commands do not wait for them.
    from bank_node.node.starting import start_node

    start_node(read_config(node or default_folder()))


@app.command("status")
def status(node: NodeOption = None, as_json: JsonOption = False) -> None:
    """Show how the running node stands: agreement, members, runs, budget.

    Examples:

      undercurrent node status

      undercurrent node status --json
    """
    told = ask(node or default_folder(), "GET", "/status")
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _show(told)


@app.command("ingest")
def ingest(node: NodeOption = None, as_json: JsonOption = False) -> None:
    """Let the running node take in what its data source has now.

    Rows that cannot be used are listed with their reason in the folder
    data/rejected of the node. The same rows again change nothing.

    Example:

      undercurrent node ingest --node /var/lib/undercurrent
    """
    told = ask(node or default_folder(), "POST", "/ingest")
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    console = Console(highlight=False)
    console.print(
        f"{told['accepted']:,} of {told['rows']:,} rows taken in, {told['repeated']:,} known"
        f" already, in {told['seconds']:.1f} s; {told['accounts']:,} accounts"
    )
    for reason, count in sorted(told["rejected"].items()):
        console.print(f"  {count:,} rejected: {reason}", markup=False)


def _show(told: dict[str, Any]) -> None:
    console = Console(highlight=False)
    broker = told["broker"]
    reached = "connected" if broker["connected"] else "not connected"
    console.print(f"[bold]{told['node']}[/bold] ({told['role']}) of {told['consortium']}")
    console.print(f"broker {broker['url']}: {reached}", markup=False)
    agreement = told["agreement"]
    if agreement is None:
        why = told["no_agreement"] or "no agreement is in effect: undercurrent consortium install"
        console.print(why, markup=False)
    else:
        console.print(f"agreement version {agreement['version']}, {agreement['hash'][:16]}")
        console.print(_members(told["members"]))
        _show_budget(console, told["budget"])
    runs = ", ".join(f"{n} {phase}" for phase, n in sorted(told["runs"].items()))
    console.print(f"open runs: {runs or 'none'}")
    if told["accounts"] is not None:
        console.print(f"{told['accounts']:,} accounts taken in")
    if told["intake_problem"]:
        console.print(f"taking in: {told['intake_problem']}", markup=False)


def _members(members: dict[str, Any]) -> Table:
    table = Table()
    for name in ("member", "role", "state", "version", "agreement", "last heard"):
        table.add_column(name)
    for member, stands in members.items():
        heard = stands["last_heard"]
        table.add_row(
            member,
            stands["role"],
            "online" if stands["online"] else "away",
            stands["version"],
            "same" if stands["same_agreement"] else "other or none",
            "never" if heard is None else describe_time(heard),
        )
    return table


def _show_budget(console: Console, budget: dict[str, Any]) -> None:
    console.print(f"budget of {budget['period']} (bits left of bits):")
    for bank, stands in sorted(budget["banks"].items()):
        console.print(f"  {bank}: {stands['left']:,} of {stands['bits']:,}", markup=False)
