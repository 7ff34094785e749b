"""Signing in: who is let in, how guessing is held up, and what a guesser learns."""

import io
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from bank_node.people import (
    LockedOutError,
    Proof,
    Refused,
    SignedIn,
    SignInError,
    SignInPolicy,
    disable,
    enable,
    find_person,
    find_session,
    prove,
    set_password,
    sign_in,
    stored_hash,
)
from bank_node.people import passwords as passwords_module
from bank_node.people.tables import PersonRow, StrangerRow
from bank_node.store import Database
from tests.bank_node.people.made import (
    MINUTE,
    PASSWORD,
    POLICY,
    START,
    WRONG,
    added,
    signed_in,
)

LOCK = POLICY.lock_minutes * MINUTE

policies = st.builds(SignInPolicy, failures=st.integers(1, 6), lock_minutes=st.integers(1, 20))
# Seconds since the guess before; often just around the time of a lock-out.
waits = st.lists(st.one_of(st.integers(0, 90), st.integers(0, 1500)), min_size=1, max_size=40)
relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def sqlite(tmp_path: Path):
    """One database for all examples of a property."""
    database = Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    yield database
    database.close()


class Undone(Exception):
    """Ends an example, so that nothing of it stays."""


def answers(database: Database, name: str, policy: SignInPolicy, times: list[int]) -> list[str]:
    """Return what a guesser is told at each time, always with a wrong password."""
    told = []
    try:
        with database.begin() as session:
            added(session)
            for at in times:
                done = sign_in(session, name, WRONG, policy, at=at)
                assert isinstance(done, Refused)
                told.append(done.reason)
            raise Undone
    except Undone:
        return told


def times_of(waited: list[int]) -> list[int]:
    """Return the times of guesses from the seconds between them."""
    return [START + sum(waited[: n + 1]) * 1_000_000 for n in range(len(waited))]


@relaxed
@given(policy=policies, waited=waits)
@example(policy=POLICY, waited=[0] * 20)
@example(policy=POLICY, waited=[899] * 20)
def test_no_more_than_so_many_passwords_are_judged_in_a_time(
    sqlite: Database, policy: SignInPolicy, waited: list[int]
) -> None:
    """Whenever guesses come, any span as long as a lock-out holds at most ``failures`` of them."""
    times = times_of(waited)
    told = answers(sqlite, "ann", policy, times)
    judged = [at for at, reason in zip(times, told, strict=True) if reason == "credentials"]
    lock = policy.lock_minutes * MINUTE
    for begin in judged:
        assert sum(begin <= at < begin + lock for at in judged) <= policy.failures


@relaxed
@given(policy=policies, waited=waits)
def test_a_lock_out_ends_and_is_not_prolonged(
    sqlite: Database, policy: SignInPolicy, waited: list[int]
) -> None:
    """However much is tried, the owner gets in when the last judged guess is long enough ago."""
    times = times_of(waited)
    told = answers(sqlite, "ann", policy, times)
    judged = [at for at, reason in zip(times, told, strict=True) if reason == "credentials"]
    free = max(judged) + policy.lock_minutes * MINUTE
    try:
        with sqlite.begin() as session:
            added(session)
            for at in times:
                sign_in(session, "ann", WRONG, policy, at=at)
            found = sign_in(session, "ann", PASSWORD, policy, at=max(free, times[-1]))
            assert isinstance(found, SignedIn)
            raise Undone
    except Undone:
        return


@relaxed
@given(policy=policies, waited=waits)
def test_a_guesser_is_told_the_same_for_names_that_nobody_has(
    sqlite: Database, policy: SignInPolicy, waited: list[int]
) -> None:
    """Wrong passwords for a user and for a name that is free get the same answers at all times."""
    times = times_of(waited)
    assert answers(sqlite, "ann", policy, times) == answers(sqlite, "zoe", policy, times)


def test_a_lock_out_in_full(database: Database) -> None:
    """After five wrong passwords the right one does not help for 15 minutes; then it does."""
    with database.begin() as session:
        added(session)
        told = [sign_in(session, "ann", WRONG, POLICY, at=START) for _ in range(6)]
        assert told == [Refused("credentials")] * 5 + [Refused("locked", START + LOCK)]
        early = sign_in(session, "ann", PASSWORD, POLICY, at=START + LOCK - 1)
        assert early == Refused("locked", START + LOCK)
        person = find_person(session, "ann")
        assert person is not None
        assert person.locked_until == START + LOCK
        assert isinstance(sign_in(session, "ann", PASSWORD, POLICY, at=START + LOCK), SignedIn)


