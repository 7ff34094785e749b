"""Sessions and tokens: how long they last, and what they say."""

import hashlib

import pytest
from sqlalchemy import select

from bank_node.people import (
    PersonNameError,
    SignedIn,
    SignInError,
    SignInPolicy,
    disable,
    end_session,
    find_person,
    find_session,
    issue_token,
    peek_session,
    sessions_of,
    sign_in,
    sweep,
)
from bank_node.people.tables import PersonRow, SessionRow, StrangerRow
from bank_node.store import Database
from tests.bank_node.people.made import (
    DAY,
    HOUR,
    MINUTE,
    PASSWORD,
    POLICY,
    START,
    WRONG,
    added,
    signed_in,
)


@pytest.mark.parametrize("step", [MINUTE // 7, MINUTE, 29 * MINUTE])
def test_a_browser_s_session_lasts_while_it_is_used(database: Database, step: int) -> None:
    """Used more often than every half an hour it lasts for 12 hours, to the microsecond."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        end = START + 12 * HOUR
        for at in [*range(START, end, max(step, 5 * MINUTE)), end - 1]:
            assert find_session(session, token, POLICY, at=at) is not None
        assert find_session(session, token, POLICY, at=end) is None


def test_a_browser_s_session_ends_when_it_is_not_used(database: Database) -> None:
    """After half an hour without a request it is over, also for a request after that."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        assert find_session(session, token, POLICY, at=START + 30 * MINUTE - 1) is not None
        later = START + 60 * MINUTE - 1
        assert find_session(session, token, POLICY, at=later) is None
        assert find_session(session, token, POLICY, at=later + 1) is None


def test_a_short_idle_time_does_not_end_a_session_in_use(database: Database) -> None:
    """With one minute of idle time, a request every 29 seconds keeps a session."""
    policy = SignInPolicy(idle_minutes=1)
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        for at in range(START, START + 10 * MINUTE, 29 * 1_000_000):
            assert find_session(session, token, policy, at=at) is not None
        assert find_session(session, token, policy, at=START + 12 * MINUTE) is None


def test_a_program_s_token_lasts_its_days(database: Database) -> None:
    """It may lie unused, and ends after 30 days however much it is used."""
    with database.begin() as session:
        added(session)
        made = issue_token(session, "ann", POLICY, at=START, label="nightly export")
        found = find_session(session, made.token, POLICY, at=START + 30 * DAY - 1)
        assert found is not None
        assert (found.kind, found.label, found.csrf) == ("token", "nightly export", "")
        assert found.expires == made.expires == START + 30 * DAY
        assert find_session(session, made.token, POLICY, at=START + 30 * DAY) is None


def test_a_stricter_policy_holds_for_sessions_that_are_open(database: Database) -> None:
    """Shorter times end what was begun under longer ones; longer ones prolong nothing."""
    strict, loose = SignInPolicy(hours=1, token_days=1), SignInPolicy(hours=100, token_days=300)
    with database.begin() as session:
        added(session)
        browser, program = signed_in(session).token, signed_in(session, kind="token").token
        for at in (START + 20 * MINUTE, START + 40 * MINUTE):
            assert find_session(session, browser, POLICY, at=at) is not None
        assert find_session(session, browser, strict, at=START + HOUR) is None
        assert find_session(session, program, strict, at=START + DAY) is None
        assert find_session(session, program, loose, at=START + 31 * DAY) is None


def test_use_is_written_down_once_a_minute(database: Database) -> None:
    """Requests in between only read; the person's last request is known to the minute."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        for seconds in (1, 59, 60, 61, 119):
            find_session(session, token, POLICY, at=START + seconds * 1_000_000)
        assert sessions_of(session, "ann")[0].used == START + MINUTE
        person = find_person(session, "ann")
        assert person is not None
        assert person.last_seen == START + MINUTE


def test_a_reader_can_ask_whose_a_token_is(database: Database) -> None:
    """Without a writing transaction the answer is the same, and says whether to write its use."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
    with database.read() as session:
        early = peek_session(session, token, POLICY, at=START + 1)
        late = peek_session(session, token, POLICY, at=START + MINUTE)
        assert peek_session(session, "x" + token, POLICY, at=START) is None
    assert early is not None
    assert late is not None
    assert (early.is_due, late.is_due) == (False, True)
    assert early.person.name == "ann"


def test_a_session_that_somebody_planted_is_worth_nothing(database: Database) -> None:
    """Signing in makes a new token, ends the browser's old session, and takes over no token."""
    with database.begin() as session:
        added(session)
        added(session, "eve")
        planted = signed_in(session, "eve").token
        made = signed_in(session, "ann", old_token=planted)
        assert made.token != planted
        assert find_session(session, planted, POLICY, at=START) is None
        invented = signed_in(session, "ann", old_token="chosen-by-somebody")
        assert find_session(session, "chosen-by-somebody", POLICY, at=START) is None
        assert len({made.token, made.csrf, invented.token, invented.csrf}) == 4


def test_a_refused_sign_in_ends_no_session(database: Database) -> None:
    """A wrong password in a browser does not sign out who is in there."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        sign_in(session, "ann", WRONG, POLICY, at=START, old_token=token)
        assert find_session(session, token, POLICY, at=START) is not None


def test_signing_out_ends_one_session(database: Database) -> None:
    """The token is worth nothing afterwards; the person's other sessions go on."""
    with database.begin() as session:
        added(session)
        first, second = signed_in(session).token, signed_in(session).token
        assert end_session(session, first)
        assert not end_session(session, first)
        assert find_session(session, first, POLICY, at=START) is None
        assert find_session(session, second, POLICY, at=START) is not None


@pytest.mark.parametrize("token", ["", "\0", "\ud800", "x" * 100_000, "' OR 1=1 --", "%"])
def test_any_text_can_be_shown_as_a_token(database: Database, token: str) -> None:
    """No text is an error, and none of these belongs to anybody."""
    with database.begin() as session:
        added(session)
        signed_in(session)
        assert find_session(session, token, POLICY, at=START) is None
        assert not end_session(session, token)


def test_the_digest_is_no_token(database: Database) -> None:
    """Who reads the database cannot sign in with what stands there."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        digest = session.scalars(select(SessionRow.digest)).one()
        assert digest == hashlib.sha256(token.encode()).hexdigest()
        assert find_session(session, digest, POLICY, at=START) is None


def test_nothing_that_is_printed_shows_a_secret(database: Database) -> None:
    """Tokens, CSRF tokens and hashes are left out of how objects are shown in logs."""
    with database.begin() as session:
        added(session)
        made = signed_in(session)
        standing = find_session(session, made.token, POLICY, at=START)
        rows = session.scalars(select(SessionRow)).all()
        shown = repr([made, standing, sessions_of(session, "ann"), rows])
    assert "ann" in shown
    assert [s for s in (made.token, made.csrf, PASSWORD) if s in shown] == []


def test_a_token_has_256_random_bits(database: Database) -> None:
    """Tokens are long, of letters that every header takes, and no two are alike."""
    with database.begin() as session:
        added(session)
        tokens = {signed_in(session).token for _ in range(50)}
    assert len(tokens) == 50
    assert {len(t) for t in tokens} == {43}
    assert all(t.replace("-", "").replace("_", "").isalnum() for t in tokens)


def test_a_session_of_somebody_disabled_opens_nothing(database: Database) -> None:
    """Even if a session were still there, being disabled is looked at with each request."""
    with database.begin() as session:
        added(session)
        token = signed_in(session).token
        session.get_one(PersonRow, "ann").disabled = True
        assert find_session(session, token, POLICY, at=START) is None
        assert len(sessions_of(session, "ann")) == 1


def test_a_disabled_user_gets_no_token(database: Database) -> None:
    """A token made for somebody disabled would come alive later, so none is made."""
    with database.begin() as session:
        added(session)
        disable(session, "ann", at=START)
        with pytest.raises(SignInError, match="people enable ann"):
            issue_token(session, "ann", POLICY, at=START, label="")
        assert sessions_of(session, "ann") == []


@pytest.mark.parametrize("label", ["x" * 81, "a\x1b[2Jb", "a\0b"])
def test_a_label_can_be_shown(database: Database, label: str) -> None:
    """Labels that are long or hold control characters are refused."""
    with database.begin() as session:
        added(session)
        with pytest.raises(PersonNameError):
            issue_token(session, "ann", POLICY, at=START, label=label)


def test_only_two_kinds_of_sessions_can_begin(database: Database) -> None:
    """A kind that is neither a browser's nor a program's is a fault of the caller."""
    with database.begin() as session:
        added(session)
        with pytest.raises(ValueError, match="kind"):
            sign_in(session, "ann", PASSWORD, POLICY, at=START, kind="forever")


def test_sweeping_removes_what_is_over_and_nothing_else(database: Database) -> None:
    """Sessions past their end and guesses of the day before yesterday go."""
    with database.begin() as session:
        added(session)
        signed_in(session)
        kept = signed_in(session, kind="token")
        sign_in(session, "nobody", WRONG, POLICY, at=START)
        assert sweep(session, START + 1) == 0
        assert len(session.scalars(select(StrangerRow)).all()) == 1
        assert sweep(session, START + DAY + 1) == 1
        assert session.scalars(select(StrangerRow)).all() == []
        assert isinstance(kept, SignedIn)
        assert find_session(session, kept.token, POLICY, at=START + DAY + 1) is not None
