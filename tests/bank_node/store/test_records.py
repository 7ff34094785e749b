"""Runs, slots, messages, columns, days of data, and what is removed in time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pytest

from bank_node.intake.days import DayFile, DayList
from bank_node.store import column_sets, ledger, messages, results, retention, runs, slots
from bank_node.store.column_sets import ColumnSet
from bank_node.store.days import StoredDays, batches
from bank_node.store.errors import ConflictError, MissingRunError
from tests.bank_node.store.made import made_run


def test_a_run_comes_back_as_it_was(database):
    """Every field of a run survives."""
    run = made_run(rehearsal=True, closed=5, port=9400, details='{"tries":2}', slot="2026-11-24")
    with database.begin() as session:
        assert runs.add(session, run)
    with database.read() as session:
        assert runs.find(session, "run-1") == run
        assert runs.find(session, "run-9") is None


def test_a_run_is_added_once(database):
    """The second of an id is told and changes nothing."""
    with database.begin() as session:
        assert runs.add(session, made_run())
        assert not runs.add(session, made_run(phase="stored"))
        assert runs.find(session, "run-1") == made_run()


def test_a_run_changes_in_what_is_named(database):
    """Only the named fields change, and the time of the change is kept."""
    with database.begin() as session:
        runs.add(session, made_run(port=9400))
        runs.change(session, "run-1", 1500, phase="failed", reason_code="node.x", port=None)
        found = runs.find(session, "run-1")
    wanted = made_run(phase="failed", reason_code="node.x", port=None, updated=1500)
    assert found == wanted


def test_a_run_that_is_not_there_cannot_change(database):
    """A change of an unknown run is an error, not nothing."""
    with pytest.raises(MissingRunError, match="run-9"), database.begin() as session:
        runs.change(session, "run-9", 1, phase="stored")


def test_runs_are_listed(database):
    """Open ones the oldest first, all of them the newest first, and counted by phase."""
    with database.begin() as session:
        for n, closed in ((1, 5), (2, None), (3, None)):
            phase = "stored" if closed else "running"
            runs.add(session, made_run(f"run-{n}", created=n, closed=closed, phase=phase))
        assert [r.run_id for r in runs.open_runs(session)] == ["run-2", "run-3"]
        assert [r.run_id for r in runs.newest(session, limit=2)] == ["run-3", "run-2"]
        assert [r.run_id for r in runs.newest(session, phases=["stored"])] == ["run-1"]
        assert runs.newest(session, analyses=["trace"]) == []
        assert runs.count_by_phase(session) == {"running": 2, "stored": 1}


def test_a_slot_gets_one_run(database):
    """The first claim counts; the same slot of another schedule is another slot."""
    with database.begin() as session:
        assert slots.claim(session, "nightly", "2026-11-24T02:00:00Z", "run-1", 5)
        assert not slots.claim(session, "nightly", "2026-11-24T02:00:00Z", "run-2", 6)
        assert slots.claim(session, "weekly", "2026-11-24T02:00:00Z", "run-3", 7)
        assert slots.claim(session, "nightly", "2026-11-25T02:00:00Z", "run-4", 8)
        assert slots.run_of(session, "nightly", "2026-11-24T02:00:00Z") == "run-1"
        assert slots.last_slot(session, "nightly") == "2026-11-25T02:00:00Z"
        assert slots.last_slot(session, "monthly") is None


def test_claims_at_the_same_time_have_one_winner(database):
    """Of four that claim a slot at once one gets it."""
    barrier = threading.Barrier(4)

    def claim(n: int) -> bool:
        barrier.wait()
        with database.begin() as session:
            return slots.claim(session, "nightly", "slot", f"run-{n}", 5)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claim, range(4))) == [False, False, False, True]


def test_only_the_latest_statement_of_a_member_is_kept(database):
    """A later one replaces it, an earlier one is refused, the same again does no harm."""
    with database.begin() as session:
        runs.add(session, made_run())
        assert messages.save_statement(session, "run-1", "brio", 5, {"phase": "ready"}, 50)
        assert not messages.save_statement(session, "run-1", "brio", 4, {"phase": "judging"}, 60)
        assert messages.save_statement(session, "run-1", "brio", 5, {"phase": "ready"}, 50)
        assert messages.save_statement(session, "run-1", "calm", 1, {"phase": "refused"}, 70)
        found = messages.statements_of(session, "run-1")
    assert {m: (s.sequence, s.content, s.at) for m, s in found.items()} == {
        "brio": (5, {"phase": "ready"}, 50),
        "calm": (1, {"phase": "refused"}, 70),
    }


def test_a_statement_is_about_a_known_run(database):
    """A statement about a run that is not there is refused."""
    with pytest.raises(ConflictError), database.begin() as session:
        messages.save_statement(session, "run-9", "brio", 5, {}, 50)


def test_only_the_latest_status_of_a_peer_is_kept(database):
    """A member's status is replaced by later ones only."""
    with database.begin() as session:
        assert messages.save_peer(session, "brio", 2, {"state": "online"}, 20)
        assert messages.save_peer(session, "brio", 3, {"state": "offline"}, 30)
        assert not messages.save_peer(session, "brio", 2, {"state": "online"}, 40)
        [found] = messages.peers(session).values()
    assert (found.member, found.sequence, found.content, found.at) == (
        "brio",
        3,
        {"state": "offline"},
        30,
    )


