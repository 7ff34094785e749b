"""The users of a node: their names, roles and passwords.

Every function works in its caller's session and transaction; who did it is for the caller to put on
record.  A role is read afresh with each request, so that a change of it holds at once.
"""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from alerts.errors import AlertsError
from alerts.people import Person, Role
from bank_node.people.errors import (
    PersonExistsError,
    PersonNameError,
    UnknownPersonError,
)
from bank_node.people.passwords import hash_password
from bank_node.people.tables import PersonRow, SessionRow

__all__ = [
    "PersonView",
    "add_person",
    "disable",
    "enable",
    "end_sessions",
    "find_person",
    "find_row",
    "get_row",
    "list_people",
    "set_password",
    "set_role",
    "view",
]

_LONGEST_DISPLAY = 80


@dataclass(frozen=True)
class PersonView:
    """A user as they may be shown.

    Attributes:
        name: what they sign in with, and what journals and the audit log say.
        role: what they may do.
        display: their name as people write it.
        disabled: whether they may not sign in any more.
        locked_until: when the lock-out after wrong passwords ends, or ended; None: there was none.
        created, last_seen: microseconds since 1970; None: never.
    """

    name: str
    role: Role
    display: str
    disabled: bool
    locked_until: int | None
    created: int
    last_seen: int | None

    @property
    def person(self) -> Person:
        """The user as ``alerts`` knows people."""
        return Person(self.name, self.role)


def add_person(
    session: Session,
    name: str,
    role: Role | str,
    display: str = "",
    password: str = "",
    *,
    at: int,
    password_hash: str | None = None,
) -> PersonView:
    """Add a user.

    Args:
        session: of a writing transaction.
        name, role, display: see ``PersonView``; without a display name, the name.
        password: hashed here, while the transaction lasts.
        at: now, microseconds since 1970.
        password_hash: what ``hash_password`` made beforehand, instead of the password.

    Raises:
        PersonExistsError: there is a user of that name, if only a disabled one.
        PersonNameError: the name, display name or role cannot be used.
        WeakPasswordError: the password is too easy to guess.
    """
    person = _checked(name, role)
    shown = _display(display or name)
    if session.get(PersonRow, name) is not None:
        raise PersonExistsError(
            f"There is a user {name} already",
            "Take another name; a disabled user can be enabled: undercurrent people enable",
        )
    row = PersonRow(
        name=name,
        role=person.role.value,
        display=shown,
        password=password_hash or hash_password(password, name),
        failures=0,
        failed=0,
        disabled=False,
        created=at,
        changed=at,
    )
    session.add(row)
    session.flush()
    return view(row)


def set_password(
    session: Session, name: str, password: str = "", *, at: int, password_hash: str | None = None
) -> PersonView:
    """Give a user another password; their sessions and tokens end, and a lock-out does.

    Raises:
        UnknownPersonError: there is no such user.
        WeakPasswordError: the password is too easy to guess.
    """
    row = get_row(session, name)
    row.password = password_hash or hash_password(password, name)
    _unlock(row)
    end_sessions(session, name)
    return _changed(session, row, at)


def set_role(session: Session, name: str, role: Role | str, *, at: int) -> PersonView:
    """Give a user another role, which holds for their sessions at once."""
    row = get_row(session, name)
    row.role = _checked(name, role).role.value
    return _changed(session, row, at)


def disable(session: Session, name: str, *, at: int) -> PersonView:
    """Let a user in no more; their sessions and tokens end."""
    row = get_row(session, name)
    row.disabled = True
    end_sessions(session, name)
    return _changed(session, row, at)


def enable(session: Session, name: str, *, at: int) -> PersonView:
    """Let a user in again, who was disabled or locked out."""
    row = get_row(session, name)
    row.disabled = False
    _unlock(row)
    return _changed(session, row, at)


def list_people(session: Session) -> list[PersonView]:
    """Return all users by name, the disabled ones too."""
    return [view(row) for row in session.scalars(select(PersonRow).order_by(PersonRow.name))]


def find_person(session: Session, name: str) -> PersonView | None:
    """Return a user by name; None: there is none."""
    row = find_row(session, name)
    return None if row is None else view(row)


def end_sessions(session: Session, name: str) -> int:
    """End all sessions and tokens of a user; return how many there were."""
    gone = delete(SessionRow).where(SessionRow.name == name).returning(SessionRow.digest)
    return len(session.execute(gone).all())


def find_row(session: Session, name: str) -> PersonRow | None:
    """Return a user's row; None: there is none."""
    # PostgreSQL refuses some texts outright (NUL); they are nobody's name anyhow.
    return session.get(PersonRow, name) if _is_name(name) else None


def get_row(session: Session, name: str) -> PersonRow:
    """Return a user's row.

    Raises:
        UnknownPersonError: there is no such user.
    """
    row = find_row(session, name)
    if row is None:
        raise UnknownPersonError(
            f"There is no user {name[:64]!r}", "See who there is: undercurrent people list"
        )
    return row


def view(row: PersonRow) -> PersonView:
    """Return what may be shown of a row."""
    return PersonView(
        name=row.name,
        role=Role(row.role),
        display=row.display,
        disabled=row.disabled,
        locked_until=row.locked_until,
        created=row.created,
        last_seen=row.last_seen,
    )


def _checked(name: str, role: Role | str) -> Person:
    try:
        found = Role(role)
    except ValueError:
        raise PersonNameError(
            f"There is no role {str(role)[:64]!r}", f"One of {', '.join(Role)}"
        ) from None
    if name == "system":
        raise PersonNameError("The name system is the node's own", "Take another name")
    try:
        return Person(name, found)
    except AlertsError as error:
        raise PersonNameError(error.message, error.remedy) from None


def _is_name(name: str) -> bool:
    try:
        Person(name, Role.ANALYST)
    except AlertsError:
        return False
    return True


def _display(text: str) -> str:
    shown = " ".join(text.split())
    if not shown or len(shown) > _LONGEST_DISPLAY or not shown.isprintable():
        raise PersonNameError(
            "The display name is empty, too long, or has characters that cannot be shown",
            f"Use 1 to {_LONGEST_DISPLAY} letters",
        )
    return shown


def _changed(session: Session, row: PersonRow, at: int) -> PersonView:
    row.changed = at
    session.flush()
    return view(row)


def _unlock(row: PersonRow) -> None:
    row.failures, row.locked_until = 0, None
