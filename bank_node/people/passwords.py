"""Passwords: which are good enough, and how they are kept.

A password is kept as an Argon2id hash with the second recommended option of RFC 9106, section 4:
t = 3 passes over m = 64 MiB, a salt of 16 bytes and a tag of 32, but p = 1 lane instead of 4.
What a guess costs an attacker is t·m, whatever p is; more lanes would only spread one sign-in over
more cores, which a node computes joint runs with.  A hash with other parameters is replaced when
its owner signs in.

A name that nobody has costs the same verification, against a decoy.  At most four are computed at a
time, so that a flood of guesses takes 256 MiB and no more.
"""

import functools
import secrets
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bank_node.people.errors import WeakPasswordError

__all__ = [
    "LONGEST",
    "SHORTEST",
    "check_password",
    "hash_password",
    "is_outdated",
    "matches",
    "rehash",
]

SHORTEST, LONGEST = 12, 256

_HASHER = PasswordHasher(
    time_cost=3, memory_cost=64 * 1024, parallelism=1, hash_len=32, salt_len=16
)
_AT_ONCE = threading.BoundedSemaphore(4)
_FEWEST_DIFFERENT = 5
_LEFT_WITHOUT_NAME = 8
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "1234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "qazwsxedcrfvtgbyhnujm",
)
# What lists of leaked passwords begin with, as far as it is long enough; letters and digits only.
_LEAKED = """
    administrator administrator1 adminadmin123 adminadminadmin baseball1234 changeme1234
    changemechangeme changethispassword chocolate123 computer1234 correcthorsebatterystaple
    dragondragon football1234 iloveyou1234 iloveyouiloveyou letmein12345 letmeinletmein
    liverpool123 masterpassword monkeymonkey mypassword123 passw0rd1234 passwort1234
    password1234 password12345 password123456 passwordpassword princess1234 qwerty123456
    qwerty1234567 qwertyqwerty secretsecret starwars1234 sunshine1234 superman1234
    testtesttest undercurrent undercurrent1 undercurrent123 wachtwoord123 welcome12345
    welcome123456 welcomewelcome whatever1234
"""
_WORST = frozenset(_LEAKED.split())


def check_password(text: str, name: str = "") -> None:
    """Refuse a password that is too easy to guess.

    Raises:
        WeakPasswordError: it is too short or too long, little more than the name, or among the
            worst.
    """
    plain = _normal(text).casefold()
    letters = "".join(c for c in plain if c.isalnum())
    if not SHORTEST <= len(_normal(text)) <= LONGEST:
        raise _weak(f"it does not have {SHORTEST} to {LONGEST} characters")
    if name and len(plain.replace(name, "")) < _LEFT_WITHOUT_NAME:
        raise _weak("it is little more than the user's name")
    if letters in _WORST or len(set(plain)) < _FEWEST_DIFFERENT or _is_a_row(letters):
        raise _weak("it is among those that are tried first")


def hash_password(text: str, name: str = "") -> str:
    """Return the hash of a good password; takes about a tenth of a second.

    Raises:
        WeakPasswordError: see ``check_password``.
    """
    check_password(text, name)
    return rehash(text)


def matches(stored: str | None, text: str) -> bool:
    """Return whether a password is the one that was hashed; None, nobody's, takes as long."""
    decoy = _decoy()
    # What is longer than any password stays so when it is cut; four code points may become one.
    given = _bytes(_normal(text[: 4 * LONGEST])[: LONGEST + 1])
    with _AT_ONCE:
        try:
            _HASHER.verify(decoy if stored is None else stored, given)
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Return whether a hash has other parameters than those in use."""
    return _HASHER.check_needs_rehash(stored)


def rehash(text: str) -> str:
    """Return a hash of a password that is in use already, good or not."""
    with _AT_ONCE:
        return _HASHER.hash(_bytes(_normal(text)))


@functools.cache
def _decoy() -> str:
    return _HASHER.hash(secrets.token_bytes(32))


def _normal(text: str) -> str:
    """Return one form for what keyboards send in several."""
    return unicodedata.normalize("NFKC", text)


def _bytes(text: str) -> bytes:
    # An encoding error would carry the password in it.
    return text.encode("utf-8", "surrogatepass")


def _is_a_row(letters: str) -> bool:
    """Return whether letters and digits are a walk along the keyboard, however often repeated."""
    if len(letters) < _LEFT_WITHOUT_NAME:
        return False
    times = len(letters) // 10 + 2
    return any(letters in row * times or letters[::-1] in row * times for row in _ROWS)


def _weak(why: str) -> WeakPasswordError:
    return WeakPasswordError(
        f"The password cannot be used: {why}",
        f"Take several words that do not belong together, {SHORTEST} characters or more",
    )