def test_positions_are_kept_per_sender_and_topic(database):
    """The last message accepted is known again after a restart."""
    with database.begin() as session:
        assert messages.last_position(session, "brio", "t1") is None
        messages.save_position(session, "brio", "t1", 5, "aa")
        messages.save_position(session, "brio", "t1", 6, "bb")
        messages.save_position(session, "brio", "t2", 2, "cc")
    with database.read() as session:
        assert messages.last_position(session, "brio", "t1") == (6, "bb")
        assert messages.last_position(session, "brio", "t2") == (2, "cc")
        assert messages.last_position(session, "calm", "t1") is None


def test_no_number_is_given_twice(database):
    """Numbers of four threads at once are all different and without gap."""

    def take(_: int) -> list[int]:
        taken = []
        for _ in range(5):
            with database.begin() as session:
                taken.append(messages.next_number(session, "messages"))
        return taken

    with ThreadPoolExecutor(4) as pool:
        given = [n for part in pool.map(take, range(4)) for n in part]
    assert sorted(given) == list(range(1, 21))


def test_a_counter_can_be_advanced(database):
    """A node from a backup jumps ahead of all numbers that it may have given since."""
    with database.begin() as session:
        assert messages.counter(session, "messages") == 0
        messages.next_number(session, "messages")
        messages.set_counter(session, "accounts", 40)
        messages.advance_counter(session, "messages", 1000)
        assert messages.next_number(session, "messages") == 1002
        assert messages.counter(session, "accounts") == 40


def made_columns(name: str, **changes) -> ColumnSet:
    """Return columns for two runs."""
    fields = {"analysis": "trace", "digest": "d1", "runs": 2, "used": 0, "created": 1}
    return ColumnSet(name, **(fields | changes))


def test_the_oldest_columns_that_fit_are_used_first(database):
    """Used as often as they were made for, bound to the same, then the next set."""
    with database.begin() as session:
        assert column_sets.add(session, made_columns("p2", created=2))
        assert column_sets.add(session, made_columns("p1"))
        assert not column_sets.add(session, made_columns("p1", runs=99))
        column_sets.add(session, made_columns("p0", created=0, digest="other"))
        taken = []
        while (found := column_sets.usable(session, "trace", "d1")) is not None:
            column_sets.mark_used(session, found.preparation)
            taken.append(found.preparation)
        assert taken == ["p1", "p1", "p2", "p2"]
        assert column_sets.usable(session, "round-trip", "d1") is None
        assert [(c.preparation, c.left) for c in column_sets.every(session)] == [
            ("p0", 2),
            ("p1", 0),
            ("p2", 0),
        ]


