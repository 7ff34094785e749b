"""An agreement as tables in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["print_agreement"]

_SIGNATURE = {"valid": "signed", "missing": "not signed", "invalid": "[bold red]INVALID[/]"}


def print_agreement(told: Mapping[str, Any], console: Console) -> None:
    """Print what ``bank_node.consortium.summary.summarise`` tells."""
    console.print(
        f"[bold]{told['consortium']}[/], version {told['version']}: from {told['effective']}"
        f" until {told['expires']} ({told['state']})",
        highlight=False,
    )
    console.print(f"hash {told['hash']}", highlight=False, soft_wrap=True)
    console.print(f"\n{escape(told['scope'])}\n", highlight=False)
    console.print(_members(told["members"]))
    console.print(_analyses(told["analyses"]))
    console.print(_schedules(told["schedules"]))
    budgets = told["budgets"]
    others = "".join(f"; {bank} {bits:,}" for bank, bits in budgets["banks"].items())
    console.print(
        f"At most {budgets['bits']:,} bits to each bank per {budgets['period']}{others}",
        highlight=False,
    )
    if "change" in told:
        _print_change(told["change"], console)


def _members(members: list[dict[str, Any]]) -> Table:
    table = _table("Members", "id", "role", "BIC", "workers at", "key", "certificate until", "")
    for m in members:
        ports = f"{m['ports'][0]}-{m['ports'][0] + m['ports'][1] - 1}"
        table.add_row(
            m["id"],
            m["role"],
            m["bic"],
            f"{m['host']} {ports}",
            f"{m['key'][:16]}...",
            m["certificate_expires"][:10],
            _SIGNATURE[m["signature"]],
        )
    return table


def _analyses(analyses: list[dict[str, Any]]) -> Table:
    table = _table("Analyses", "name", "policies", "longest window", "who", "parameters")
    for a in analyses:
        rules = "\n".join(f"{name}: {escape(text)}" for name, text in a["parameters"].items())
        table.add_row(
            f"{a['name']} {a['version']}",
            "\n".join(a["policies"]),
            a["max_window"] or "-",
            a["who"] if isinstance(a["who"], str) else ", ".join(a["who"]),
            rules + (f"\n{a['prepare']} runs prepared at once" if a["prepare"] else ""),
        )
    return table


def _schedules(schedules: list[dict[str, Any]]) -> Table:
    table = _table("Schedules (UTC)", "name", "analysis", "when", "window", "valid", "next")
    for s in schedules:
        what = f"{s['analysis']}, prepares {s['prepare']}" if s["prepare"] else s["analysis"]
        table.add_row(
            s["name"], what, escape(s["cron"]), s["window"] or "-", s["valid"], s["next"] or "-"
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_change(change: Mapping[str, Any], console: Console) -> None:
    console.print("\n[bold]Against the version before[/]")
    for name, label in (
        ("removed", "members removed"),
        ("added", "members added"),
        ("keys_changed", "keys changed"),
        ("schedules_kept", "schedules that go on"),
        ("schedules_dropped", "schedules dropped"),
        ("schedules_new", "schedules that begin"),
    ):
        if change[name]:
            console.print(f"{label}: {', '.join(change[name])}", highlight=False)
    columns = "discarded" if change["columns"] == "discard" else "kept"
    budgets = "begin anew" if change["budgets"] == "reset" else "carry what was spent"
    console.print(f"prepared columns: {columns}; budgets: {budgets}", highlight=False)
