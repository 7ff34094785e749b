"""Home: what waits for the person who is signed in."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts import PERMISSIONS, Action, State
from alerts.queries import CaseFilter, Order
from alerts.states import OPEN_STATES
from bank_node.desk import Office
from bank_node.web.frame import office_of, page, shown, who

__all__ = ["routes"]

_FEW = 8
_AT_WORK = (State.ASSIGNED, State.INVESTIGATING, State.ESCALATED, State.PENDING_REVIEW)


def _home(request: Request) -> Response:
    person, desk = who(request), office_of(request).desk
    if person.role not in PERMISSIONS[Action.VIEW]:
        return page(request, "home_operator.html")
    works = person.role in PERMISSIONS[Action.BEGIN]
    reviews = person.role in PERMISSIONS[Action.APPROVE]
    mine = CaseFilter(states=_AT_WORK, assignee=person.name)
    waiting = CaseFilter(states=(State.PENDING_REVIEW, State.ESCALATED))
    summary = desk.summary(person)
    context = {
        "summary": summary,
        "evaluated": desk.last_evaluation(person),
        "mine_open": sum(summary.mine.get(state, 0) for state in OPEN_STATES),
        "mine": desk.cases(person, mine, order=Order.SEVERITY, limit=_FEW) if works else [],
        "review": desk.cases(person, waiting, limit=_FEW) if reviews else [],
        "works": works,
        "reviews": reviews,
    }
    return page(request, "home.html", context)


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    return [shown("/", _home)]
