"""The audit log: what is written, what is found, and what may be removed."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, text, update

from bank_node.store import audit
from bank_node.store.database import Database
from bank_node.store.details import BLANK
from bank_node.store.errors import AuditBrokenError, AuditDetailError
from bank_node.store.tables import AuditRow, CheckpointRow
from tests.bank_node.store.keys import SeededKey

KEY, NEXT_KEY, FOREIGN_KEY = SeededKey(1), SeededKey(2), SeededKey(3)
KEYS = {KEY.public, NEXT_KEY.public}


def write(database: Database, numbers, key=KEY) -> None:
    """Add an entry for each number, at that time, and sign the last."""
    with database.begin() as session:
        for n in numbers:
            details = {"bits": n, "bank": "alba"}
            audit.append(
                session, at=n, actor="alba", action="run.stored", run_id=f"r{n}", details=details
            )
        audit.sign_head(session, key, at=n)


def verified(database: Database, keys=KEYS, known=None) -> audit.Verification:
    """Verify the whole log."""
    with database.read() as session:
        return audit.verify(session, keys, known)


def change(database: Database, statement) -> None:
    """Carry out a statement as somebody with access to the database would."""
    with database.begin() as session:
        session.execute(statement)


def test_entries_are_numbered_and_chained(database):
    """Each entry holds the hash of the one before, and what was said about it."""
    write(database, range(1, 4))
    with database.read() as session:
        found = audit.entries(session)
    assert [e.number for e in found] == [1, 2, 3]
    assert [e.previous for e in found] == ["", found[0].hash, found[1].hash]
    assert json.loads(found[2].details) == {"bank": "alba", "bits": 3}
    assert (found[2].actor, found[2].action, found[2].run_id) == ("alba", "run.stored", "r3")


def test_a_log_as_it_was_written_is_in_order(database):
    """Nothing is wrong with an untouched log; its head and size are told."""
    write(database, range(1, 6))
    found = verified(database)
    assert (found.ok, found.rows, found.first_bad, found.unsigned) == (True, 5, None, 0)
    assert found.head is not None
    assert found.head.number == 5


def test_an_empty_log_is_in_order(database):
    """A node that has done nothing has an empty log, and nothing to sign."""
    with database.begin() as session:
        assert audit.sign_head(session, KEY, at=1) is None
    found = verified(database)
    assert (found.ok, found.rows, found.reason) == (True, 0, "the log is empty")


def test_entries_newer_than_the_last_checkpoint_are_told(database):
    """They are in order, but nobody has signed them yet."""
    write(database, range(1, 4))
    with database.begin() as session:
        audit.append(session, at=9, actor="alba", action="run.refused", details={})
    found = verified(database)
    assert (found.ok, found.unsigned) == (True, 1)
    assert "1 are newer than the last checkpoint (3)" in found.reason


def test_an_entry_and_what_it_is_about_stand_or_fall_together(database):
    """An entry of a transaction that failed is not there, and leaves no gap."""

    def fail():
        with database.begin() as session:
            audit.append(session, at=1, actor="alba", action="run.stored", details={})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    write(database, [2])
    assert verified(database).rows == 1


def test_many_writers_make_one_chain(database):
    """Entries of four threads at once are numbered without gap and chained."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: [write(database, [k * 10 + n]) for n in range(1, 6)], range(4)))
    found = verified(database)
    assert (found.ok, found.rows, found.unsigned) == (True, 20, 0)


@pytest.mark.parametrize(
    ("details", "written"),
    [
        ({"accounts": ["A1"]}, {"accounts": BLANK}),
        ({"source": "A1"}, {"source": BLANK}),
        ({"deep": [{"iban": "A1"}]}, {"deep": [{"iban": BLANK}]}),
        ({"parameters": {"account": "A1"}}, {"parameters": {"account": BLANK}}),
        ({"reason": "is NL91ABNA0417164300 in?"}, {"reason": f"is {BLANK} in?"}),
        ({"reason": "is NL91 ABNA 0417 1643 00 in?"}, {"reason": f"is {BLANK} in?"}),
        ({"reason": "DE89370400440532013000 RATHER"}, {"reason": BLANK}),
        ({"NL91ABNA0417164300": 1}, {BLANK: 1}),
    ],
)
def test_no_account_gets_into_the_details(database, details, written):
    """What stands under a name of private inputs is blanked, and so is every IBAN."""
    with database.begin() as session:
        audit.append(session, at=1, actor="alba", action="run.refused", details=details)
        assert json.loads(audit.entries(session)[0].details) == written


