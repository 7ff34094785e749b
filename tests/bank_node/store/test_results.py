"""Results of runs: stored in bulk, all or nothing, and read back as they were."""

import math
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from bank_node.store import audit, ledger, results, runs
from bank_node.store.errors import MissingRunError, StoreError, ValuesError
from bank_node.store.tables import ResultRow
from tests.bank_node.store.made import made_run

ODD = [
    "",
    " ",
    "a,b",
    'a"b',
    "a'b",
    "a\nb",
    "a\r\nb",
    "\\.",
    "\\N",
    "NULL",
    "é",
    "日本",
    "A1",
    "a1",
]
TRACE = pa.table(
    {
        "account": ["A2", "A1", 'A"1'],
        "slice": [0, 1, 1],
        "kind": ["received", "returned", "received"],
        "amount": [0.1 + 0.2, 5e-324, 1.7976931348623157e308],
    }
)


@pytest.fixture
def known(database):
    """A database that knows run-1 and run-2."""
    with database.begin() as session:
        runs.add(session, made_run("run-1"))
        runs.add(session, made_run("run-2", created=2000, policy="exact"))
    return database


def stored(database, run_id, accounts, values):
    """Store scores in a transaction of their own."""
    with database.begin() as session:
        return results.store_scores(session, run_id, accounts, values)


@pytest.mark.parametrize("form", [list, pa.array])
def test_scores_come_back_as_they_were(known, form):
    """Any account id and any finite number survive, to the last bit, ordered by account."""
    values = np.linspace(0, 1, len(ODD)) / 3
    assert stored(known, "run-1", form(ODD), values) == len(ODD)
    with known.read() as session:
        found = results.scores_of(session, "run-1")
    wanted = dict(zip(ODD, values.tolist(), strict=True))
    assert found.column("account").to_pylist() == sorted(ODD)
    assert dict(zip(*found.to_pydict().values(), strict=True)) == wanted


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(texts, numbers, max_size=20))
def test_both_databases_keep_every_text_and_number(known, scores):
    """Whatever is stored in bulk is read back the same from SQLite and PostgreSQL."""
    with known.begin() as session:
        session.execute(delete(ResultRow))
    stored(known, "run-1", list(scores), list(scores.values()))
    with known.read() as session:
        found = results.scores_of(session, "run-1").to_pydict()
    assert dict(zip(found["account"], found["value"], strict=True)) == scores


def test_bands_are_scores_too(known):
    """Whole numbers are stored as they are."""
    stored(known, "run-1", ["A1", "A2"], np.array([0, 3], np.int64))
    with known.read() as session:
        assert results.scores_of(session, "run-1").to_pydict() == {
            "account": ["A1", "A2"],
            "value": [0.0, 3.0],
        }


def test_a_run_without_results_has_none(known):
    """No accounts, or a threshold that nobody reached, is a result of no rows."""
    assert stored(known, "run-1", [], []) == 0
    with known.read() as session:
        assert results.scores_of(session, "run-1").num_rows == 0
        assert results.trace_of(session, "run-1").num_rows == 0


@pytest.mark.parametrize(
    ("accounts", "values"),
    [
        (["A1"], [math.nan]),
        (["A1"], [math.inf]),
        (["A1", "A2"], [1.0]),
        (["A1"], [[1.0]]),
        (["A1", "A1"], [1.0, 1.0]),
        (pa.array(["A1", None]), [1.0, 2.0]),
    ],
)
def test_what_is_no_result_is_refused(known, accounts, values):
    """Not finite, of different length, an account twice or missing: refused, and none named."""
    with pytest.raises(ValuesError) as caught:
        stored(known, "run-1", accounts, values)
    assert "A1" not in str(caught.value)
    assert caught.value.__cause__ is None
    with known.read() as session:
        assert results.scores_of(session, "run-1").num_rows == 0


def test_a_result_is_stored_once(known):
    """Storing the result of a run again is refused; the first stays."""
    stored(known, "run-1", ["A1"], [1.0])
    with pytest.raises(ValuesError):
        stored(known, "run-1", ["A1"], [2.0])
    with known.read() as session:
        assert results.scores_of(session, "run-1").column("value").to_pylist() == [1.0]


def test_a_result_of_an_unknown_run_is_refused(known):
    """Results belong to a run that the database knows."""
    with pytest.raises(MissingRunError, match="run-9"):
        stored(known, "run-9", ["A1"], [1.0])
    with pytest.raises(MissingRunError), known.begin() as session:
        results.store_trace(session, "run-9", TRACE)


