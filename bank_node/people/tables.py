"""The tables of the people who use a node, on the store's base.

No password and no token stands here, only what can be checked against one: the Argon2 hash of a
password, and the SHA-256 digest of a token.
"""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from bank_node.store.tables import Base

__all__ = ["PersonRow", "SessionRow", "StrangerRow"]


class PersonRow(Base):
    """A user.  Rows are never removed: journals and the audit log name them.

    ``failures``: wrong passwords in a row, the last of them at ``failed``.
    """

    __tablename__ = "people"

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    display: Mapped[str]
    password: Mapped[str]
    failures: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[int | None]
    disabled: Mapped[bool] = mapped_column(default=False)
    created: Mapped[int]
    changed: Mapped[int]
    last_seen: Mapped[int | None]


class SessionRow(Base):
    """A session of a browser, or the token of a program; ``digest`` is that of its token."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(ForeignKey("people.name"), index=True)
    kind: Mapped[str]
    csrf: Mapped[str]
    label: Mapped[str]
    created: Mapped[int]
    expires: Mapped[int] = mapped_column(index=True)
    used: Mapped[int]


class StrangerRow(Base):
    """Wrong passwords for names that nobody has, so that a lock-out does not tell who exists.

    ``bucket``: a few bits of a keyed hash of the name; the name itself is kept nowhere.
    """

    __tablename__ = "strangers"

    bucket: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[int | None]