def test_counts_and_hashes_are_not_taken_for_accounts(database):
    """A number of accounts, a run's id, a hash and a wrong check digit stay as they are."""
    details = {
        "accounts": 12,
        "nested": {"sources": 3, "account": None},
        "reason": "run fe12ab34cd56ef7890ab failed",
        "digest": "de89" * 16,
        "code": "NL92ABNA0417164300",
    }
    with database.begin() as session:
        audit.append(session, at=1, actor="alba", action="intake", details=details)
        assert json.loads(audit.entries(session)[0].details) == details


def test_an_account_may_stand_under_its_own_key(database):
    """The log of accesses names the account that was looked at."""
    details = {"account": "NL91ABNA0417164300", "alert": 7}
    with database.begin() as session:
        audit.append(session, at=1, actor="ann", action="alert.seen", details=details)
        assert json.loads(audit.entries(session)[0].details) == details


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800", b"bytes"])
def test_details_that_are_no_json_are_refused(database, value):
    """What has no canonical form cannot be hashed."""

    def add():
        with database.begin() as session:
            audit.append(session, at=1, actor="alba", action="x", details={"a": value})

    with pytest.raises(AuditDetailError):
        add()


def test_a_checkpoint_of_a_foreign_key_is_found(database):
    """A signature counts only if its key is one of the node's."""
    write(database, range(1, 4), key=FOREIGN_KEY)
    found = verified(database)
    assert (found.ok, found.first_bad) == (False, 3)


def test_a_log_that_was_never_signed_is_not_believed(database):
    """Without any checkpoint anybody with access may have made all of it."""
    with database.begin() as session:
        audit.append(session, at=1, actor="alba", action="run.stored", details={})
    found = verified(database)
    assert (found.ok, found.first_bad) == (False, 1)


def test_a_new_key_signs_on(database):
    """After a change of keys the log is verified with the old and the new one."""
    write(database, [1, 2])
    with database.begin() as session:
        audit.sign_head(session, NEXT_KEY, 3, public_keys=KEYS)
    with database.begin() as session:
        audit.append(session, at=4, actor="alba", action="run.stored", details={})
        audit.sign_head(session, NEXT_KEY, 4)
    assert verified(database).ok
    assert verified(database, {NEXT_KEY.public}).ok  # the old key's only checkpoint was replaced


def test_what_took_the_place_of_signed_entries_is_not_signed(database):
    """The running node does not put its signature under a log that was changed meanwhile."""
    write(database, range(1, 4))
    with database.begin() as session:
        audit.append(session, at=4, actor="alba", action="run.stored", details={})
    change(database, update(AuditRow).where(AuditRow.number == 4).values(previous="0" * 64))

    def sign():
        with database.begin() as session:
            audit.sign_head(session, KEY, at=5)

    with pytest.raises(AuditBrokenError, match="entry 4"):
        sign()
    with database.read() as session:
        assert session.get(CheckpointRow, 4) is None


def test_a_head_noted_elsewhere_finds_a_log_put_back(database):
    """A log put back to an earlier day, checkpoints included, is in order in itself only."""
    write(database, range(1, 4))
    write(database, range(4, 6))
    noted = verified(database).head
    assert noted is not None
    assert verified(database, known=noted).ok
    change(database, delete(AuditRow).where(AuditRow.number > 3))
    change(database, delete(CheckpointRow).where(CheckpointRow.number > 3))
    assert verified(database).ok
    found = verified(database, known=noted)
    assert (found.ok, found.first_bad) == (False, 4)
    write(database, [40, 50])
    found = verified(database, known=noted)
    assert (found.ok, found.first_bad) == (False, 5)


def test_text_that_cannot_be_read_is_found(tmp_path):
    """SQLite keeps bytes that are no text; verifying names the entry and does not crash."""
    database = Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    write(database, range(1, 4))
    change(database, text("UPDATE audit SET actor = CAST(x'ff' AS TEXT) WHERE number = 2"))
    found = verified(database)
    assert (found.ok, found.first_bad) == (False, 2)
    database.close()


