"""The store of prepared columns: encrypted, bound, and its index durable."""

import os
import stat

import numpy as np
import pytest

from bank_node.columns import ColumnStore
from bank_node.errors import PreparedColumnsError

ABOUT = {"preparation": "p1", "runs": 3, "seeds": {"1": b"s" * 32}}
ARRAYS = {"a": np.arange(6, dtype=np.uint64).reshape(2, 3), "b": np.zeros((0, 4), np.uint64)}


@pytest.fixture
def store(tmp_path) -> ColumnStore:
    """A complete store with one array in run 0 and one in common."""
    made = ColumnStore.create(tmp_path / "columns", ABOUT)
    made.put(0, "x", ARRAYS)
    made.put(None, "x", {"c": np.array([7], np.uint64)})
    made.complete()
    return made


def test_arrays_come_back_as_they_were(store):
    """Shapes and values survive, also in another process' store object."""
    again = ColumnStore.open(store.folder)
    assert again.about == ABOUT
    found = again.get(0, "x")
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in ARRAYS.items()}
    assert found["b"].shape == (0, 4)
    assert again.get(None, "x")["c"].tolist() == [7]


def test_nothing_stands_in_clear(store):
    """Neither the seeds nor an array can be read in the files, and the key only by its owner."""
    for path in store.folder.rglob("*"):
        if path.is_file() and path.name != "key":
            text = path.read_bytes()
            assert b"s" * 32 not in text
            assert ARRAYS["a"].tobytes() not in text
    assert stat.S_IMODE((store.folder / "key").stat().st_mode) == 0o600


def test_a_key_that_others_can_read_is_refused(store):
    """The store does not open with a readable key."""
    (store.folder / "key").chmod(0o644)
    with pytest.raises(PreparedColumnsError, match="0600"):
        ColumnStore.open(store.folder)


@pytest.mark.parametrize("name", ["about", "run-0/x"])
def test_a_changed_file_is_refused(store, name):
    """One flipped bit is noticed."""
    path = store.folder / name
    text = bytearray(path.read_bytes())
    text[-1] ^= 1
    path.write_bytes(text)
    with pytest.raises(PreparedColumnsError, match="damaged"):
        ColumnStore.open(store.folder).get(0, "x")


def test_a_file_cannot_stand_in_for_another(store):
    """A file moved to another run or name is refused, though its key is right."""
    (store.folder / "run-1").mkdir()
    (store.folder / "run-0" / "x").rename(store.folder / "run-1" / "x")
    with pytest.raises(PreparedColumnsError, match="damaged"):
        store.get(1, "x")


def test_an_unfinished_preparation_is_no_store(tmp_path):
    """Without its last step a store cannot be opened."""
    ColumnStore.create(tmp_path / "columns", ABOUT)
    with pytest.raises(PreparedColumnsError, match="no prepared columns"):
        ColumnStore.open(tmp_path / "columns")


def test_runs_are_taken_in_order_and_once(store):
    """A run is taken once; skipped ones are gone with their files; the last one is the last."""
    assert store.next == 0
    store.take(1)
    assert store.next == 2
    assert not (store.folder / "run-0").exists()
    for run in (0, 1):
        with pytest.raises(PreparedColumnsError, match="used before"):
            store.take(run)
    store.take(2)
    with pytest.raises(PreparedColumnsError, match="all 3 prepared runs"):
        store.take(3)


def test_the_index_is_on_disk_before_take_returns(store, monkeypatch):
    """File and folder are synced, the file before it gets its name."""
    steps = []
    sync, rename = os.fsync, type(store.folder).replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), sync(fd))[1])
    monkeypatch.setattr(
        type(store.folder),
        "replace",
        lambda path, target: (steps.append("rename"), rename(path, target))[1],
    )
    store.take(0)
    assert steps == ["sync", "rename", "sync"]
