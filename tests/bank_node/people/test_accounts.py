"""Users: added, changed, disabled; what the database keeps of them."""

from pathlib import Path

import pytest
from sqlalchemy import select

from alerts import Person, Role
from bank_node.people import (
    PersonExistsError,
    PersonNameError,
    Refused,
    UnknownPersonError,
    WeakPasswordError,
    add_person,
    disable,
    enable,
    end_sessions,
    find_person,
    find_session,
    hash_password,
    issue_token,
    list_people,
    sessions_of,
    set_password,
    set_role,
    sign_in,
)
from bank_node.people.tables import PersonRow, SessionRow
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


def test_a_user_is_there_after_being_added(database: Database) -> None:
    """Users are listed by name, with role and display name, and nothing of their passwords."""
    with database.begin() as session:
        added(session, "sue", "supervisor")
        made = add_person(session, "ann", Role.ANALYST, "Ann  Smit ", PASSWORD, at=START)
    with database.read() as session:
        found = list_people(session)
        assert find_person(session, "ann") == made == found[0]
        assert find_person(session, "ben") is None
    assert [p.name for p in found] == ["ann", "sue"]
    assert made.person == Person("ann", Role.ANALYST)
    assert (made.display, made.disabled, made.last_seen) == ("Ann Smit", False, None)
    assert "argon2" not in repr(made)


def test_a_name_is_given_once(database: Database) -> None:
    """A name that a disabled user has is taken as well: journals name its owner."""
    with database.begin() as session:
        added(session)
        disable(session, "ann", at=START)
        with pytest.raises(PersonExistsError):
            added(session)


@pytest.mark.parametrize("name", ["", "Ann", "an n", "аnn", "x" * 65, "system", "a\0b", "../ann"])
def test_a_name_that_can_be_mistaken_is_refused(database: Database, name: str) -> None:
    """No capitals, blanks, look-alikes or control characters; and not the node's own name."""
    with database.begin() as session:
        with pytest.raises(PersonNameError):
            add_person(session, name, "analyst", "Ann", PASSWORD, at=START)
        assert find_person(session, name) is None
        assert list_people(session) == []


def test_a_role_is_one_of_four(database: Database) -> None:
    """No other role can be given, neither to a new user nor to an old one."""
    with database.begin() as session:
        added(session)
        with pytest.raises(PersonNameError, match="root"):
            add_person(session, "ben", "root", "Ben", PASSWORD, at=START)
        with pytest.raises(PersonNameError, match="analyst, supervisor, auditor, operator"):
            set_role(session, "ann", "root", at=START)


@pytest.mark.parametrize("display", ["x" * 81, "a\x1b[31mb", "a\0b", "\u202eann"])
def test_a_display_name_can_be_shown(database: Database, display: str) -> None:
    """Control characters and signs that turn text round are refused."""
    with database.begin() as session, pytest.raises(PersonNameError):
        add_person(session, "ann", "analyst", display, PASSWORD, at=START)


def test_who_is_not_there_cannot_be_changed(database: Database) -> None:
    """Each change names the user that does not exist, and how to see who does."""
    with database.begin() as session:
        for change in (
            lambda: set_role(session, "ben", "auditor", at=START),
            lambda: set_password(session, "ben", PASSWORD, at=START),
            lambda: disable(session, "ben", at=START),
            lambda: enable(session, "ben", at=START),
            lambda: issue_token(session, "ben", POLICY, at=START, label=""),
        ):
            with pytest.raises(UnknownPersonError, match=r"'ben'.*people list"):
                change()


def test_a_weak_password_makes_no_user(database: Database) -> None:
    """Neither a weak password nor none at all is taken."""
    with database.begin() as session:
        for text in ("password1234", ""):
            with pytest.raises(WeakPasswordError):
                add_person(session, "ann", "analyst", "Ann", text, at=START)
        assert list_people(session) == []


