"""Signing in, and how guessing is held up.

A person who gives ``failures`` wrong passwords, none later than ``lock_minutes`` after the one
before, is locked out for ``lock_minutes``.  Whoever is locked out is refused with the right
password too, so that nobody can try more than ``failures`` passwords in that time.

A lock-out is also a way to keep people out, so it is kept mild: it is of one person; it does not
grow from one to the next, and what is tried during it does not prolong it; sessions and tokens
go on; and the operator can end it (``undercurrent people enable``).  Keeping a person out takes
an attacker ``failures`` requests each time, each of them in the audit log with where it came from.

What a visitor learns does not depend on whether a name exists: one verification is computed either
way, wrong passwords for unknown names are counted and lock out in the same way, and a disabled user
is told what a wrong password is told.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy.orm import Session

from bank_node.people.accounts import find_row, get_row
from bank_node.people.errors import LockedOutError, PeopleError, SignInError
from bank_node.people.passwords import is_outdated, matches, rehash
from bank_node.people.policy import SignInPolicy
from bank_node.people.sessions import BROWSER, TOKEN, SignedIn, end_session, open_session
from bank_node.people.tables import PersonRow, StrangerRow

__all__ = ["Proof", "Refused", "issue_token", "prove", "sign_in", "stored_hash"]

_MINUTE = 60 * 1_000_000
# Of this process: nobody can choose names that share a bucket, and a stolen database does not tell
# what was typed as a name, which now and then is a password.
_BUCKET_KEY = secrets.token_bytes(32)
_BUCKET_DIGITS = 4


@dataclass(frozen=True)
class Refused:
    """Why a sign-in was refused.

    Attributes:
        reason: ``credentials``, ``locked`` or ``disabled``; for the audit log.
        until: end of a lock-out, microseconds since 1970.
    """

    reason: Literal["credentials", "locked", "disabled"]
    until: int | None = None

    @property
    def error(self) -> PeopleError:
        """What the visitor is told, the same for a wrong password and for a disabled user."""
        if self.reason == "locked":
            return LockedOutError(
                "Too many wrong passwords were given for this name",
                "Wait until the lock-out ends, or ask the operator: undercurrent people enable",
            )
        return SignInError(
            "The name or the password is wrong",
            "Try again; the operator can set another password: undercurrent people password",
        )


@dataclass(frozen=True)
class Proof:
    """That a password was compared with the one on record, right or wrong.

    Attributes:
        stored: the hash it was compared with; None: nobody's.
        is_right: whether it was the one.
        renewed: a hash with the parameters now in use, if the one on record has others.
    """

    stored: str | None = field(repr=False)
    is_right: bool
    renewed: str | None = field(default=None, repr=False)


def stored_hash(session: Session, name: str) -> str | None:
    """Return the hash to compare a password with, for ``prove``; None: nobody has the name."""
    row = find_row(session, _clean(name))
    return None if row is None else row.password


def prove(stored: str | None, password: str) -> Proof:
    """Compare a password with the hash on record; None, nobody's, takes as long.

    Takes about a tenth of a second and needs no session, so that no connection is kept meanwhile:
    hand what it returns to ``sign_in``.
    """
    is_right = matches(stored, password)
    old = is_right and stored is not None and is_outdated(stored)
    return Proof(stored, is_right, rehash(password) if old else None)


def sign_in(
    session: Session,
    name: str,
    password: str,
    policy: SignInPolicy,
    *,
    at: int,
    kind: str = BROWSER,
    label: str = "",
    old_token: str | None = None,
    proof: Proof | None = None,
) -> SignedIn | Refused:
    """Sign a person in, or say why not.

    Wrong credentials are no exception: that they were given is counted in the transaction, which
    the caller commits.

    Args:
        session: of a writing transaction.
        name, password: as they were typed; the name may have capitals and blanks around it.
        policy: lock-out and duration.
        at: now, microseconds since 1970.
        kind: ``browser`` or ``token``.
        label: what a program's token is for.
        old_token: the browser's token until now.  Its session ends: what somebody planted before
            (session fixation) is worth nothing after.
        proof: of ``prove`` for the same name and password; without it they are compared here.  A
            proof against a password that was changed in between is not used.
    """
    row = find_row(session, _clean(name))
    stored = None if row is None else row.password
    if proof is None or proof.stored != stored:
        proof = prove(stored, password)
    counted = _stranger(session, _clean(name)) if row is None else row
    if counted.locked_until is not None and at < counted.locked_until:
        return Refused("locked", counted.locked_until)
    if row is None or row.disabled or not proof.is_right:
        _count(counted, policy, at)
        session.flush()
        return Refused("disabled" if row is not None and row.disabled else "credentials")
    row.failures, row.locked_until, row.last_seen = 0, None, at
    row.password = proof.renewed or row.password
    if old_token is not None:
        end_session(session, old_token)
    return open_session(session, row, policy, at=at, kind=kind, label=label)


def issue_token(
    session: Session, name: str, policy: SignInPolicy, *, at: int, label: str
) -> SignedIn:
    """Give a person, who is known by other means, a token for a program.

    Raises:
        UnknownPersonError: there is no such user.
        SignInError: the user is disabled.
    """
    row = get_row(session, name)
    if row.disabled:
        raise SignInError(f"{name} is disabled", f"First: undercurrent people enable {name}")
    return open_session(session, row, policy, at=at, kind=TOKEN, label=label)


def _count(row: PersonRow | StrangerRow, policy: SignInPolicy, at: int) -> None:
    """Count a wrong password, and lock out whoever has given too many."""
    lock = policy.lock_minutes * _MINUTE
    row.failures = row.failures + 1 if at - row.failed < lock else 1
    row.failed = at
    if row.failures >= policy.failures:
        row.failures, row.locked_until = 0, at + lock


def _stranger(session: Session, name: str) -> StrangerRow:
    """Return the counter for a name that nobody has; many names share one."""
    code = hmac.new(_BUCKET_KEY, name.encode("utf-8", "surrogatepass"), hashlib.sha256)
    bucket = code.hexdigest()[:_BUCKET_DIGITS]
    row = session.get(StrangerRow, bucket)
    if row is None:
        row = StrangerRow(bucket=bucket, failures=0, failed=0)
        session.add(row)
    return row


def _clean(name: str) -> str:
    return name.strip().lower()
