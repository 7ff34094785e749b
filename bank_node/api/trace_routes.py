"""Flow traces: asking for one, and what came of it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from bank_node.api.fields import Account, Answer, Count, Form, Label, Time
from bank_node.api.refusals import refusals
from bank_node.api.run_routes import Parameters, RunLine, RunPath, run_line
from bank_node.api.signing import TheDesk, TheOffice, Who
from bank_node.api.tables import Link, Traced, links, time_of, traced
from bank_node.desk import Right
from bank_node.node.control import Question

__all__ = ["router"]

router = APIRouter(prefix="/traces")
_MOST_ROWS = 10_000


class AskTrace(Form):
    """A trace from own accounts, which no other member learns."""

    accounts: list[Account] = Field(min_length=1, max_length=1000, repr=False)
    parameters: Parameters = Field(
        default_factory=dict, description="direction, since, until, slice, hops, depth"
    )
    policy: Label = ""
    prepared: bool = Field(True, strict=True, description="use columns prepared ahead, if any fit")


class TraceLineAnswer(Answer):
    """A trace that somebody at this bank asked for."""

    run_id: str
    at: Time
    person: str
    accounts: list[str]
    parameters: dict[str, str]
    phase: str
    rows: Count


class Traces(Answer):
    """Traces, the newest first."""

    traces: list[TraceLineAnswer]


class TraceQuery(Form):
    """Which part of the rows and links."""

    limit: int = Field(1000, ge=1, le=_MOST_ROWS)
    offset: int = Field(0, ge=0, le=10_000_000)


class TraceAnswer(Answer):
    """What a trace found at this bank's accounts, and the own payments that explain it."""

    run_id: str
    at: Time
    person: str
    accounts: list[str] = Field(description="from which it started")
    parameters: dict[str, str]
    policy: str
    currency: str
    rows_total: Count
    rows: list[Traced]
    links_total: Count
    links: list[Link]


@router.get("", operation_id="list_traces", responses=refusals(401, 403, 422))
def list_traces(desk: TheDesk, who: Who, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Traces:
    """List the traces that this bank's people asked for, the newest first."""
    return Traces(
        traces=[
            TraceLineAnswer(
                run_id=line.run_id,
                at=time_of(line.at) or "",
                person=line.person,
                accounts=list(line.accounts),
                parameters={name: str(value) for name, value in line.parameters.items()},
                phase=line.phase,
                rows=line.rows,
            )
            for line in desk.traces(who, limit)
        ]
    )


@router.post(
    "",
    operation_id="ask_trace",
    status_code=201,
    responses=refusals(401, 403, 404, 408, 409, 413, 415, 422, 502),
)
async def ask_trace(office: TheOffice, who: Who, form: AskTrace) -> RunLine:
    """Ask where the money of own accounts went, or came from; the run takes its time."""
    office.desk.check(who, Right.TRACE)

    async def keep(run_id: str) -> None:
        await asyncio.to_thread(office.desk.remember_question, who, run_id, list(form.accounts))

    return run_line(await office.node.trace(Question(**form.model_dump()), who.name, keep))


@router.get("/{run_id}", operation_id="show_trace", responses=refusals(401, 403, 404, 422))
def show_trace(
    desk: TheDesk, who: Who, run_id: RunPath, asked: Annotated[TraceQuery, Query()]
) -> TraceAnswer:
    """Show what a trace found; rows and links in parts, if they are many."""
    page, decimals = desk.trace(who, run_id), desk.decimals
    return TraceAnswer(
        run_id=page.run_id,
        at=time_of(page.at) or "",
        person=page.person,
        accounts=list(page.accounts),
        parameters={name: str(value) for name, value in page.parameters.items()},
        policy=page.policy,
        currency=desk.currency,
        rows_total=len(page.rows),
        rows=traced(page.rows.slice(asked.offset, asked.limit), decimals),
        links_total=len(page.links),
        links=links(page.links.slice(asked.offset, asked.limit), decimals),
    )
