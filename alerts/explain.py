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
from alerts.figures import subject_text
from alerts.local_view import LocalView, ResultHistory, require_own
from alerts.people import Person
from alerts.queries import Seen, accounts_of, show_alert, sightings
from alerts.views import AlertView
from alerts.words import amount_text, iso_time, number_text, plural

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
        alert: the alert. accounts: own accounts behind it. sentences: why, in words.
        seen: what each run said. runs: analysis → facts of the last run that saw it.
        history: stored results of the accounts (account, analysis, run_id, policy, at, value).
        metrics, transactions, counterparties, slices: own payments in the run's window, as
        :class:`alerts.local_view.LocalView` gives them; the latest and largest where they are many.
    """

    alert: AlertView
    accounts: tuple[str, ...]
    sentences: tuple[str, ...]
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
    past = history.history(accounts) if history is not None else _NO_HISTORY.empty_table()
    sentences = [
        f"About {subject_text(alert.subject)}: {alert.reason}",
        *_run_sentences(runs),
        *_value_sentences(seen[-1].figures),
        _seen_sentence(seen),
        _money_sentence(view, metrics, window),
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
        slices=view.slices(accounts, *window, slice_us),
    )


def _window(runs: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the window of the first analysis of the rule."""
    first = next(iter(runs.values()))
    return first["since"], first["until"]


def _run_sentences(runs: Mapping[str, Any]) -> Sequence[str]:
    return [
        f"The joint analysis {analysis} (run {run['run_id']}, {iso_time(run['at'])}, released as"
        f" {run['policy']}) ran under {_agreement(run['agreement'])}."
        for analysis, run in runs.items()
    ]


def _agreement(digest: str) -> str:
    return f"the agreement {digest[:12]}" if digest else "no agreement: it was a run of the lab"


def _value_sentences(figures: Mapping[str, Any]) -> Sequence[str]:
    """Say the values of the most telling accounts, up to three."""
    return [
        f"Account {account['account']}: "
        + "; ".join(
            f"{analysis} {number_text(pair['value'])}, before {number_text(pair['previous'])}"
            for analysis, pair in account["values"].items()
        )
        + "."
        for account in figures["accounts"][:3]
    ]


def _seen_sentence(seen: Sequence[Seen]) -> str:
    first, last = iso_time(seen[0].at), iso_time(seen[-1].at)
    return f"Seen in {plural(len(seen), 'run')}, from {first} to {last}."


def _money_sentence(
    view: LocalView, metrics: pa.Table, window: tuple[int | None, int | None]
) -> str:
    inflow, outflow, payments = (
        pc.sum(metrics[name]).as_py() or 0 for name in ("inflow", "outflow", "payments")
    )
    since, until = (iso_time(moment) or "the edge of the data" for moment in window)
    return (
        f"Between {since} and {until} {plural(len(metrics), 'account')} of the customer received"
        f" {amount_text(inflow, view.decimals)} {view.currency} and paid"
        f" {amount_text(outflow, view.decimals)} {view.currency} in {plural(payments, 'payment')}."
    )


def _counterparty_sentence(view: LocalView, counterparties: pa.Table) -> Sequence[str]:
    if not len(counterparties):
        return []
    top = counterparties.slice(0, 1).to_pylist()[0]
    where = "this bank" if top["bank"] == view.bank else f"bank {top['bank']}"
    return [
        f"The largest counterparty is {top['account']} at {where}:"
        f" {amount_text(top['received'], view.decimals)} received,"
        f" {amount_text(top['paid'], view.decimals)} paid."
    ]
