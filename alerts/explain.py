"""An alert explains itself: in sentences, and in tables of what the bank itself knows.

Sources, and there are no others: what the runs released for the bank's own accounts (the sightings
and the stored results), facts of the runs that every member knows, and the bank's own payments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from alerts.errors import NotFound
from alerts.local_view import LocalView, ResultHistory, require_own
from alerts.people import Person
from alerts.queries import Seen, accounts_of, show_alert, sightings
from alerts.sentences import Sentence, Value
from alerts.views import AlertView

__all__ = ["Explanation", "explain"]

_DAY = 86_400_000_000
_NO_HISTORY = pa.schema(
    [
        ("account", pa.string()),
        ("analysis", pa.string()),
        ("run_id", pa.string()),
        ("policy", pa.string()),
        ("at", pa.int64()),
        ("value", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Explanation:
    """Why there is an alert.

    Attributes:
        alert: the alert. accounts: own accounts behind it. sentences: why; ``str`` of
            one gives it in English.
        seen: what each run said. runs: analysis → facts of the last run that saw it.
        history: stored results of the accounts (account, analysis, run_id, policy, at, value).
        metrics, transactions, counterparties, slices: own payments in the run's window, as
        :class:`alerts.local_view.LocalView` gives them; the latest and largest where they are many.
    """

    alert: AlertView
    accounts: tuple[str, ...]
    sentences: tuple[Sentence, ...]
    seen: tuple[Seen, ...]
    runs: Mapping[str, Any]
    history: pa.Table
    metrics: pa.Table
    transactions: pa.Table
    counterparties: pa.Table
    slices: pa.Table


def explain(
    session: Session,
    person: Person,
    alert_id: int,
    view: LocalView,
    history: ResultHistory | None = None,
    *,
    limit: int = 200,
    slice_us: int = _DAY,
) -> Explanation:
    """Explain an alert to a person who may see it.

    Args:
        session: the caller's transaction. person: who asks. alert_id: the alert.
        view: own payments. history: own stored results, if they are kept.
        limit: most rows of payments and counterparties. slice_us: length of a slice.
    """
    alert = show_alert(session, person, alert_id)
    seen = sightings(session, person, alert_id)
    if not seen:
        raise NotFound(f"what the runs said about alert {alert_id} is forgotten", "see its case")
    names = accounts_of(session, person, [alert_id])
    accounts = pa.array(names, pa.string())
    require_own(view, accounts, f"alert {alert_id}")
    runs = seen[-1].figures["runs"]
    window = _window(runs)
    metrics = view.metrics(accounts, *window)
    counterparties = view.counterparties(accounts, *window, limit)
    slices = view.slices(accounts, *window, slice_us)
    past = history.history(accounts) if history is not None else _NO_HISTORY.empty_table()
    sentences = [
        _about(alert),
        *_run_sentences(runs),
        *_value_sentences(seen[-1].figures),
        _seen_sentence(seen),
        _money_sentence(view, metrics, slices, window),
        *_counterparty_sentence(view, counterparties),
    ]
    return Explanation(
        alert=alert,
        accounts=tuple(names),
        sentences=tuple(sentences),
        seen=tuple(seen),
        runs=runs,
        history=past,
        metrics=metrics,
        transactions=view.transactions(accounts, *window, limit),
        counterparties=counterparties,
        slices=slices,
    )


def _window(runs: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the window of the first analysis of the rule."""
    first = next(iter(runs.values()))
    return first["since"], first["until"]


def _about(alert: AlertView) -> Sentence:
    kind, _colon, name = alert.subject.partition(":")
    return Sentence(f"about_{kind}", {"name": _text(name), "reason": _text(alert.reason)})


def _run_sentences(runs: Mapping[str, Any]) -> Sequence[Sentence]:
    return [
        Sentence(
            "run" if run["agreement"] else "lab",
            {
                "analysis": _text(analysis),
                "run": _text(run["run_id"]),
                "at": Value("time", run["at"]),
                "policy": _text(run["policy"]),
                "agreement": _text(run["agreement"][:12]),
            },
        )
        for analysis, run in runs.items()
    ]


def _value_sentences(figures: Mapping[str, Any]) -> Sequence[Sentence]:
    """Say the values of the most telling accounts, up to three."""
    return [
        Sentence(
            "value",
            {
                "account": _text(account["account"]),
                "analysis": _text(analysis),
                "value": Value("number", pair["value"]),
                "previous": Value("number", pair["previous"]),
            },
        )
        for account in figures["accounts"][:3]
        for analysis, pair in account["values"].items()
    ]


def _seen_sentence(seen: Sequence[Seen]) -> Sentence:
    first, last = Value("time", seen[0].at), Value("time", seen[-1].at)
    return Sentence("seen", {"runs": Value("count", len(seen)), "first": first, "last": last})


def _money_sentence(
    view: LocalView, metrics: pa.Table, slices: pa.Table, window: tuple[int | None, int | None]
) -> Sentence:
    """Say how much came and went; payments from the slices, where each counts once."""
    inflow, outflow = (pc.sum(metrics[name]).as_py() or 0 for name in ("inflow", "outflow"))
    payments = pc.sum(slices["payments"]).as_py() or 0
    since, until = (Value("time", moment) for moment in window)
    return Sentence(
        "payments",
        {
            "since": since,
            "until": until,
            "accounts": Value("count", len(metrics)),
            "received": _money(view, inflow),
            "paid": _money(view, outflow),
            "payments": Value("count", payments),
        },
    )


def _counterparty_sentence(view: LocalView, counterparties: pa.Table) -> Sequence[Sentence]:
    if not len(counterparties):
        return []
    top = counterparties.slice(0, 1).to_pylist()[0]
    values = {
        "account": _text(top["account"]),
        "bank": _text(top["bank"]),
        "received": _money(view, top["received"]),
        "paid": _money(view, top["paid"]),
    }
    own = top["bank"] == view.bank
    return [Sentence("own_counterparty" if own else "counterparty", values)]


def _text(value: str) -> Value:
    return Value("text", value)


def _money(view: LocalView, minor: int) -> Value:
    return Value("money", minor, view.decimals, view.currency)
