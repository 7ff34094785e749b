"""Pages: ask where money went, watch while the banks compute, and look at what came of it."""

import math
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts import PERMISSIONS, Action, Person
from alerts.queries import CaseFilter
from alerts.states import STEPS
from bank_node.desk import RIGHTS, Office, Right, TracePage
from bank_node.errors import UndercurrentError
from bank_node.node.errors import UnknownRunError
from bank_node.web.frame import call, field, form, office_of, page, posted, redirect, shown, who
from bank_node.web.picture import Drawn, draw
from bank_node.web.picture_graph import Graph, Wish, graph_of
from bank_node.web.picture_reached import Reached, reached_by
from bank_node.web.run_view import FINISHED, may_reject, standing_of
from bank_node.web.trace_form import Asked, Terms, asked_of, blank, terms_of
from bank_node.web.trace_view import Slices, next_cut, picture_words, rows_of, told
from bank_node.web.visit import visit_of

__all__ = ["routes"]

_EARLIER = 50
_MOST_ROWS = 10_000
_MOST_CASES = 200
_LONGEST_TITLE = 200
_LONGEST_NUMBER = 18
_FIELDS = ("accounts", "direction", "since", "until", "slice", "hops", "depth", "policy")
_BLANK = dict.fromkeys(("accounts", "since", "until", "policy"), "")
_LINKED = ("account", "direction", "since", "until", "slice", "hops", "depth")


async def _form(request: Request) -> Response:
    office = office_of(request)
    terms = await call(terms_of, office)
    given = {name: request.query_params.get(name, "")[:400] for name in _LINKED}
    asked = blank(terms, {name: text for name, text in given.items() if text}, office.clock())
    return await _form_page(request, terms, asked)


async def _form_page(
    request: Request, terms: Terms, asked: Asked, *, refused: UndercurrentError | None = None
) -> Response:
    office, person = office_of(request), who(request)
    context = {
        "asked": asked,
        "earlier": await call(office.desk.traces, person, _EARLIER),
        "may_ask": person.role in RIGHTS[Right.TRACE],
        "refused": refused,
        "terms": terms,
    }
    status = 422 if asked.problems or refused else 200
    return await call(page, request, "trace/form.html", context, status=status)


async def _ask(request: Request) -> Response:
    office, person = office_of(request), who(request)
    terms = await call(terms_of, office)
    given = {name: field(request, name) for name in _FIELDS if name in form(request)}
    asked = asked_of(terms, _BLANK | given)
    if asked.question is None:
        return await _form_page(request, terms, asked)

    async def keep(run_id: str) -> None:
        await call(office.desk.remember_question, person, run_id, list(asked.accounts))

    try:
        run = await office.node.trace(asked.question, person.name, keep)
    except UndercurrentError as error:
        return await _form_page(request, terms, asked, refused=error)
    return redirect(request, f"/traces/{quote(str(run['run_id']))}")


async def _show(request: Request) -> Response:
    asker = await _asker(request)
    try:
        run = await office_of(request).node.run(_run_id(request))
    except UnknownRunError:  # over for so long that only the desk knows it
        return await call(_result, request)
    if run["phase"] != "stored":
        return page(request, "trace/waiting.html", _waiting(request, run, asker))
    return await call(_result, request)


async def _progress(request: Request) -> Response:
    asker = await _asker(request)
    run = await office_of(request).node.run(_run_id(request))
    if run["phase"] == "stored":
        place = f"/traces/{quote(run['run_id'])}"
        return Response(status_code=204, headers={"hx-redirect": place})
    return page(request, "trace/_progress.html", _waiting(request, run, asker))


async def _cancel(request: Request) -> Response:
    office, run_id, person = office_of(request), _run_id(request), who(request)
    if not _may_cancel(person, await _asker(request)):
        office.desk.check(person, Right.RUNS_DECIDE)
    reason = visit_of(request).words.t("trace.cancelled")
    await office.node.reject(run_id, reason, person.name)
    return redirect(request, f"/traces/{quote(run_id)}")


async def _asker(request: Request) -> str:
    """Return who asked for the trace; refuse any other run: this is no way to look at those."""
    return await call(office_of(request).desk.asker, who(request), _run_id(request))


def _may_cancel(person: Person, asker: str) -> bool:
    """Say whether a person may give a trace up: their own, or any if they decide about runs."""
    return person.name == asker or person.role in RIGHTS[Right.RUNS_DECIDE]