def test_result_ledger_and_audit_are_one_transaction(known):
    """If the last of the records of a run fails none of them is kept, bulk rows included."""

    def fail():
        with known.begin() as session:
            ledger.charge(session, "run-1", 1, {"alba": 1}, "2026-11", {"alba": 9}, 5)
            results.store_scores(session, "run-1", ["A1"], [1.0])
            results.store_trace(session, "run-1", TRACE)
            audit.append(session, at=5, actor="alba", action="run.stored", details={})
            runs.change(session, "run-9", 5, phase="stored")

    with pytest.raises(StoreError):
        fail()
    with known.read() as session:
        assert results.scores_of(session, "run-1").num_rows == 0
        assert results.trace_of(session, "run-1").num_rows == 0
        assert ledger.spent(session, "2026-11") == {}
        assert audit.head(session) is None


def test_rows_in_the_making_are_seen_by_nobody(known):
    """Another session sees the whole result or nothing of it."""
    with known.begin() as session:
        results.store_scores(session, "run-1", ["A1"], [1.0])
        seen = []

        def look():
            with known.read() as reader:
                seen.append(results.scores_of(reader, "run-1").num_rows)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == [0]


def test_traces_come_back_in_their_order(known):
    """Amounts to the last bit, rows in the order given, what was not asked for empty."""
    with known.begin() as session:
        assert results.store_trace(session, "run-1", TRACE) == 3
    with known.read() as session:
        found = results.trace_of(session, "run-1").to_pydict()
    assert {name: found[name] for name in TRACE.column_names} == TRACE.to_pydict()
    assert found["trace"] == [1, 1, 1]
    assert found["depth"] == found["band"] == [None] * 3


def test_traces_may_have_depths_numbers_and_bands(known):
    """With a policy of bands there is a band for an amount."""
    whole = TRACE.drop_columns(["amount"])
    extra = {"band": [1, 2, 3], "depth": [1, 1, 2], "trace": [1, 2, 2]}
    for name, values in extra.items():
        whole = whole.append_column(name, pa.array(values, pa.int32()))
    with known.begin() as session:
        results.store_trace(session, "run-1", whole)
    with known.read() as session:
        found = results.trace_of(session, "run-1").to_pydict()
    assert {name: found[name] for name in extra} == extra
    assert found["amount"] == [None] * 3


@pytest.mark.parametrize(
    "table",
    [
        TRACE.drop_columns(["slice"]),
        TRACE.drop_columns(["amount"]),
        TRACE.append_column("band", pa.array([1, 2, 3])),
        TRACE.append_column("depth", pa.array(["x", "y", "z"])),
    ],
)
def test_what_is_no_trace_is_refused(known, table):
    """A column missing or of the wrong type, neither amount nor band, or both."""
    with pytest.raises(ValuesError) as caught, known.begin() as session:
        results.store_trace(session, "run-1", table)
    assert "A1" not in str(caught.value)


def test_a_trace_is_stored_once(known):
    """Storing the traces of a run again is refused."""
    with known.begin() as session:
        results.store_trace(session, "run-1", TRACE)
    with pytest.raises(ValuesError), known.begin() as session:
        results.store_trace(session, "run-1", TRACE)


def test_the_history_of_an_account_goes_over_the_runs(known):
    """What the runs gave for one account, the oldest first, each with its policy."""
    stored(known, "run-2", ["A1", "A2"], [0.5, 0.1])
    stored(known, "run-1", ["A1"], [2.0])
    with known.read() as session:
        found = results.history(session, "A1")
        assert results.history(session, "A9") == []
    assert [(p.run_id, p.policy, p.created, p.value) for p in found] == [
        ("run-1", "bands:0.5", 1000, 2.0),
        ("run-2", "exact", 2000, 0.5),
    ]


def test_many_rows_are_stored_whole(known):
    """More rows than one batch holds come back complete."""
    count = 150_000
    accounts = pa.array(np.char.add("A", np.arange(count).astype("U6")))
    values = np.arange(count) / 7
    assert stored(known, "run-1", accounts, values) == count
    with known.read() as session:
        found = results.scores_of(session, "run-1")
    assert found.num_rows == count
    assert np.sort(found.column("value").to_numpy()).tolist() == values.tolist()
