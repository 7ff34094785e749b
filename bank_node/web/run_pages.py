"""Pages: joint runs, what they disclosed, what the members agreed on, and decisions about runs."""

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bank_node.consortium import Agreement
from bank_node.desk import RIGHTS, Office, Right
from bank_node.errors import UndercurrentError
from bank_node.node.errors import NoAgreementError
from bank_node.web.frame import call, field, form, office_of, page, posted, redirect, shown, who
from bank_node.web.run_proposal import Draft, analyses_of, draft_of
from bank_node.web.run_terms import agreed, in_effect
from bank_node.web.run_view import may_approve, may_reject, parameters_told, standing_of
from bank_node.web.visit import visit_of

__all__ = ["routes"]

_MOST = 200
_LONGEST_REASON = 300


async def _list(request: Request) -> Response:
    office = office_of(request)
    only_open = request.query_params.get("open") == "1"
    context = {
        "may_propose": who(request).role in RIGHTS[Right.RUNS_PROPOSE],
        "most": _MOST,
        "only_open": only_open,
        "runs": await office.node.runs(only_open=only_open, limit=_MOST),
        "status": await office.node.status(),
    }
    return page(request, "runs/list.html", context)


async def _one(request: Request) -> Response:
    run = await office_of(request).node.run(request.path_params["run_id"])
    decides = who(request).role in RIGHTS[Right.RUNS_DECIDE]
    context = {
        "done": request.query_params.get("done", ""),
        "measured": _measured(run),
        "may_approve": decides and may_approve(run),
        "may_reject": decides and may_reject(run),
        "may_see_trace": who(request).role in RIGHTS[Right.TRACE_READ],
        "parameters": parameters_told(run, visit_of(request).words),
        "run": run,
        "standing": standing_of(run),
    }
    return page(request, "runs/run.html", context)


def _measured(run: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the numbers that the own worker measured; nested ones by their path."""
    found: list[tuple[str, Any]] = []
    for name, value in (run.get("measured") or {}).items():
        inside = value.items() if isinstance(value, dict) else [("", value)]
        found += [
            (f"{name} {part}".strip(), number)
            for part, number in inside
            if isinstance(number, int | float) and not isinstance(number, bool)
        ]
    return found


async def _agreement(request: Request) -> Response:
    office = office_of(request)
    context = {"agreed": await call(agreed, office), "status": await office.node.status()}
    return page(request, "runs/agreement.html", context)


async def _approve(request: Request) -> Response:
    run_id = request.path_params["run_id"]
    await office_of(request).node.approve(run_id, who(request).name)
    return redirect(request, f"/runs/{quote(run_id)}", "approved")


async def _reject(request: Request) -> Response:
    run_id = request.path_params["run_id"]
    reason = " ".join(field(request, "note").split())[:_LONGEST_REASON]
    await office_of(request).node.reject(run_id, reason, who(request).name)
    return redirect(request, f"/runs/{quote(run_id)}", "rejected")


async def _proposal(request: Request) -> Response:
    agreement = await _in_effect(request)
    wanted = request.query_params.get("analysis", "")
    return _proposal_page(request, agreement, wanted, Draft({}))


async def _propose(request: Request) -> Response:
    agreement, wanted = await _in_effect(request), field(request, "analysis")
    rule = next((r for r in analyses_of(agreement) if r.name == wanted), None)
    if rule is None:
        return redirect(request, "/runs/propose")
    values = {name: value for name, value in form(request).items() if isinstance(value, str)}
    draft = draft_of(rule, values)
    if draft.proposal is None:
        return _proposal_page(request, agreement, wanted, draft)
    try:
        run = await office_of(request).node.propose(draft.proposal, who(request).name)
    except UndercurrentError as error:
        return _proposal_page(request, agreement, wanted, draft, refused=error)
    return redirect(request, f"/runs/{quote(str(run['run_id']))}", "proposed")


def _proposal_page(
    request: Request,
    agreement: Agreement,
    wanted: str,
    draft: Draft,
    *,
    refused: UndercurrentError | None = None,
) -> Response:
    rules = analyses_of(agreement)
    context = {
        "draft": draft,
        "refused": refused,
        "rule": next((rule for rule in rules if rule.name == wanted), None),
        "rules": rules,
        "version": agreement.version,
    }
    status = 422 if draft.problems or refused else 200
    return page(request, "runs/propose.html", context, status=status)


async def _in_effect(request: Request) -> Agreement:
    signed, problem = await call(in_effect, office_of(request))
    if signed is None:
        raise NoAgreementError(
            problem or "no agreement is in effect", "Install one: undercurrent consortium install"
        )
    return signed.agreement


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [
        shown("/runs", _list, needs=Right.RUNS_VIEW),
        shown("/runs/agreement", _agreement, needs=Right.RUNS_VIEW),
        shown("/runs/propose", _proposal, needs=Right.RUNS_PROPOSE),
        posted("/runs/propose", _propose, needs=Right.RUNS_PROPOSE),
        shown("/runs/{run_id}", _one, needs=Right.RUNS_VIEW),
        posted("/runs/{run_id}/approve", _approve, needs=Right.RUNS_DECIDE),
        posted("/runs/{run_id}/reject", _reject, needs=Right.RUNS_DECIDE),
    ]
