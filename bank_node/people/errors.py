"""Errors about the users of a node.

::

    UndercurrentError
    └── PeopleError                 base (exit code 2)
        ├── PersonExistsError       there is a user of that name
        ├── UnknownPersonError      there is no user of that name
        ├── PersonNameError         a name, display name or role that cannot be used
        ├── WeakPasswordError       a password that is too easy to guess, or too long
        ├── SignInError             name or password is wrong (exit code 3)
        └── LockedOutError          too many wrong passwords (exit code 3)

No message holds a password, a token, or whether a name exists that somebody tried to sign in with.
"""

from bank_node.errors import UndercurrentError

__all__ = [
    "LockedOutError",
    "PeopleError",
    "PersonExistsError",
    "PersonNameError",
    "SignInError",
    "UnknownPersonError",
    "WeakPasswordError",
]


class PeopleError(UndercurrentError):
    """Something about a user is wrong."""

    code = "people.error"
    exit_code = 2


class PersonExistsError(PeopleError):
    """There is a user of that name already."""

    code = "people.exists"


class UnknownPersonError(PeopleError):
    """There is no user of that name."""

    code = "people.unknown"


class PersonNameError(PeopleError):
    """A name, display name or role cannot be used."""

    code = "people.name"


class WeakPasswordError(PeopleError):
    """A password is too easy to guess, or too long."""

    code = "people.weak-password"


class SignInError(PeopleError):
    """The name or the password is wrong, or the user is disabled."""

    code = "people.sign-in"
    exit_code = 3


class LockedOutError(PeopleError):
    """Too many wrong passwords were given for a name."""

    code = "people.locked"
    exit_code = 3
