"""Alerts, cases and back-tests on the terminal; no words in them are obeyed by it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["show_alert", "show_alerts", "show_case", "show_cases", "show_rules", "show_tests"]

_PAYMENTS = 15
_OTHERS = 5
_Row = Mapping[str, Any]


def show_alerts(alerts: Sequence[_Row]) -> None:
    """Print a list of alerts."""
    rows = [(f"A{a['id']}", a["severity"], _where(a), _subject(a), a["reason"]) for a in alerts]
    _list(("alert", "severity", "status", "about", "why"), rows, "no alerts")


def show_cases(cases: Sequence[_Row]) -> None:
    """Print a list of cases."""
    rows = [
        (f"C{c['id']}", c["severity"], c["state"], _subject(c), c["assignee"] or "nobody")
        for c in cases
    ]
    _list(("case", "severity", "state", "about", "with"), rows, "no cases")


def show_alert(found: _Row) -> None:
    """Print why there is an alert."""
    console, alert = _console(), found["alert"]
    console.print(_text(f"A{alert['id']}  {alert['severity']}, {_where(alert)}, {alert['rule']}"))
    for sentence in found["sentences"]:
        console.print(_text(f"- {sentence}"))
    if found["history"]:
        console.print(_values(found["history"]))
    _show_money(console, found)
    others = ", ".join(f"A{a['id']}" for a in found["others"])
    if others:
        console.print(_text(f"other alerts of the same customer: {others}"))


def show_case(found: _Row) -> None:
    """Print a case with its journal."""
    console, case = _console(), found["case"]
    console.print(_text(_heading(case)))
    for alert in found["alerts"]:
        console.print(_text(f"- A{alert['id']} {alert['severity']}: {alert['reason']}"))
    journal = _table(("when", "who", "what", "note"), "journal")
    for entry in found["journal"]:
        journal.add_row(
            *map(_text, (_minute(entry["at"]), entry["person"], entry["action"], entry["note"]))
        )
    console.print(journal)
    for trace in found["traces"]:
        words = f"trace {trace['number']}: {trace['title']} ({trace['rows_total']} rows)"
        console.print(_text(words))
    _show_money(console, found)
    console.print(_text(f"you may now: {', '.join(found['actions']) or 'only read'}"))
    console.print(
        _text(f"cannot approve its closing: {', '.join(found['worked']) or 'nobody yet'}")
    )


def show_rules(found: _Row) -> None:
    """Print the rules as they stand."""
    rows = [
        (
            r["name"],
            r["severity"],
            "; ".join(_condition(c) for c in r["joint"]) + f" ({r['enough']} of {len(r['joint'])})",
            "; ".join(_local(c) for c in r["local"]),
        )
        for r in found["rules"]
    ]
    _list(("rule", "severity", "joint results", "own payments"), rows, "no rules")
    _console().print(_text(f"rules {found['digest'][:16]}"))


def show_tests(tested: Iterable[_Row]) -> None:
    """Print what rules would have done."""
    table = _table(("rule", "run", "accounts", "customers", "new"), "")
    lines = []
    for rule in tested:
        for run in rule["runs"]:
            cells = (rule["rule"], run["run_id"][:12], run["accounts"], run["customers"])
            table.add_row(*(_text(str(cell)) for cell in (*cells, run["new"])))
        known = "" if rule["precision"] is None else f", {rule['precision']:.0%} worth the work"
        lines.append(
            f"{rule['rule']}: {rule['customers']} customers; {rule['confirmed']} confirmed,"
            f" {rule['false_alarms']} false alarms, {rule['unknown']} not known{known}"
        )
    console = _console()
    console.print(table)
    for line in lines:
        console.print(_text(line))


def _show_money(console: Console, found: _Row) -> None:
    payments = found["transactions"]
    if payments:
        shown = payments[-_PAYMENTS:]
        title = f"own payments, the last {len(shown)} of {len(payments)} ({found['currency']})"
        table = _table(("when", "from", "to", "amount"), title)
        for p in shown:
            ends = (_end(p["from_bank"], p["from_account"]), _end(p["to_bank"], p["to_account"]))
            table.add_row(*map(_text, (_minute(p["timestamp"]), *ends, p["amount"])))
        console.print(table)
    for other in found["counterparties"][:_OTHERS]:
        console.print(
            _text(
                f"with {_end(other['bank'], other['account'])}: received {other['received']},"
                f" paid {other['paid']} in {other['payments']} payments"
            )
        )


def _values(history: Sequence[_Row]) -> Table:
    table = _table(("when", "account", "analysis", "value", "run"), "results over runs")
    for value in history:
        cells = (_minute(value["at"]), value["account"], value["analysis"])
        table.add_row(*map(_text, (*cells, f"{value['value']:g}", value["run_id"][:9])))
    return table


def _heading(case: _Row) -> str:
    words = f"C{case['id']}  {case['severity']}, {case['state']}, {_subject(case)}"
    words += f", with {case['assignee']}" if case["assignee"] else ", with nobody"
    if case["outcome"]:
        words += f", as {case['outcome']}"
    if case["snoozed_until"]:
        words += f", sleeps until {case['snoozed_until']}"
    return words


def _condition(condition: _Row) -> str:
    reached = "" if condition["reached"] is None else f" ≥ {condition['reached']:g}"
    rise = "" if condition["rise"] is None else f" +{condition['rise']:g}"
    return f"{condition['analysis']}{reached}{rise}"


def _local(condition: _Row) -> str:
    low = "" if condition["min"] is None else f" ≥ {condition['min']:g}"
    high = "" if condition["max"] is None else f" ≤ {condition['max']:g}"
    return f"{condition['metric']}{low}{high}"


def _where(alert: _Row) -> str:
    return (
        f"C{alert['case_id']}"
        if alert["case_id"] and alert["status"] != "closed"
        else str(alert["status"])
    )


def _subject(row: _Row) -> str:
    kind, _colon, name = str(row["subject"]).partition(":")
    return f"{kind} {name}"


def _end(bank: str, account: str) -> str:
    return f"{bank} {account}"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _list(names: Sequence[str], rows: Sequence[Sequence[Any]], none: str) -> None:
    console = _console()
    if not rows:
        console.print(none)
        return
    table = _table(names, "")
    for row in rows:
        table.add_row(*(_text(str(cell)) for cell in row))
    console.print(table)


def _table(names: Sequence[str], title: str) -> Table:
    table = Table(title=title or None, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in ("alert", "case", "severity"))
    return table


def _text(words: str) -> Text:
    """Return words without what a terminal would obey; never read as markup."""
    return Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in words))


def _console() -> Console:
    return Console(highlight=False)
