"""The tables of the desk: what its people keep, beside alerts and cases.

Questions are private: which account a person asked about stands here, in the bank's own database,
and nowhere else.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from bank_node.store.tables import Base

__all__ = ["QuestionRow", "SavedViewRow"]


class QuestionRow(Base):
    """A trace that a person asked for: the accounts it starts from, which no other member knows."""

    __tablename__ = "questions"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    person: Mapped[str] = mapped_column(String(64))
    accounts: Mapped[list[Any]] = mapped_column(JSON)
    at: Mapped[int] = mapped_column(BigInteger)


class SavedViewRow(Base):
    """A list with its filters that a person keeps under a name."""

    __tablename__ = "saved_views"

    person: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    query: Mapped[str] = mapped_column(Text)
    at: Mapped[int] = mapped_column(BigInteger)