def test_a_password_can_be_hashed_before_the_transaction(database: Database) -> None:
    """A hash that was made beforehand serves as the password does."""
    hashed, other = hash_password(PASSWORD, "ann"), hash_password(WRONG, "ann")
    with database.begin() as session:
        add_person(session, "ann", "analyst", "Ann", at=START, password_hash=hashed)
        assert not isinstance(sign_in(session, "ann", PASSWORD, POLICY, at=START), Refused)
        set_password(session, "ann", at=START, password_hash=other)
        assert not isinstance(sign_in(session, "ann", WRONG, POLICY, at=START), Refused)


def test_another_role_holds_at_once(database: Database) -> None:
    """A session that is open has the new role with its next request."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        set_role(session, "ann", "supervisor", at=START)
    with database.begin() as session:
        standing = find_session(session, token, POLICY, at=START)
    assert standing is not None
    assert standing.person.role is Role.SUPERVISOR


def test_being_disabled_ends_sessions_and_tokens(database: Database) -> None:
    """A disabled user is signed out everywhere, and being enabled brings no session back."""
    with database.begin() as session:
        added(session)
        added(session, "ben")
        tokens = [signed_in(session).token, signed_in(session, kind="token").token]
        kept = signed_in(session, "ben").token
        disable(session, "ann", at=START)
        assert [find_session(session, t, POLICY, at=START) for t in tokens] == [None, None]
        enable(session, "ann", at=START)
        assert [find_session(session, t, POLICY, at=START) for t in tokens] == [None, None]
        assert find_session(session, kept, POLICY, at=START) is not None
        assert signed_in(session).person.name == "ann"


def test_another_password_ends_sessions_tokens_and_a_lock_out(database: Database) -> None:
    """After a change of the password only the new one opens anything, and at once."""
    with database.begin() as session:
        added(session)
        tokens = [signed_in(session).token, signed_in(session, kind="token").token]
        for _ in range(POLICY.failures):
            sign_in(session, "ann", WRONG, POLICY, at=START)
        set_password(session, "ann", "another horse battery", at=START)
        assert sign_in(session, "ann", PASSWORD, POLICY, at=START) == Refused("credentials")
        assert not isinstance(
            sign_in(session, "ann", "another horse battery", POLICY, at=START), Refused
        )
        assert [find_session(session, t, POLICY, at=START) for t in tokens] == [None, None]


def test_all_sessions_of_one_user_can_be_ended(database: Database) -> None:
    """How many there were is told; other users keep theirs."""
    with database.begin() as session:
        added(session)
        added(session, "ben")
        first = signed_in(session, kind="token", label="export").token
        signed_in(session, at=START + MINUTE)
        other = signed_in(session, "ben").token
        listed = sessions_of(session, "ann")
        assert [(s.kind, s.label) for s in listed] == [("browser", ""), ("token", "export")]
        assert end_sessions(session, "ann") == 2
        assert end_sessions(session, "ann") == 0
        assert find_session(session, first, POLICY, at=START) is None
        assert find_session(session, other, POLICY, at=START) is not None


def test_no_secret_stands_in_the_database(tmp_path: Path) -> None:
    """Neither a row nor a byte of the files holds a password or a token, right or wrong."""
    database = Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    with database.begin() as session:
        added(session)
        secrets = [signed_in(session).token, signed_in(session, kind="token").token, PASSWORD]
        secrets.append(issue_token(session, "ann", POLICY, at=START, label="x").token)
        sign_in(session, "ann", WRONG, POLICY, at=START)
        sign_in(session, "my.mistyped.password", WRONG, POLICY, at=START)
        secrets += [WRONG, "my.mistyped.password"]
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"argon2id" in files
    assert [s for s in secrets if s.encode() in files] == []
    with database.read() as session:
        rows = [*session.scalars(select(PersonRow)), *session.scalars(select(SessionRow))]
        assert [s for s in secrets if s in repr([vars(row) for row in rows])] == []
    database.close()