def _waiting(request: Request, run: Mapping[str, Any], asker: str) -> dict[str, Any]:
    return {
        "run": run,
        "standing": standing_of(run),
        "over": run["phase"] in FINISHED,
        "may_cancel": _may_cancel(who(request), asker) and may_reject(run),
    }


def _result(request: Request) -> Response:
    office, person, words = office_of(request), who(request), visit_of(request).words
    trace = office.desk.trace(person, _run_id(request))
    wish = _wish(request)
    reached, graph = reached_by(trace), _graph(office, trace, wish)
    slices = Slices(trace, words)
    steps = sorted({n.slice for n in graph.nodes} | {e.slice for e in graph.edges})
    context = {
        "cases": _open_cases(office, person),
        "cut": next_cut(reached, graph),
        "drawn": _drawn(request, trace, graph),
        "graph": graph,
        "reached": reached,
        "rows": list(rows_of(trace, reached, graph, slices, words))[:_MOST_ROWS],
        "steps": [(step, slices.name(step)) for step in steps if step >= 0],
        "sums": _sums(reached),
        "title": told(trace, words),
        "trace": trace,
        "until": None if slices.window.until is None else slices.window.until - 1,
        "window": slices.window,
        "wish": wish,
    }
    return page(request, "trace/result.html", context)


def _sums(reached: Reached) -> dict[str, int]:
    """Return minor counts for the heading: how many accounts, and to how many money came back."""
    others = ~reached.asked
    return {"reached": int(others.sum()), "returned": int((reached.returned > 0).sum())}


def _graph(office: Office, trace: TracePage, wish: Wish) -> Graph:
    return graph_of(trace, office.desk.bank, office.desk.decimals, wish)


def _drawn(request: Request, trace: TracePage, graph: Graph, *, as_file: bool = False) -> Drawn:
    words = visit_of(request).words
    spoken = picture_words(trace, graph, Slices(trace, words), words)
    return draw(graph, spoken, as_file=as_file)


def _picture(request: Request) -> Response:
    office, run_id = office_of(request), _run_id(request)
    trace = office.desk.trace(who(request), run_id)
    drawn = _drawn(request, trace, _graph(office, trace, _wish(request)), as_file=True)
    name = "".join(c for c in run_id if c.isascii() and (c.isalnum() or c == "-"))[:80]
    headers = {"content-disposition": f'attachment; filename="trace-{name}.svg"'}
    return Response(drawn.svg, media_type="image/svg+xml", headers=headers)


def _attach(request: Request) -> Response:
    run_id, words = _run_id(request), visit_of(request).words
    number, _, version = field(request, "case").partition(":")
    if not (_is_number(number) and _is_number(version)):
        return redirect(request, f"/traces/{quote(run_id)}")
    title = " ".join(field(request, "title").split())[:_LONGEST_TITLE] or words.t("trace.title")
    office_of(request).desk.attach(
        who(request), int(number), int(version), run_id, title, str(form(request).get("note", ""))
    )
    return redirect(request, f"/cases/{number}", "attach")


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _LONGEST_NUMBER


def _open_cases(office: Office, person: Person) -> list[Any]:
    """Return the person's own cases that a trace can be attached to."""
    if person.role not in PERMISSIONS[Action.ATTACH]:
        return []
    states = tuple(sorted(STEPS[Action.ATTACH].sources))
    wanted = CaseFilter(states=states, assignee=person.name)
    return office.desk.cases(person, wanted, limit=_MOST_CASES)


def _run_id(request: Request) -> str:
    return str(request.path_params["run_id"])


def _wish(request: Request) -> Wish:
    """Return how the picture is wanted; what makes no sense counts as not given."""
    given = request.query_params
    by: Literal["slice", "depth"] = "depth" if given.get("by") == "depth" else "slice"
    try:
        cut = float(given.get("cut", ""))
    except ValueError:
        return Wish(by)
    return Wish(by, cut) if math.isfinite(cut) and cut >= 0 else Wish(by)


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    one = "/traces/{run_id}"
    return [
        shown("/traces", _form, needs=Right.TRACE_READ),
        posted("/traces", _ask, needs=Right.TRACE),
        shown(one, _show, needs=Right.TRACE_READ),
        shown(f"{one}/progress", _progress, needs=Right.TRACE_READ),
        shown(f"{one}/picture.svg", _picture, needs=Right.TRACE_READ),
        posted(f"{one}/cancel", _cancel, needs=Right.TRACE),
        posted(f"{one}/attach", _attach, needs=Action.ATTACH),
    ]