@pytest.mark.parametrize("name", ["used-up", "discarded", "missing"])
def test_columns_are_not_used_beyond_their_number(database, name):
    """Used up, discarded or unknown columns cannot be marked as used."""
    with database.begin() as session:
        column_sets.add(session, made_columns("used-up", used=2))
        column_sets.add(session, made_columns("discarded"))
        column_sets.discard(session, "discarded", 5)
    with pytest.raises(ConflictError, match=name), database.begin() as session:
        column_sets.mark_used(session, name)


def test_all_columns_can_be_discarded(database):
    """When members change no set is good for anything, and the time is kept."""
    with database.begin() as session:
        column_sets.add(session, made_columns("p1"))
        column_sets.add(session, made_columns("p2", discarded=3))
        assert column_sets.discard_all(session, 9) == ["p1"]
        found = [column_sets.find(session, name) for name in ("p1", "p2")]
    assert [c and (c.discarded, c.left) for c in found] == [(9, 0), (3, 0)]


def test_days_are_listed_as_they_were_committed(database):
    """Files come and go with the watermark and the counts, in one step."""
    days: DayList = StoredDays(database)
    assert list(days.listed()) == []
    assert days.watermark("csv") is None
    first = DayFile("2026-11-01", "days/a.parquet", 5, "ab" * 32, 500)
    second = DayFile("2026-11-02", "days/b.parquet", 6, "cd" * 32, 600)
    report = {"at": 77, "rows": 13, "accepted": 11, "rejected": {"missing amount": 2}}
    days.commit([first, second], [], "csv", "w1", report)
    merged = DayFile("2026-11-01", "days/c.parquet", 9, "ef" * 32, 900)
    days.commit([merged], ["days/a.parquet"], "csv", "w2", {"rows": 4, "accepted": 4, "at": 78})
    assert list(days.listed()) == [merged, second]
    assert days.watermark("csv") == "w2"
    with database.read() as session:
        found = batches(session)
    assert [(b.at, b.rows, b.accepted, b.rejected) for b in found] == [
        (78, 4, 4, 0),
        (77, 13, 11, 2),
    ]
    assert found[1].details == report


def test_a_commit_of_days_is_all_or_nothing(database):
    """A file that is listed already makes the whole step fail."""
    days = StoredDays(database, clock=lambda: 5)
    first = DayFile("2026-11-01", "days/a.parquet", 5, "ab" * 32, 500)
    days.commit([first], [], "csv", "w1", {})
    with pytest.raises(ConflictError):
        days.commit([first._replace(day="2026-11-02"), first], [], "csv", "w2", {})
    assert days.listed() == [first]
    assert days.watermark("csv") == "w1"


def test_runs_that_are_over_are_forgotten_in_time(database):
    """Old closed runs go with all that came of them; open and newer ones, and charges, stay."""
    trace = pa.table({"account": ["A1"], "slice": [0], "kind": ["received"], "amount": [1.0]})
    with database.begin() as session:
        for name, closed in (("old", 10), ("new", 20), ("open", None)):
            made = made_run(name, closed=closed)
            # A run that could still begin is kept, however long it is over here.
            runs.add(session, replace(made, expires=10 if name == "old" else made.expires))
            results.store_scores(session, name, ["A1", "A2"], [1.0, 2.0])
            results.store_trace(session, name, trace)
            messages.save_statement(session, name, "brio", 1, {}, 1)
            ledger.charge(session, name, 1, {"alba": 1}, "2026-11", {"alba": 9}, 1)
        gone = retention.forget(session, before=20)
        assert gone == retention.Forgotten(runs=1, results=2, traces=1, statements=1)
        assert retention.forget(session, before=20) == retention.Forgotten(0, 0, 0, 0)
    with database.read() as session:
        assert {r.run_id for r in runs.newest(session)} == {"new", "open"}
        assert [results.scores_of(session, n).num_rows for n in ("old", "new", "open")] == [0, 2, 2]
        assert [results.trace_of(session, n).num_rows for n in ("old", "new", "open")] == [0, 1, 1]
        assert messages.statements_of(session, "old") == {}
        assert [p.run_id for p in results.history(session, "A1")] == ["new", "open"]
        assert ledger.spent(session, "2026-11") == {"alba": 3}
