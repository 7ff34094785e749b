"""Who is at the desk: signing in and out, who the users are, and what each keeps for themselves."""

import json

from sqlalchemy import delete, select

from alerts import Action, Person
from alerts.errors import EntryError, NotFound
from alerts.people import check_permission
from bank_node.desk.ground import Ground
from bank_node.desk.rights import Right, check_right
from bank_node.desk.tables import SavedViewRow
from bank_node.people import (
    PersonView,
    Refused,
    SignedIn,
    Standing,
    end_session,
    find_person,
    find_session,
    list_people,
    peek_session,
    prove,
    sign_in,
    stored_hash,
)

__all__ = ["PersonDesk"]

_MOST_VIEWS = 50
_LONGEST_QUERY = 2000
_LONGEST_NAME = 80


class PersonDesk(Ground):
    """What people do about themselves."""

    def sign_in(
        self,
        name: str,
        password: str,
        *,
        kind: str = "browser",
        label: str = "",
        old_token: str | None = None,
        source: str = "",
    ) -> SignedIn | Refused:
        """Sign a person in, or say why not; both are on record.

        Args:
            name, password: as they were typed.
            kind: ``browser``, whose session ends when it is idle, or ``token``, of a program.
            label: what the token is for. old_token: of a session that ends with this.
            source: address from which it was asked.
        """
        now, policy = self._clock(), self._config.web.sign_in
        with self._reading() as session:
            stored = stored_hash(session, name)
        proof = prove(stored, password)  # takes long: no connection is kept meanwhile
        with self._writing() as session:
            done = sign_in(
                session, name, password, policy, at=now, kind=kind, label=label,
                old_token=old_token, proof=proof,
            )  # fmt: skip
            details = {"kind": kind, "from": source[:64]}
            if isinstance(done, Refused):
                known = find_person(session, name.strip().lower())
                asked = "somebody" if known is None else known.name
                told = details | {"reason": done.reason}
                self._note(session, asked, "people.refused", told)
            else:
                self._note(session, done.person.person, "people.signed-in", details)
        return done

    def standing(self, token: str, *, is_used: bool = True) -> Standing | None:
        """Return who a token belongs to now; None: to nobody.

        Args:
            token: as it was sent.
            is_used: whether a person acts; a page that asks by itself keeps no session alive.
        """
        if not token or len(token) > 200:
            return None
        policy, now = self._config.web.sign_in, self._clock()
        with self._reading() as session:
            found = peek_session(session, token, policy, at=now)
        if found is None or not (found.is_due and is_used):
            return found
        with self._writing() as session:
            return find_session(session, token, policy, at=now)

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self._writing() as session:
            found = peek_session(session, token, self._config.web.sign_in, at=self._clock())
            end_session(session, token)
            if found is not None:
                self._note(session, found.person.person, "people.signed-out", {})

    def from_proxy(self, name: str) -> PersonView | None:
        """Return the person whom a trusted proxy has signed in; None: no such user, or disabled."""
        with self._reading() as session:
            found = find_person(session, name)
        return None if found is None or found.disabled else found

    def people(self, who: Person) -> list[PersonView]:
        """Return all users."""
        check_right(who, Right.PEOPLE)
        with self._reading() as session:
            return list_people(session)

    def views(self, who: Person) -> dict[str, str]:
        """Return the lists that a person keeps: name → query."""
        check_permission(who, Action.VIEW)
        query = select(SavedViewRow).where(SavedViewRow.person == who.name)
        with self._reading() as session:
            rows = session.scalars(query.order_by(SavedViewRow.name))
            return {row.name: row.query for row in rows}

    def save_view(self, who: Person, name: str, query: str) -> None:
        """Keep a list with its filters under a name, in the place of one of that name."""
        check_permission(who, Action.VIEW)
        text = " ".join(name.split())
        if not text or len(text) > _LONGEST_NAME or not text.isprintable():
            raise EntryError("the name is empty or too long", f"use 1 to {_LONGEST_NAME} letters")
        if len(query) > _LONGEST_QUERY:
            raise EntryError("the filters are too long", "use fewer of them")
        kept = self.views(who)
        if text not in kept and len(kept) >= _MOST_VIEWS:
            raise EntryError(f"there are {_MOST_VIEWS} saved views", "remove one first")
        with self._writing() as session:
            row = SavedViewRow(person=who.name, name=text, query=query, at=self._clock())
            session.merge(row)

    def remove_view(self, who: Person, name: str) -> None:
        """Forget a saved view."""
        check_permission(who, Action.VIEW)
        gone = delete(SavedViewRow).where(
            SavedViewRow.person == who.name, SavedViewRow.name == name
        )
        with self._writing() as session:
            removed = session.execute(gone.returning(SavedViewRow.name)).all()
        if not removed:
            raise NotFound(f"there is no saved view {json.dumps(name[:80])}", "list the views")
