"""Pages: how the node works, what the doctor finds, what was taken in, and who its users are."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bank_node.desk import RIGHTS, Office, Right
from bank_node.versions import versions
from bank_node.web.frame import Handler, call, is_htmx, office_of, page, shown, who
from bank_node.web.operation_checkup import Checkups

__all__ = ["routes"]


async def _operation(request: Request) -> Response:
    office, person = office_of(request), who(request)
    may_list = person.role in RIGHTS[Right.PEOPLE]
    context = {
        "people": await call(office.desk.people, person) if may_list else [],
        "status": await office.node.status(),
        "versions": versions(),
        "checkup": None,
    }
    return page(request, "operation/operation.html", context)


def _looking_at(checkups: Checkups) -> Handler:
    async def checkup(request: Request) -> Response:
        context = {"checkup": await call(checkups.get)}
        name = "_checkup" if is_htmx(request) else "checkup"
        return page(request, f"operation/{name}.html", context)

    return checkup


def routes(office: Office) -> list[Route]:
    """Return the routes of these pages."""
    checkups = Checkups(office.config, office.clock)
    return [
        shown("/operation", _operation, needs=Right.OPERATION),
        shown("/operation/checkup", _looking_at(checkups), needs=Right.OPERATION),
    ]
