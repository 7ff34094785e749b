"""Alerts and own accounts: lists, and why there is one."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from alerts.queries import AlertFilter, Order
from bank_node.api.fields import Account, Answer, Form, Level, Name, RunId, severity_of
from bank_node.api.refusals import refusals
from bank_node.api.signing import TheDesk, Who
from bank_node.api.tables import (
    Counterparty,
    Metrics,
    Payment,
    Slice,
    Value,
    counterparties,
    metrics,
    payments,
    slices,
    values,
)
from bank_node.api.views import (
    AlertLine,
    CaseLine,
    RunFacts,
    Sighting,
    alert_line,
    case_line,
    run_facts,
    sighting,
)

__all__ = ["After", "Id", "router"]

router = APIRouter()
_MOST = 2**63 - 1
Id = Annotated[int, Path(ge=1, le=_MOST)]
After = Annotated[int | None, Field(ge=1, le=_MOST, description="id of the last one seen")]


class AlertQuery(Form):
    """Which alerts, in which order."""

    status: Literal["open", "in-case", "closed"] | None = None
    severity: Level | None = Field(None, description="at least")
    rule: Name | None = None
    subject: Name | None = Field(None, description="customer:… or account:…")
    account: Account | None = Field(None, description="an own account behind them")
    run: RunId | None = Field(None, description="seen in this run")
    order: Order = Order.SEVERITY
    limit: int = Field(50, ge=1, le=500)
    after: After = None


class Alerts(Answer):
    """A page of alerts."""

    alerts: list[AlertLine]
    next: int | None = Field(description="to go on after; none: that was all")


class AlertAnswer(Answer):
    """Why there is an alert, by what the bank itself knows."""

    alert: AlertLine
    case: CaseLine | None
    others: list[AlertLine] = Field(description="of the same customer")
    accounts: list[str]
    sentences: list[str]
    seen: list[Sighting]
    runs: dict[str, RunFacts]
    currency: str
    history: list[Value]
    metrics: list[Metrics]
    transactions: list[Payment]
    counterparties: list[Counterparty]
    slices: list[Slice]


class AccountAnswer(Answer):
    """What the bank knows of an own account; ``in_scope``: whether it may be asked about."""

    account: str
    customer: str | None
    in_scope: bool
    currency: str
    metrics: list[Metrics]
    transactions: list[Payment]
    counterparties: list[Counterparty]
    slices: list[Slice]
    history: list[Value]
    alerts: list[AlertLine]
    cases: list[CaseLine]


@router.get("/alerts", operation_id="list_alerts", responses=refusals(401, 403, 404, 422))
def list_alerts(desk: TheDesk, who: Who, asked: Annotated[AlertQuery, Query()]) -> Alerts:
    """List alerts, the most severe first unless another order is asked for."""
    wanted = AlertFilter(
        status=asked.status,
        rule=asked.rule,
        severity=severity_of(asked.severity),
        subject=asked.subject,
        account=asked.account,
        run_id=asked.run,
    )
    found = desk.alerts(who, wanted, order=asked.order, limit=asked.limit, after=asked.after)
    more = found[-1].id if len(found) == asked.limit else None
    return Alerts(alerts=[alert_line(view) for view in found], next=more)


@router.get(
    "/alerts/{alert_id}", operation_id="show_alert", responses=refusals(401, 403, 404, 409, 422)
)
def show_alert(desk: TheDesk, who: Who, alert_id: Id) -> AlertAnswer:
    """Explain an alert: in sentences, and in the own payments behind it."""
    page, decimals = desk.alert(who, alert_id), desk.decimals
    why = page.explanation
    return AlertAnswer(
        alert=alert_line(why.alert),
        case=None if page.case is None else case_line(page.case),
        others=[alert_line(view) for view in page.others],
        accounts=list(why.accounts),
        sentences=[str(sentence) for sentence in why.sentences],
        seen=[sighting(seen) for seen in why.seen],
        runs=run_facts(why.runs),
        currency=desk.currency,
        history=values(why.history),
        metrics=metrics(why.metrics, decimals),
        transactions=payments(why.transactions, decimals),
        counterparties=counterparties(why.counterparties, decimals),
        slices=slices(why.slices, decimals),
    )


@router.get(
    "/accounts/{account:path}",
    operation_id="show_account",
    responses=refusals(401, 403, 404, 422),
)
def show_account(
    desk: TheDesk,
    who: Who,
    account: Annotated[Account, Path(description="id of an own account")],
) -> AccountAnswer:
    """Show an own account: payments, results, alerts and cases.  That it was read is on record."""
    page, decimals = desk.account(who, account), desk.decimals
    return AccountAnswer(
        account=page.account,
        customer=page.customer,
        in_scope=page.in_scope,
        currency=desk.currency,
        metrics=metrics(page.metrics, decimals),
        transactions=payments(page.transactions, decimals),
        counterparties=counterparties(page.counterparties, decimals),
        slices=slices(page.slices, decimals),
        history=values(page.history),
        alerts=[alert_line(view) for view in page.alerts],
        cases=[case_line(view) for view in page.cases],
    )