def test_the_right_password_ends_the_count(database: Database) -> None:
    """Four wrong ones, the right one, four wrong ones: nobody is locked out."""
    with database.begin() as session:
        added(session)
        for _ in range(3):
            for _ in range(POLICY.failures - 1):
                assert sign_in(session, "ann", WRONG, POLICY, at=START) == Refused("credentials")
            signed_in(session)


def test_guesses_far_apart_are_not_added_up(database: Database) -> None:
    """Four wrong passwords every quarter of an hour lock nobody out."""
    with database.begin() as session:
        added(session)
        for at in range(START, START + 8 * LOCK, LOCK):
            told = {sign_in(session, "ann", WRONG, POLICY, at=at) for _ in range(4)}
            assert told == {Refused("credentials")}


def test_a_lock_out_uses_the_guesses_up(database: Database) -> None:
    """After it five more are judged, even if what was set for its length has grown meanwhile."""
    with database.begin() as session:
        added(session)
        short = POLICY.model_copy(update={"lock_minutes": 1})
        for _ in range(POLICY.failures):
            sign_in(session, "ann", WRONG, short, at=START)
        told = [sign_in(session, "ann", WRONG, POLICY, at=START + MINUTE) for _ in range(6)]
        assert [d.reason for d in told if isinstance(d, Refused)] == ["credentials"] * 5 + [
            "locked"
        ]


def test_a_lock_out_is_of_one_person_and_leaves_sessions_alone(database: Database) -> None:
    """Others sign in as before, who is in stays in, and the operator can end it."""
    with database.begin() as session:
        added(session)
        added(session, "ben")
        token = signed_in(session).token
        for _ in range(POLICY.failures):
            sign_in(session, "ann", WRONG, POLICY, at=START)
        assert isinstance(sign_in(session, "ann", PASSWORD, POLICY, at=START), Refused)
        signed_in(session, "ben")
        assert find_session(session, token, POLICY, at=START) is not None
        enable(session, "ann", at=START)
        signed_in(session, "ann")


def test_guesses_at_once_are_all_counted(database: Database) -> None:
    """Of 20 wrong passwords from as many threads five are judged, proved beforehand or not."""
    with database.begin() as session:
        added(session)

    def guess(number: int) -> str:
        proof = None
        if number % 2:
            with database.read() as session:
                stored = stored_hash(session, "ann")
            proof = prove(stored, WRONG)
        with database.begin() as session:
            done = sign_in(session, "ann", WRONG, POLICY, at=START, proof=proof)
        assert isinstance(done, Refused)
        return done.reason

    with ThreadPoolExecutor(8) as pool:
        told = Counter(pool.map(guess, range(20)))
    assert told == {"credentials": 5, "locked": 15}


def test_a_visitor_is_told_the_same_for_all_that_is_wrong(database: Database) -> None:
    """Unknown, disabled and wrong have one text, which names nobody; a lock-out has its own."""
    with database.begin() as session:
        added(session)
        added(session, "ben")
        disable(session, "ben", at=START)
        wrong = sign_in(session, "ann", WRONG, POLICY, at=START)
        unknown = sign_in(session, "zoe", PASSWORD, POLICY, at=START)
        disabled = sign_in(session, "ben", PASSWORD, POLICY, at=START)
    reasons = [r.reason for r in (wrong, unknown, disabled) if isinstance(r, Refused)]
    assert reasons == ["credentials", "credentials", "disabled"]
    errors = [r.error for r in (wrong, unknown, disabled) if isinstance(r, Refused)]
    assert len({str(e) for e in errors}) == 1
    assert all(isinstance(e, SignInError) and e.exit_code == 3 for e in errors)
    assert not any(name in str(errors[0]) for name in ("ann", "zoe", "ben"))
    locked = Refused("locked", START).error
    assert isinstance(locked, LockedOutError)
    assert (locked.code, locked.exit_code) == ("people.locked", 3)


