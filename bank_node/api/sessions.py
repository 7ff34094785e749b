"""Signing in and out, who one is, who is there, and what waits."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field, SecretStr, StringConstraints

from alerts import PERMISSIONS, Action, Role, State
from bank_node.api.errors import BusyError
from bank_node.api.fields import Answer, Count, Form, Label, Name, Time
from bank_node.api.refusals import refusals
from bank_node.api.signing import Signed, TheDesk, TheVisitor, Who
from bank_node.api.tables import time_of
from bank_node.desk import RIGHTS, Right
from bank_node.people import LockedOutError, PeopleError, PersonView, Refused, SignInError

__all__ = ["Gate", "router"]

router = APIRouter()
_AT_ONCE = 2
_MOST_WAITING = 16


class SignIn(Form):
    """A name and a password."""

    name: Annotated[Name, StringConstraints(max_length=64)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=256)]
    label: Label = Field("", description="what the token is for")


class PersonLine(Answer):
    """A user of the node."""

    name: str
    role: Role
    display: str
    disabled: bool
    locked_until: Time | None
    created_at: Time
    last_seen: Time | None


class SignedInAnswer(Answer):
    """A token; it is shown this once and kept nowhere."""

    token: str
    expires: Time
    person: PersonLine


class Me(Answer):
    """Who one is, and what one may do; ``expires``: of the token, none if a proxy signed one in."""

    person: PersonLine
    expires: Time | None
    actions: list[Action]
    rights: list[str]


class SummaryAnswer(Answer):
    """What waits, for everybody and for oneself."""

    alerts_open: Count
    alerts_in_case: Count
    cases: dict[State, int]
    mine: dict[State, int]
    unassigned: Count
    to_review: Count
    evaluation_problem: str


class People(Answer):
    """The users of the node."""

    people: list[PersonLine]


class Workers(Answer):
    """Who can be given a case."""

    workers: list[str]


class Gate:
    """Lets few sign in at the same moment: each costs memory and time on purpose."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def __aenter__(self) -> None:
        """Wait for a place."""
        if self._waiting >= _MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_exception: object) -> None:
        """Leave the place to the next."""
        self._places.release()


async def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


@router.post(
    "/sign-in", operation_id="sign_in", responses=refusals(401, 408, 413, 415, 422, 423, 429)
)
async def sign_in(
    form: SignIn, desk: TheDesk, visitor: TheVisitor, gate: Annotated[Gate, Depends(_gate)]
) -> SignedInAnswer:
    """Sign in and get a token for a program; it stands in the header Authorization: Bearer."""
    async with gate:
        done = await asyncio.to_thread(
            desk.sign_in,
            form.name,
            form.password.get_secret_value(),
            kind="token",
            label=form.label,
            source=visitor,
        )
    if isinstance(done, Refused):
        raise _refused(done.reason)
    return SignedInAnswer(
        token=done.token, expires=time_of(done.expires) or "", person=person_line(done.person)
    )


def _refused(reason: str) -> PeopleError:
    """Say no; whether there is such a user, or whether they are disabled, is not told."""
    if reason == "locked":
        return LockedOutError(
            "there were too many wrong passwords for this name",
            "wait, or ask the operator: undercurrent people enable",
        )
    return SignInError(
        "the name or the password is wrong",
        "try again; after some wrong passwords the name is locked for a while",
    )


@router.post("/sign-out", operation_id="sign_out", status_code=204, responses=refusals(401))
def sign_out(desk: TheDesk, signed: Signed) -> None:
    """End the token that was sent."""
    if signed.token is not None:
        desk.sign_out(signed.token)


@router.get("/me", operation_id="me", responses=refusals(401))
def me(signed: Signed) -> Me:
    """Say who one is and what one may do."""
    role, standing = signed.view.role, signed.standing
    return Me(
        person=person_line(signed.view),
        expires=None if standing is None else time_of(standing.expires),
        actions=[action for action, roles in PERMISSIONS.items() if role in roles],
        rights=[right.name.lower().replace("_", "-") for right in Right if role in RIGHTS[right]],
    )


@router.get("/summary", operation_id="summary", responses=refusals(401, 403))
def summary(desk: TheDesk, who: Who) -> SummaryAnswer:
    """Say what waits, for everybody and for oneself."""
    found = desk.summary(who)
    return SummaryAnswer(
        alerts_open=found.alerts_open,
        alerts_in_case=found.alerts_in_case,
        cases=dict(found.cases),
        mine=dict(found.mine),
        unassigned=found.unassigned,
        to_review=found.to_review,
        evaluation_problem=found.evaluation_problem,
    )


@router.get("/people", operation_id="list_people", responses=refusals(401, 403))
def list_people(desk: TheDesk, who: Who) -> People:
    """List the users of the node."""
    return People(people=[person_line(view) for view in desk.people(who)])


@router.get("/workers", operation_id="list_workers", responses=refusals(401, 403))
def list_workers(desk: TheDesk, who: Who) -> Workers:
    """List who can be given a case."""
    return Workers(workers=desk.workers(who))


def person_line(view: PersonView) -> PersonLine:
    """Return a user as it is answered."""
    return PersonLine(
        name=view.name,
        role=view.role,
        display=view.display,
        disabled=view.disabled,
        locked_until=time_of(view.locked_until),
        created_at=time_of(view.created) or "",
        last_seen=time_of(view.last_seen),
    )
