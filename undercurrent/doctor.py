"""The command ``undercurrent doctor``."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bank_node.node.config import default_folder
from bank_node.operation.doctor import examine
from bank_node.operation.findings import Finding, is_sound

__all__ = ["doctor", "findings_table"]

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "bold red"}


def doctor(
    node: Annotated[
        Path | None, typer.Option("--node", metavar="DIR", help="The node's folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at all that a node needs, and say what to do.

    Keys and certificates, the agreement, the broker, the way to the other
    members, clocks, disks, the database and its audit log, the source of
    transactions, versions. Nothing is changed, and no account is shown.

    The exit code is 0 if there is no fault (warnings do not count), else 1.

    Examples:

      undercurrent doctor

      undercurrent doctor --node /var/lib/undercurrent/bank-a --json
    """
    folder = default_folder() if node is None else node
    console = Console(stderr=True)
    with console.status("looking at the node", spinner="dots"):
        findings = list(examine(folder, time.time_ns() // 1000))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        out = Console()
        out.print(findings_table(findings))
        out.print(_summary(findings), highlight=False)
    if not is_sound(findings):
        raise typer.Exit(1)


def findings_table(findings: list[Finding]) -> Table:
    """Return the findings as a table, each with what to do about it."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column("state", no_wrap=True)
    table.add_column("what", max_width=30)
    table.add_column("found")
    for finding in findings:
        words = Text(finding.text)
        if finding.remedy:
            words.append(f"\n{finding.remedy}", style="dim")
        state = Text(finding.state, style=_COLOURS[finding.state])
        table.add_row(state, Text(finding.name), words)
    return table


def _summary(findings: list[Finding]) -> str:
    faults = sum(finding.state == "fault" for finding in findings)
    warnings = sum(finding.state == "warning" for finding in findings)
    if not faults and not warnings:
        return "all is well"
    return f"faults: {faults}, warnings: {warnings}"
