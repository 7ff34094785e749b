"""New cases and who works on them: take the next, give out by load, give out many."""

from fastapi import APIRouter
from pydantic import Field

from bank_node.api.fields import Answer, Form, Name, Note, Number, Version
from bank_node.api.refusals import refusals
from bank_node.api.signing import TheDesk, Who
from bank_node.api.views import Changed, changed

__all__ = ["router"]

router = APIRouter(prefix="/queue")
_CHANGING = (401, 403, 404, 408, 409, 413, 415, 422)


class SeenCase(Form):
    """A case as the person saw it."""

    id: Number
    version: Version


class TakeNext(Form):
    """Why one takes it."""

    note: Note


class AssignMany(Form):
    """Several cases for one person."""

    cases: list[SeenCase] = Field(min_length=1, max_length=500)
    assignee: Name
    note: Note


class Taken(Answer):
    """The case that was taken; none: there is no new one."""

    change: Changed | None


class ChangedMany(Answer):
    """Cases after a change."""

    changes: list[Changed]


@router.post(
    "/next", operation_id="take_next_case", responses=refusals(401, 403, 408, 409, 413, 415, 422)
)
def take_next_case(desk: TheDesk, who: Who, form: TakeNext) -> Taken:
    """Take the most severe, oldest new case oneself."""
    change = desk.take_next(who, form.note)
    return Taken(change=None if change is None else changed(change))


@router.post(
    "/auto-assign", operation_id="auto_assign_cases", responses=refusals(401, 403, 409, 422)
)
def auto_assign_cases(desk: TheDesk, who: Who) -> ChangedMany:
    """Give all new cases to whoever has the fewest."""
    return ChangedMany(changes=[changed(change) for change in desk.auto_assign(who)])


@router.post("/assign", operation_id="assign_cases", responses=refusals(*_CHANGING))
def assign_cases(desk: TheDesk, who: Who, form: AssignMany) -> ChangedMany:
    """Give several cases to one person, each as it was seen: all of them or none."""
    cases = {case.id: case.version for case in form.cases}
    changes = desk.assign_many(who, cases, form.assignee, form.note)
    return ChangedMany(changes=[changed(change) for change in changes])
