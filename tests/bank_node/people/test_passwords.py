"""Which passwords are taken, and what is kept of them."""

import traceback
import unicodedata

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from bank_node.people import WeakPasswordError, check_password, hash_password, passwords
from bank_node.people.passwords import LONGEST, matches
from tests.bank_node.people.made import PASSWORD, WRONG

REAL = passwords._HASHER


def test_the_parameters_are_those_of_rfc_9106() -> None:
    """A hash is Argon2id, t = 3, m = 64 MiB, with a salt of 128 and a tag of 256 bits."""
    found = extract_parameters(REAL.hash(PASSWORD))
    assert (found.type, found.version) == (Type.ID, 19)
    assert (found.time_cost, found.memory_cost, found.parallelism) == (3, 65536, 1)
    assert (found.salt_len, found.hash_len) == (16, 32)


@pytest.mark.parametrize(
    "text",
    [
        "elevenchars",
        "x" * 257,
        "aaaaaaaaaaaaaaaa",
        "abababababab",
        "123456789012",
        "password1234",
        "PassWord-1234",
        "qwertyuiopas",
        "lkjhgfdsapoi",
        "1q2w3e4r5t6y",
        "ann.example.org",
        "Ann.Example.Org!12",
    ],
)
def test_a_weak_password_is_refused(text: str) -> None:
    """Too short, too long, the name, and what is tried first; the error does not repeat it."""
    with pytest.raises(WeakPasswordError) as caught:
        hash_password(text, "ann.example.org")
    told = "".join(traceback.format_exception(caught.value)).splitlines()
    assert [line for line in told if text in line and not line.startswith("    ")] == []
    assert (caught.value.code, caught.value.exit_code) == ("people.weak-password", 2)


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        "!@#$%^&*()_+{}|",
        "x7#kQ9$wLm2p",
        "Eén twee, drie Aap",
        "鍵と錠と扉と窓と壁と屋根",
        "a" * 200 + "bcdefg",
    ],
)
def test_a_good_password_is_taken_and_found_right(text: str) -> None:
    """Any script, any signs, up to 256 characters; only itself matches."""
    stored = hash_password(text, "ann")
    assert matches(stored, text)
    assert not matches(stored, text + "x")
    assert text not in stored


def test_the_same_characters_typed_differently_are_the_same_password() -> None:
    """Keyboards that send accents as signs of their own can be used for the same password."""
    text = "é" * 100 + "ààààèèèèòòòòùùùùïïïï" + "i" * 136
    composed, apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert len(composed) == LONGEST < len(apart)
    assert matches(hash_password(composed), apart)


@pytest.mark.parametrize("text", ["\ud800" * 20, "\0" * 20, "", "y" * 1_000_000])
def test_any_text_can_be_tried(text: str) -> None:
    """No text that a form can send is an error, and none of these is right."""
    assert not matches(hash_password(PASSWORD), text)
    assert not matches(None, text)


def test_what_is_longer_than_a_password_can_be_is_not_cut_to_one() -> None:
    """A password of full length is not matched by itself with more behind it."""
    text = (PASSWORD * 20)[:LONGEST]
    stored = hash_password(text)
    assert matches(stored, text)
    assert not matches(stored, text + "z")


def test_a_hash_that_cannot_be_read_matches_nothing() -> None:
    """A broken row keeps its owner out, and is no error."""
    assert not matches("no hash", PASSWORD)


def test_nobody_s_password_is_never_right(
    cheap: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoy is a hash with the parameters in use, and who guessed it would not be let in."""
    assert not matches(None, "")
    assert not matches(None, WRONG)
    assert not cheap.check_needs_rehash(passwords._decoy())
    known = hash_password(PASSWORD)
    monkeypatch.setattr(passwords, "_decoy", lambda: known)
    assert not matches(None, PASSWORD)


def test_checking_alone_hashes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a password is good enough is known before it is hashed."""
    monkeypatch.setattr(passwords, "_HASHER", None)
    check_password(PASSWORD, "ann")
    with pytest.raises(WeakPasswordError):
        hash_password("password1234")