@pytest.mark.parametrize("value", ["x'ff'", "1.0", "'1'"])
def test_a_value_of_another_type_is_found(tmp_path, value):
    """SQLite keeps values of any type; each that differs in its type is found."""
    database = Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    write(database, range(1, 4))
    change(database, text(f"UPDATE audit SET details = {value} WHERE number = 1"))
    assert verified(database).first_bad == 1
    database.close()


def test_pruning_removes_what_is_behind_a_checkpoint(database):
    """Old entries up to a checkpoint go; the rest is still verified from there on."""
    write(database, [1, 2, 3])
    write(database, [4, 5, 6])
    write(database, [7, 8])
    with database.begin() as session:
        assert audit.prune(session, KEY, before=6, at=100, public_keys=KEYS) == 3
    with database.read() as session:
        left = audit.entries(session)
    assert [e.number for e in left] == [4, 5, 6, 7, 8, 9]
    assert left[-1].action == "audit.pruned"
    assert json.loads(left[-1].details) == {"entries": 3, "through": 3}
    found = verified(database)
    assert (found.ok, found.rows, found.unsigned) == (True, 6, 0)


def test_pruning_everything_keeps_the_numbers_going(database):
    """When all entries are old the log goes on from its checkpoint."""
    write(database, [1, 2, 3])
    with database.begin() as session:
        assert audit.prune(session, KEY, before=50, at=100) == 3
        assert audit.prune(session, KEY, before=50, at=101) == 0
    with database.read() as session:
        assert [e.number for e in audit.entries(session)] == [4]
    assert verified(database).ok


def test_a_head_noted_elsewhere_is_compared_with_the_start_too(database):
    """After pruning, the entry that the log starts behind must be the one that was noted."""
    write(database, [1, 2, 3])
    noted = verified(database).head
    assert noted is not None
    with database.begin() as session:
        audit.prune(session, KEY, before=50, at=100)
    assert verified(database, known=noted).ok
    other = audit.Head(noted.number, "0" * 64)
    assert verified(database, known=other).first_bad == 3


def test_what_no_checkpoint_covers_is_not_removed(database):
    """Entries between checkpoints stay until the next checkpoint is old as well."""
    write(database, [1, 2, 3])
    with database.begin() as session:
        assert audit.prune(session, KEY, before=3, at=100) == 0
    assert verified(database).rows == 3


@pytest.mark.parametrize("through", [1, 3, 6])
def test_removing_old_entries_without_the_key_is_found(database, through):
    """Only a signed start excuses missing entries, even behind a genuine checkpoint."""
    write(database, [1, 2, 3])
    write(database, [4, 5, 6])
    change(database, delete(AuditRow).where(AuditRow.number <= through))
    assert not verified(database).ok
    change(database, update(CheckpointRow).values(starts=True))
    assert not verified(database).ok


def test_a_changed_log_is_not_pruned(database):
    """Pruning would hide the change, so it is refused and nothing is removed."""
    write(database, [1, 2, 3])
    write(database, [4])
    change(database, update(AuditRow).where(AuditRow.number == 2).values(actor="eve"))

    def prune():
        with database.begin() as session:
            audit.prune(session, KEY, before=4, at=100)

    with pytest.raises(AuditBrokenError):
        prune()
    with database.read() as session:
        assert len(audit.entries(session)) == 4


def test_an_export_is_verified_without_the_database(database):
    """The exported lines are enough for an auditor, and a change in them is found."""
    write(database, range(1, 4))
    with database.read() as session:
        lines = list(audit.export(session))
    assert audit.verify_export(lines, KEYS).ok
    assert not audit.verify_export([line.replace("r2", "r9") for line in lines], KEYS).ok
    assert not audit.verify_export(lines[:-1], KEYS).ok
    with pytest.raises(AuditBrokenError):
        audit.verify_export([*lines, "{}"], KEYS)


def test_entries_are_read_by_page_and_by_run(database):
    """A log is looked at in parts."""
    write(database, range(1, 8))
    with database.read() as session:
        assert [e.number for e in audit.entries(session, after=2, limit=3)] == [3, 4, 5]
        assert [e.number for e in audit.entries(session, run_id="r6")] == [6]
