"""What the tests of people start from."""

from sqlalchemy.orm import Session

from bank_node.people import PersonView, SignedIn, SignInPolicy, add_person, sign_in

PASSWORD = "correct horse battery"
WRONG = "incorrect horse battery"
MINUTE = 60 * 1_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
START = 20_000 * DAY
POLICY = SignInPolicy()


def added(session: Session, name: str = "ann", role: str = "analyst") -> PersonView:
    """Add a user at the start."""
    return add_person(session, name, role, name.capitalize(), PASSWORD, at=START)


def signed_in(session: Session, name: str = "ann", at: int = START, **options) -> SignedIn:
    """Sign a user in, who must not be refused."""
    done = sign_in(session, name, PASSWORD, POLICY, at=at, **options)
    assert isinstance(done, SignedIn)
    return done
