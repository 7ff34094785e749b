"""Rules as they stand, trying others on stored runs, and the samples for tuning them."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import bank_node.web.forms as forms
from alerts import PERMISSIONS, Action, BackTest
from bank_node.desk import Office
from bank_node.web.frame import field, form, is_htmx, office_of, page, posted, redirect, shown, who

__all__ = ["routes"]

_RUNS = 5
_LINES = ("above", "below")


def _rules(request: Request) -> Response:
    return page(request, "rules/rules.html", _context(request))


def _context(request: Request) -> dict[str, Any]:
    """Return what the page shows; who may only try rules sees neither samples nor accounts."""
    person, desk = who(request), office_of(request).desk
    views = person.role in PERMISSIONS[Action.VIEW]
    return {
        "done": request.query_params.get("done"),
        "may_judge": person.role in PERMISSIONS[Action.JUDGE_SAMPLE],
        "may_try": person.role in PERMISSIONS[Action.TEST_RULES],
        "only": "",
        "results": None,
        "rules": desk.rules(person) if views else None,
        "runs": _RUNS,
        "samples": desk.samples(person) if views else [],
        "text": "",
    }


def _test(request: Request) -> Response:
    """Try a rules file; the page keeps what was written."""
    text, only = _text(request), forms.text(form(request), "only")
    runs = forms.number(form(request), "runs") or _RUNS
    results: list[BackTest] = office_of(request).desk.test_rules(who(request), text, only, runs)
    context = {"results": results, "runs": runs, "only": only or "", "text": text}
    if is_htmx(request):
        return page(request, "rules/_results.html", context)
    return page(request, "rules/rules.html", _context(request) | context)


def _text(request: Request) -> str:
    """Return the rules file as written in the form."""
    return field(request, "text").replace("\r\n", "\n")


def _samples(request: Request) -> Response:
    query, desk, person = request.query_params, office_of(request).desk, who(request)
    rule, line = forms.text(query, "rule"), forms.text(query, "line")
    line = line if line in _LINES else None
    context = {
        "done": query.get("done"),
        "judged": desk.sampled(person, rule, line, judged=True, limit=50),
        "line": line,
        "may_judge": person.role in PERMISSIONS[Action.JUDGE_SAMPLE],
        "open": desk.sampled(person, rule, line, judged=False, limit=50),
        "rule": rule,
    }
    return page(request, "rules/samples.html", context)


def _judge(request: Request) -> Response:
    fields = form(request)
    answer = forms.text(fields, "worthwhile")
    if answer not in ("yes", "no"):
        raise HTTPException(400)
    run, rule = forms.text(fields, "run") or "", forms.text(fields, "rule") or ""
    account, worthwhile = forms.account(fields, "account") or "", answer == "yes"
    office_of(request).desk.judge(
        who(request), run, rule, account, worthwhile=worthwhile, note=field(request, "note")
    )
    return redirect(request, "/rules/samples", "judged")


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [
        shown("/rules", _rules, needs=None),
        posted("/rules/test", _test, needs=Action.TEST_RULES),
        shown("/rules/samples", _samples, needs=Action.VIEW),
        posted("/rules/judge", _judge, needs=Action.JUDGE_SAMPLE),
    ]
