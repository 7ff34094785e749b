"""The commands ``undercurrent audit``: the node's audit log, read from its database."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bank_node.consortium import Book
from bank_node.files import new_file
from bank_node.node.config import default_folder, read_config
from bank_node.node.own_keys import own_keys
from bank_node.store import Database, audit
from undercurrent.options import JsonOption, NodeOption
from undercurrent.waiting import describe_time

__all__ = ["app"]

app = typer.Typer(help="The audit log: show, verify, export.", no_args_is_help=True)


@app.callback()
def _audit() -> None:
    """The audit log: show, verify, export."""


@app.command("show")
def show(
    run_id: Annotated[str, typer.Option("--run", help="Only entries about this run.")] = "",
    after: Annotated[int, typer.Option(min=0, help="Only entries after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who did what, when, under which manifest, and what it disclosed.

    Without --after the last entries are shown.

    Examples:

      undercurrent audit show --limit 20

      undercurrent audit show --run 3f9a... --json
    """
    database = Database.open(read_config(node or default_folder()).store_url)
    try:
        with database.read() as session:
            head = audit.head(session)
            start = after or max((head.number if head else 0) - limit, 0)
            first = 0 if run_id and not after else start
            found = audit.entries(session, after=first, limit=limit, run_id=run_id or None)
    finally:
        database.close()
    if as_json:
        typer.echo(json.dumps([vars(e) | {"details": json.loads(e.details)} for e in found]))
        return
    table = Table()
    for name in ("no.", "time", "who", "what", "run"):
        table.add_column(name, no_wrap=True)
    table.add_column("details", overflow="fold")
    for entry in found:
        row = (
            str(entry.number),
            describe_time(entry.at),
            entry.actor,
            entry.action,
            (entry.run_id or "")[:8],
            _in_words(json.loads(entry.details)),
        )
        # Words of other members are shown as they are, never as markup.
        table.add_row(*map(Text, row))
    Console().print(table)


def _in_words(details: dict[str, Any]) -> str:
    """Return the details that fit in a line; --json has all of them."""
    words = []
    for name, value in details.items():
        if isinstance(value, dict):
            inner = {k: v for k, v in value.items() if isinstance(v, int | str) and v}
            value = " ".join(f"{k} {v}" for k, v in inner.items())
            if name in ("manifest", "padded_sizes", "seconds"):
                continue
        if value not in ("", [], None):
            words.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(words)


@app.command("verify")
def verify(
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Check an exported log instead.")
    ] = None,
    node: NodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that no entry was changed, removed, inserted or reordered.

    The entries are chained by hashes and the chain's head is signed with the
    node's key: whoever edits the database cannot mend the chain.

    Examples:

      undercurrent audit verify

      undercurrent audit verify --export audit.jsonl
    """
    config = read_config(node or default_folder())
    keys = own_keys(config, Book(config.agreements))
    if export is not None:
        with export.open(encoding="utf-8") as lines:
            found = audit.verify_export(lines, keys)
    else:
        database = Database.open(config.store_url)
        try:
            with database.read() as session:
                found = audit.verify(session, keys)
        finally:
            database.close()
    if as_json:
        typer.echo(json.dumps({"ok": found.ok, "rows": found.rows, "reason": found.reason}))
    else:
        state = "[green]in order[/]" if found.ok else "[red]tampered with[/]"
        Console(highlight=False).print(f"audit log {state}: {found.reason}")
    if not found.ok:
        raise typer.Exit(1)


@app.command("export")
def export_log(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; must not exist.")],
    node: NodeOption = None,
) -> None:
    """Write the whole log as lines of JSON, for an auditor.

    Example:

      undercurrent audit export audit.jsonl
    """
    database = Database.open(read_config(node or default_folder()).store_url)
    try:
        with database.read() as session, new_file(out) as file:
            file.writelines(f"{line}\n".encode() for line in audit.export(session))
    finally:
        database.close()
    typer.echo(f"audit log: {out}")
