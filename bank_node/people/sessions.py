"""Sessions of browsers and tokens of programs.

A token is 256 random bits, shown once to whom it was made for.  The database keeps its SHA-256
digest only, by which it is looked up: the tree of an index is walked along the digest, of which
nobody can choose a part, so that no comparison tells by its time how much of a token was right.

A session lasts until the earlier of its own end and what the policy allows now, a browser's only as
long as it is used.  Who it belongs to is read afresh each time: a disabled user has none, and a
changed role holds at once.
"""

import hashlib
import secrets
from dataclasses import dataclass, field

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bank_node.people.accounts import PersonView, view
from bank_node.people.errors import PersonNameError
from bank_node.people.policy import SignInPolicy
from bank_node.people.tables import PersonRow, SessionRow, StrangerRow

__all__ = [
    "BROWSER",
    "TOKEN",
    "OpenSession",
    "SignedIn",
    "Standing",
    "end_session",
    "find_session",
    "open_session",
    "peek_session",
    "sessions_of",
    "sweep",
]

BROWSER, TOKEN = "browser", "token"

_MINUTE = 60 * 1_000_000
_HOUR, _DAY = 60 * _MINUTE, 1440 * _MINUTE
_LONGEST_LABEL = 80


@dataclass(frozen=True)
class SignedIn:
    """A session that has just begun; the only time that its token can be seen.

    Attributes:
        token: what the browser or program shows with each request.
        csrf: what a page's forms send beside the cookie; empty for a program.
        person: who it is.
        expires: when it ends at the latest, microseconds since 1970.
    """

    token: str = field(repr=False)
    csrf: str = field(repr=False)
    person: PersonView
    expires: int


@dataclass(frozen=True)
class Standing:
    """Whom a token belongs to now.

    Attributes:
        person: as the database has them now.
        kind: ``browser`` or ``token``.
        csrf: see ``SignedIn``.
        created, expires: microseconds since 1970.
        label: what a program's token is for.
        is_due: whether its use is to be written down again (see ``find_session``).
    """

    person: PersonView
    kind: str
    csrf: str = field(repr=False)
    created: int
    expires: int
    label: str
    is_due: bool = False


@dataclass(frozen=True)
class OpenSession:
    """A session as its owner may see it in a list."""

    kind: str
    label: str
    created: int
    expires: int
    used: int


def open_session(
    session: Session, row: PersonRow, policy: SignInPolicy, *, at: int, kind: str, label: str
) -> SignedIn:
    """Begin a session of a user."""
    if kind not in (BROWSER, TOKEN):
        raise ValueError("a session is of the kind browser or token")
    token = secrets.token_urlsafe(32)
    csrf = secrets.token_urlsafe(32) if kind == BROWSER else ""
    begun = SessionRow(
        digest=_digest(token),
        name=row.name,
        kind=kind,
        csrf=csrf,
        label=_label(label),
        created=at,
        expires=at + _longest(kind, policy),
        used=at,
    )
    session.add(begun)
    session.flush()
    return SignedIn(token, csrf, view(row), begun.expires)


def find_session(session: Session, token: str, policy: SignInPolicy, *, at: int) -> Standing | None:
    """Return whom a token belongs to, and note that it is used, at most once a minute.

    Needs a writing transaction; ``peek_session`` does not.
    """
    found = peek_session(session, token, policy, at=at)
    if found is not None and found.is_due:
        row = session.get_one(SessionRow, _digest(token))
        row.used = at
        session.get_one(PersonRow, row.name).last_seen = at
        session.flush()
    return found


def peek_session(session: Session, token: str, policy: SignInPolicy, *, at: int) -> Standing | None:
    """Return whom a token belongs to; None: to nobody, or not any more."""
    row = session.get(SessionRow, _digest(token))
    if row is None or at >= _end(row, policy):
        return None
    owner = session.get_one(PersonRow, row.name)
    if owner.disabled:
        return None
    return Standing(
        person=view(owner),
        kind=row.kind,
        csrf=row.csrf,
        created=row.created,
        expires=min(row.expires, row.created + _longest(row.kind, policy)),
        label=row.label,
        is_due=at - row.used >= min(_MINUTE, policy.idle_minutes * _MINUTE // 2),
    )


def end_session(session: Session, token: str) -> bool:
    """End the session of a token; false: there was none."""
    gone = delete(SessionRow).where(SessionRow.digest == _digest(token))
    return bool(session.execute(gone.returning(SessionRow.digest)).all())


def sessions_of(session: Session, name: str) -> list[OpenSession]:
    """Return the sessions and tokens of a user that were not ended, the newest first."""
    query = select(SessionRow).where(SessionRow.name == name)
    rows = session.scalars(query.order_by(SessionRow.created.desc(), SessionRow.digest))
    return [OpenSession(r.kind, r.label, r.created, r.expires, r.used) for r in rows]


def sweep(session: Session, at: int) -> int:
    """Remove sessions that are over and guesses that no longer count; return how many sessions."""
    over = delete(SessionRow).where(SessionRow.expires <= at).returning(SessionRow.digest)
    # A day is the longest lock-out that can be set.
    session.execute(delete(StrangerRow).where(StrangerRow.failed < at - _DAY))
    return len(session.execute(over).all())


def _end(row: SessionRow, policy: SignInPolicy) -> int:
    end = min(row.expires, row.created + _longest(row.kind, policy))
    return end if row.kind == TOKEN else min(end, row.used + policy.idle_minutes * _MINUTE)


def _longest(kind: str, policy: SignInPolicy) -> int:
    return policy.token_days * _DAY if kind == TOKEN else policy.hours * _HOUR


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _label(text: str) -> str:
    label = " ".join(text.split())
    if len(label) > _LONGEST_LABEL or not label.isprintable():
        raise PersonNameError(
            "The label is too long, or has characters that cannot be shown",
            f"Use at most {_LONGEST_LABEL} letters",
        )
    return label
