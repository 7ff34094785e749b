"""Who the users of a node are, and how they prove it.

::

    name + password ──prove, sign_in──▸ SignedIn (token) ──find_session──▸ Standing (person, role)
                                         the browser's cookie, or a program's bearer token

What the database keeps, so that whoever steals it can sign in as nobody:

- of a password its Argon2id hash (:mod:`bank_node.people.passwords`);
- of a token, 256 random bits, its SHA-256 digest.  It needs no slow hash: nobody guesses it.

What a visitor who guesses can learn or do (:mod:`bank_node.people.signing_in`):

- unknown names cost the same verification as known ones and are locked out like them, so that
  neither time nor answers tell who exists, who is disabled, or what role anybody has;
- after a few wrong passwords a person is locked out for a while, mildly enough that locking
  others out is not worth much; sessions and tokens of theirs go on.

What ends sessions (:mod:`bank_node.people.sessions`): time, not being used, signing out, a new
sign-in of the same browser, another password, and being disabled.  Another role holds at once.

Every function works in its caller's session and transaction, with its clock, and commits nothing
(:func:`prove`, which takes long, needs none);
what goes to the audit log is the caller's part.
"""

from bank_node.people.accounts import (
    PersonView,
    add_person,
    disable,
    enable,
    end_sessions,
    find_person,
    list_people,
    set_password,
    set_role,
)
from bank_node.people.errors import (
    LockedOutError,
    PeopleError,
    PersonExistsError,
    PersonNameError,
    SignInError,
    UnknownPersonError,
    WeakPasswordError,
)
from bank_node.people.passwords import check_password, hash_password
from bank_node.people.policy import SignInPolicy
from bank_node.people.sessions import (
    OpenSession,
    SignedIn,
    Standing,
    end_session,
    find_session,
    peek_session,
    sessions_of,
    sweep,
)
from bank_node.people.signing_in import (
    Proof,
    Refused,
    issue_token,
    prove,
    sign_in,
    stored_hash,
)

__all__ = [
    "LockedOutError",
    "OpenSession",
    "PeopleError",
    "PersonExistsError",
    "PersonNameError",
    "PersonView",
    "Proof",
    "Refused",
    "SignInError",
    "SignInPolicy",
    "SignedIn",
    "Standing",
    "UnknownPersonError",
    "WeakPasswordError",
    "add_person",
    "check_password",
    "disable",
    "enable",
    "end_session",
    "end_sessions",
    "find_person",
    "find_session",
    "hash_password",
    "issue_token",
    "list_people",
    "peek_session",
    "prove",
    "sessions_of",
    "set_password",
    "set_role",
    "sign_in",
    "stored_hash",
    "sweep",
]