class Counted:
    """A hasher that counts what it is asked."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self._hasher = hasher
        self.asked: list[str] = []

    def verify(self, stored: str, given: bytes) -> bool:
        self.asked.append("verify")
        return self._hasher.verify(stored, given)

    def hash(self, given: bytes) -> str:
        self.asked.append("hash")
        return self._hasher.hash(given)

    def check_needs_rehash(self, stored: str) -> bool:
        return self._hasher.check_needs_rehash(stored)


STRANGE = ("zoe", "", "a\0b", "\ud800", "x" * 9999)


def test_every_sign_in_costs_one_verification(
    database: Database, cheap: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known, unknown, disabled, locked, of any role, right or wrong: one verification, no hash."""
    with database.begin() as session:
        for name, role in (("ann", "analyst"), ("olga", "operator"), ("ben", "analyst")):
            added(session, name, role)
        disable(session, "ben", at=START)
        added(session, "lou")
        for _ in range(POLICY.failures):
            sign_in(session, "lou", WRONG, POLICY, at=START)
    counted = Counted(cheap)
    monkeypatch.setattr(passwords_module, "_HASHER", counted)
    for name in ("ann", "olga", "ben", "lou", *STRANGE):
        for text in (PASSWORD, WRONG, "", "y" * 9999):
            counted.asked.clear()
            with database.begin() as session:
                done = sign_in(session, name, text, POLICY, at=START)
            assert counted.asked == ["verify"]
            assert isinstance(done, SignedIn) == (name in ("ann", "olga") and text == PASSWORD)


def test_nothing_is_verified_within_the_transaction_after_a_proof(
    database: Database, cheap: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof does the slow part before the writing transaction, for unknown names as well."""
    with database.begin() as session:
        added(session)
    with database.read() as session:
        hashes = {name: stored_hash(session, name) for name in ("ann", "zoe")}
    proofs = {name: prove(stored, PASSWORD) for name, stored in hashes.items()}
    counted = Counted(cheap)
    monkeypatch.setattr(passwords_module, "_HASHER", counted)
    with database.begin() as session:
        done = [
            sign_in(session, name, PASSWORD, POLICY, at=START, proof=proof)
            for name, proof in proofs.items()
        ]
    assert [type(d) for d in done] == [SignedIn, Refused]
    assert counted.asked == []


def test_a_proof_against_an_older_password_is_worth_nothing(database: Database) -> None:
    """Between proof and sign-in the password was changed: the old one no longer opens anything."""
    with database.begin() as session:
        added(session)
        old = prove(stored_hash(session, "ann"), PASSWORD)
        assert old.is_right
        set_password(session, "ann", "another horse battery", at=START)
        done = sign_in(session, "ann", PASSWORD, POLICY, at=START, proof=old)
        assert done == Refused("credentials")
        nobody = replace(prove(stored_hash(session, "zoe"), PASSWORD), is_right=True)
        assert isinstance(sign_in(session, "ann", WRONG, POLICY, at=START, proof=nobody), Refused)


def test_a_hash_with_other_parameters_is_replaced(
    database: Database, cheap: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next sign-in, not with a wrong password; sessions go on and the password holds."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        before = session.get_one(PersonRow, "ann").password
        monkeypatch.setattr(passwords_module, "_HASHER", PasswordHasher(2, 16, 1))
        sign_in(session, "ann", WRONG, POLICY, at=START)
        assert session.get_one(PersonRow, "ann").password == before
        signed_in(session)
        after = session.get_one(PersonRow, "ann").password
        assert (",t=2," in after, ",t=1," in before) == (True, True)
        assert find_session(session, token, POLICY, at=START) is not None
        signed_in(session)
        assert session.get_one(PersonRow, "ann").password == after


def test_capitals_and_blanks_in_a_name_do_no_harm(database: Database) -> None:
    """What a telephone makes of a name is the name."""
    with database.begin() as session:
        added(session)
        assert signed_in(session, " Ann ").person.name == "ann"


def test_guesses_for_many_names_take_little_room(database: Database) -> None:
    """Names that nobody has share counters, 65,536 at most, which hold nothing of the name."""
    with database.begin() as session:
        for number in range(50):
            sign_in(session, f"nobody-{number}", WRONG, POLICY, at=START)
        buckets = [row.bucket for row in session.query(StrangerRow)]
        session.execute(delete(StrangerRow))
    assert 0 < len(buckets) <= 50
    assert all(len(bucket) == 4 and int(bucket, 16) < 65_536 for bucket in buckets)


def test_no_secret_is_logged_or_shown(
    database: Database, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the log at its most talkative a sign-in, right or wrong, leaves no secret in it."""
    caplog.set_level(logging.DEBUG)
    with database.begin() as session:
        added(session)
        made = signed_in(session)
        refused = sign_in(session, "ann", WRONG, POLICY, at=START)
        proof = prove(stored_hash(session, "ann"), PASSWORD)
        stored = session.get_one(PersonRow, "ann").password
    out = io.StringIO()
    out.writelines([caplog.text, *capsys.readouterr(), repr(proof), repr(refused), repr(made)])
    secrets = (PASSWORD, WRONG, made.token, made.csrf, stored)
    assert [s for s in secrets if s in out.getvalue()] == []
    assert isinstance(proof, Proof)
