"""Random changes of the audit table by somebody without the key: all of them are found."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from bank_node.store import audit
from bank_node.store.chain import Entry, entry_hash, sign_checkpoint
from bank_node.store.database import Database
from bank_node.store.tables import AuditRow, CheckpointRow
from tests.bank_node.store.keys import SeededKey

KEY = SeededKey()
ROWS = 12
SIGNED = (4, 8, 12)
FIELDS = ("at", "actor", "action", "run_id", "digest", "details", "previous", "hash")

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
values = st.one_of(words, st.none(), st.sampled_from(["{}", "0" * 64, "", " ", "run.stored"]))
times = st.integers(-(2**63), 2**63 - 1)
numbers = st.integers(1, ROWS)
on_both = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def log(database: Database) -> Database:
    """A log of twelve entries, signed after each fourth."""
    with database.begin() as session:
        for n in range(1, ROWS + 1):
            run = f"r{n}" if n % 2 else None
            audit.append(
                session, at=n, actor="alba", action="run.stored", run_id=run, details={"n": n}
            )
            if n in SIGNED:
                audit.sign_head(session, KEY, at=n)
    return database


class Undone(Exception):
    """Ends a transaction without keeping it."""


def found_after(log: Database, statements) -> audit.Verification:
    """Verify the log after some statements, and undo them."""
    result = []
    try:
        with log.begin() as session:
            for statement in statements:
                session.execute(statement)
            result.append(audit.verify(session, {KEY.public}))
            raise Undone
    except Undone:
        return result[0]


def rows_of(log: Database) -> list[dict]:
    """Return all entries as they lie there."""
    with log.read() as session:
        return [vars(entry) for entry in audit.entries(session)]


def chained(rows: list[dict]) -> list[dict]:
    """Return the rows numbered and chained afresh, as somebody without the key can."""
    made: list[dict] = []
    for number, row in enumerate(rows, 1):
        previous = made[-1]["hash"] if made else ""
        bare = Entry(**(row | {"number": number, "previous": previous, "hash": ""}))
        made.append(vars(bare) | {"hash": entry_hash(bare)})
    return made


@on_both
@given(number=numbers, field=st.sampled_from(FIELDS), text=values, time=times)
def test_any_field_changed_is_found(log, number, field, text, time):
    """Whatever one field of one entry is set to, the entry or the next is named."""
    row = rows_of(log)[number - 1]
    nullable = field in ("run_id", "digest")
    value = time if field == "at" else (text if nullable or text is not None else "")
    statement = update(AuditRow).where(AuditRow.number == number).values({field: value})
    found = found_after(log, [statement])
    if value == row[field]:
        assert found.ok
    else:
        assert not found.ok
        assert found.first_bad == number


@on_both
@given(gone=st.sets(numbers, min_size=1))
def test_any_entries_deleted_are_found(log, gone):
    """The first missing entry is named, wherever it stood and however many went."""
    found = found_after(log, [delete(AuditRow).where(AuditRow.number.in_(gone))])
    assert (found.ok, found.first_bad) == (False, min(gone))


@on_both
@given(number=st.integers(-3, ROWS + 5).filter(lambda n: not 1 <= n <= ROWS), source=numbers)
def test_an_entry_inserted_is_found(log, number, source):
    """An entry with a free number, before the first or behind the last, copied or made up."""
    row = rows_of(log)[source - 1] | {"number": number}
    assert not found_after(log, [insert(AuditRow).values(row)]).ok


@on_both
@given(at=numbers, actor=words)
def test_an_entry_pushed_in_is_found(log, at, actor):
    """All behind it renumbered and the chain made anew: the signed heads do not fit."""
    rows = rows_of(log)
    rows.insert(at - 1, rows[0] | {"actor": actor})
    statements = [delete(AuditRow), *(insert(AuditRow).values(row) for row in chained(rows))]
    assert not found_after(log, statements).ok


@on_both
@given(first=numbers, second=numbers, whole=st.booleans())
def test_entries_swapped_are_found(log, first, second, whole):
    """Two entries in each other's place, with their hashes or with the chain made anew."""
    rows = rows_of(log)
    one, other = rows[first - 1], rows[second - 1]
    rows[first - 1] = other | {"number": first}
    rows[second - 1] = one | {"number": second}
    made = rows if whole else chained(rows)
    statements = [delete(AuditRow), *(insert(AuditRow).values(row) for row in made)]
    assert found_after(log, statements).ok == (first == second)


@on_both
@given(keep=st.integers(0, ROWS - 1))
def test_a_tail_cut_off_is_found(log, keep):
    """A log that ends before its last checkpoint says where it was cut."""
    found = found_after(log, [delete(AuditRow).where(AuditRow.number > keep)])
    assert (found.ok, found.first_bad) == (False, keep + 1)


@on_both
@given(number=numbers, actor=words.filter(lambda w: w != "alba"), foreign=st.booleans())
def test_a_chain_made_anew_is_found(log, number, actor, foreign):
    """A chain that is right in itself has no checkpoints, or such of another key."""
    rows = rows_of(log)
    rows[number - 1] = rows[number - 1] | {"actor": actor}
    made = chained(rows)
    assert not found_after(log, _replaced(made, [])).ok
    assert not found_after(log, _replaced(made, None)).ok
    if foreign:
        forged = _signed(made, SeededKey(9))
        assert not found_after(log, _replaced(made, forged)).ok
        claimed = [row | {"key": KEY.public} for row in forged]
        assert not found_after(log, _replaced(made, claimed)).ok


@on_both
@given(
    number=st.sampled_from(SIGNED),
    field=st.sampled_from(["number", "hash", "at", "starts", "signature", "key"]),
    value=words,
)
def test_any_field_of_a_checkpoint_changed_is_found(log, number, field, value):
    """A checkpoint cannot be moved to another entry or made into a start of the log."""
    new: object = {"number": number + 1, "at": number + 7, "starts": True}.get(field, value)
    changed = update(CheckpointRow).where(CheckpointRow.number == number).values({field: new})
    assert not found_after(log, [changed]).ok


def test_the_untouched_log_is_in_order(log):
    """None of these tests finds what is not there."""
    assert found_after(log, []).ok
    with log.read() as session:
        assert list(session.scalars(select(CheckpointRow.number))) == list(SIGNED)


def _replaced(rows: list[dict], checkpoints: list[dict] | None) -> list:
    """Return the statements that put other rows, and other checkpoints unless None, in place."""
    statements: list = [delete(AuditRow), *(insert(AuditRow).values(row) for row in rows)]
    if checkpoints is not None:
        statements.append(delete(CheckpointRow))
        statements += [insert(CheckpointRow).values(row) for row in checkpoints]
    return statements


def _signed(rows: list[dict], key: SeededKey) -> list[dict]:
    heads = [rows[n - 1] for n in SIGNED]
    return [vars(sign_checkpoint(key, r["number"], r["hash"], 1, starts=False)) for r in heads]
