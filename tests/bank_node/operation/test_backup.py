"""A backup is a consistent copy; what is restored from it does nothing twice."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bank_node.identity import SigningKey
from bank_node.node.config import read_config
from bank_node.operation import backup as module
from bank_node.operation.backup import backup
from bank_node.operation.doctor import examine
from bank_node.operation.errors import BackupError, NodeFolderError, RestoreError
from bank_node.operation.restore import SAFE_JUMP, restore
from bank_node.people import SignInPolicy, add_person, issue_token
from bank_node.store import audit
from bank_node.store.database import Database
from bank_node.store.entries import append
from bank_node.store.tables import (
    ColumnSetRow,
    CounterRow,
    DayRow,
    LedgerRow,
    ResultRow,
    SourceRow,
)
from tests.bank_node.operation.members import Node, consortium, now_us
from tests.services import postgresql_cluster  # noqa: F401 - a fixture

NOW = 1_800_000_000_000_000
ACCOUNT = "DE02100100100006820101"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node that has worked for a while."""
    made = consortium(tmp_path)[0]
    fill(made, f"sqlite:///{made.folder / 'node.db'}")
    (made.folder / "columns" / "prep-1").mkdir()
    (made.folder / "columns" / "prep-1" / "key").write_text("secret column key")
    (made.folder / "data" / "days").mkdir()
    (made.folder / "data" / "days" / "x.parquet").write_text(ACCOUNT)
    (made.folder / "runs" / "scores.csv").write_text(ACCOUNT)
    return made


def fill(node: Node, url: str) -> None:
    """Write what a node's database holds."""
    database = Database.open(url)
    with database.begin() as session:
        session.add(CounterRow(name="messages", value=41))
        for preparation, discarded in (("prep-1", None), ("prep-0", 7)):
            session.add(
                ColumnSetRow(
                    preparation=preparation,
                    analysis="trace",
                    digest="00",
                    runs=5,
                    used=1,
                    created=1,
                    discarded=discarded,
                )
            )
        for day in ("2026-01-01", "2026-01-02"):
            session.add(DayRow(day=day, file="x", rows=3, sha256="aa", bytes=9, created=1))
        session.add(SourceRow(name="csv", watermark="2026", at=1, rows=6))
        session.add(ResultRow(run_id="r", account=ACCOUNT, value=0.5))
        add_person(session, "ann", "analyst", at=1, password_hash="$argon2id$x")
        issue_token(session, "ann", SignInPolicy(), at=1, label="a program")
        session.add(LedgerRow(run_id="r", attempt=1, bank="bank-a", period="2026-11", bits=5, at=1))
        append(session, at=1, actor="node", action="node.started", details={})
        audit.sign_head(session, node.key, 2)
    database.close()


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """Return rows of a node's database."""
    with closing(sqlite3.connect(folder / "node.db")) as database:
        return database.execute(query).fetchall()


def content(path: Path) -> dict[str, bytes]:
    """Return the files of a backup."""
    found: dict[str, bytes] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            found[member.name] = stream.read()
    return found


def write(path: Path, files: dict[str, bytes]) -> Path:
    """Write a tar file."""
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return path


def test_a_backup_holds_what_a_node_needs_and_no_more(node: Node, tmp_path: Path) -> None:
    """Settings, rules, agreements, certificates, database and list of days; no keys, no columns."""
    (node.folder / "rules.toml").write_text("rule = []\n")
    (node.folder / "profiles").mkdir()
    (node.folder / "profiles" / "NL.toml").write_text("country = 'NL'\n")
    report = backup(node.folder, tmp_path / "b.tar", now=NOW)
    files = content(tmp_path / "b.tar")
    assert set(files) == {
        "backup.json",
        "node.toml",
        "rules.toml",
        "profiles/NL.toml",
        "node.db",
        "days.json",
        "agreements/consortium-1.toml",
        "keys/tls-1.crt",
        "keys/authority.crt",
    }
    assert set(report.files) == set(files) - {"backup.json"}
    assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600
    assert not any(b"PRIVATE KEY" in text for text in files.values())
    assert not any(b"secret column key" in text for text in files.values())
    assert [day["day"] for day in json.loads(files["days.json"])] == ["2026-01-01", "2026-01-02"]
    told = " ".join(report.left_out)
    for part in ("columns/", "data/", "runs/", "keys/signing-1.pem", "keys/tls-1.pem"):
        assert part in told


def test_keys_are_copied_only_if_asked_for(node: Node, tmp_path: Path) -> None:
    """With keys, the restored node is the member again, its keys of mode 0600."""
    backup(node.folder, tmp_path / "b.tar", now=NOW, with_keys=True)
    restore(tmp_path / "b.tar", tmp_path / "back", now=NOW + 1)
    key = tmp_path / "back" / "keys" / "signing-1.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert SigningKey.load(key).public == node.key.public
    assert not columns_of(content(tmp_path / "b.tar"))


def columns_of(files: dict[str, bytes]) -> list[str]:
    """Return the names of what belongs to prepared columns."""
    return [name for name in files if name.startswith(("columns", "data/", "runs"))]


def test_the_list_has_the_checksum_of_each_file(node: Node, tmp_path: Path) -> None:
    """Each file in a backup can be checked against its SHA-256."""
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    files = content(tmp_path / "b.tar")
    listed = json.loads(files.pop("backup.json"))
    assert listed["created"] == "2027-01-15T08:00:00Z"
    sums = {name: hashlib.sha256(text).hexdigest() for name, text in files.items()}
    assert {name: about["sha256"] for name, about in listed["files"].items()} == sums


def test_what_is_restored_does_nothing_twice(node: Node, tmp_path: Path) -> None:
    """Columns are discarded, message numbers go on far above, and the payments come anew."""
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    report = restore(tmp_path / "b.tar", tmp_path / "back", now=NOW + 5, person="anna")
    back = tmp_path / "back"
    assert rows(back, "SELECT preparation, discarded FROM column_sets ORDER BY 1") == [
        ("prep-0", 7),
        ("prep-1", NOW + 5),
    ]
    assert rows(back, "SELECT value FROM counters") == [(41 + SAFE_JUMP,)]
    assert rows(back, "SELECT * FROM days") == rows(back, "SELECT * FROM sources") == []
    assert rows(back, "SELECT account, value FROM results") == [(ACCOUNT, 0.5)]
    assert rows(back, "SELECT bits FROM ledger") == [(5,)]
    assert rows(back, "SELECT name FROM people") == [("ann",)]
    assert rows(back, "SELECT * FROM sessions") == []
    assert (report.columns_discarded, report.days) == (1, 2)
    assert any("budget" in note for note in report.notes)
    assert list((back / "columns").iterdir()) == list((back / "data").iterdir()) == []


def test_a_restore_stands_in_the_audit_log(node: Node, tmp_path: Path) -> None:
    """Who restored what stands behind the entries of the backup, and the log is still whole."""
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    restore(tmp_path / "b.tar", tmp_path / "back", now=NOW + 5, person="anna")
    database = Database.open(f"sqlite:///{tmp_path / 'back' / 'node.db'}")
    with database.read() as session:
        assert audit.verify(session, {node.key.public}).ok
    database.close()
    last = rows(tmp_path / "back", "SELECT actor, action FROM audit ORDER BY number")[-1]
    assert last == ("anna", "node.restored")


def test_the_doctor_is_content_with_a_restored_node(node: Node, tmp_path: Path) -> None:
    """Folder, keys, agreement and database of a node restored with its keys are fine."""
    backup(node.folder, tmp_path / "b.tar", now=now_us(), with_keys=True)
    restore(tmp_path / "b.tar", tmp_path / "back", now=now_us())
    faults = {f.name for f in examine(tmp_path / "back", now_us()) if f.state == "fault"}
    assert faults <= {"broker"}


def test_a_copy_is_of_one_moment_while_the_node_writes(node: Node, tmp_path: Path) -> None:
    """Two rows that are always written together are both in a copy, or neither."""
    with closing(sqlite3.connect(node.folder / "node.db")) as database:
        database.execute("CREATE TABLE pairs (side TEXT, number INTEGER, padding BLOB)")
        database.commit()
    stop = threading.Event()

    def keep_writing() -> None:
        with closing(sqlite3.connect(node.folder / "node.db", timeout=30)) as database:
            number = 0
            while not stop.is_set():
                number += 1
                for side in ("left", "right"):
                    database.execute(
                        "INSERT INTO pairs VALUES (?, ?, randomblob(5000))", (side, number)
                    )
                database.commit()

    thread = threading.Thread(target=keep_writing)
    thread.start()
    try:
        for turn in range(4):
            backup(node.folder, tmp_path / f"{turn}.tar", now=NOW)
    finally:
        stop.set()
        thread.join()
    for turn in range(4):
        (tmp_path / "copy.db").write_bytes(content(tmp_path / f"{turn}.tar")["node.db"])
        with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            counts = copy.execute(
                "SELECT count(*), max(number) FROM pairs GROUP BY side"
            ).fetchall()
        assert len(set(counts)) <= 1, counts


def test_nothing_is_overwritten(node: Node, tmp_path: Path) -> None:
    """An existing file is no target for a backup, an existing folder none for a restore."""
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    before = (tmp_path / "b.tar").read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        backup(node.folder, tmp_path / "b.tar", now=NOW)
    with pytest.raises(NodeFolderError, match="is there already"):
        restore(tmp_path / "b.tar", node.folder, now=NOW)
    assert (tmp_path / "b.tar").read_bytes() == before


def test_an_interrupted_backup_leaves_nothing(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted at the last step, there is neither a file nor a part of one."""
    before = sorted(tmp_path.iterdir())

    def interrupt(_from: Path, _to: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "link", interrupt)
    with pytest.raises(KeyboardInterrupt):
        backup(node.folder, tmp_path / "b.tar", now=NOW)
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_database_is_not_backed_up(node: Node, tmp_path: Path) -> None:
    """A database that fails its own check is said, instead of saved over the last good one."""
    (node.folder / "node.db").write_bytes(b"SQLite format 3\0" + os.urandom(20_000))
    with pytest.raises(BackupError):
        backup(node.folder, tmp_path / "b.tar", now=NOW)
    assert not (tmp_path / "b.tar").exists()


def changed(files: dict[str, bytes]) -> dict[str, bytes]:
    """One byte of the database differs."""
    text = bytearray(files["node.db"])
    text[100] ^= 1
    return files | {"node.db": bytes(text)}


def shorter(files: dict[str, bytes]) -> dict[str, bytes]:
    """A file is missing."""
    return {name: text for name, text in files.items() if name != "node.db"}


def more(files: dict[str, bytes]) -> dict[str, bytes]:
    """A file that the list does not name."""
    return files | {"keys/tls-9.pem": b"x"}


def outside(files: dict[str, bytes]) -> dict[str, bytes]:
    """A file that would land beside the folder, named in the list."""
    listed = json.loads(files["backup.json"])
    listed["files"]["keys/../../x"] = {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}
    return files | {"backup.json": json.dumps(listed).encode(), "keys/../../x": b""}


def newer(files: dict[str, bytes]) -> dict[str, bytes]:
    """Of a form that this program does not know."""
    listed = json.loads(files["backup.json"]) | {"format": 2}
    return files | {"backup.json": json.dumps(listed).encode()}


def unlisted(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without its list."""
    return {name: text for name, text in files.items() if name != "backup.json"}


def test_a_backup_that_was_moved_to_another_archive_is_as_good(node: Node, tmp_path: Path) -> None:
    """What counts is the list and the files, not the archive around them."""
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    again = write(tmp_path / "again.tar", content(tmp_path / "b.tar"))
    assert restore(again, tmp_path / "back", now=NOW).columns_discarded == 1


@pytest.mark.parametrize("spoil", [changed, shorter, more, outside, newer, unlisted])
def test_a_spoilt_backup_is_refused(
    node: Node, tmp_path: Path, spoil: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    """A backup that is not what was written is refused, and no folder is made."""
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    spoilt = write(tmp_path / "s.tar", spoil(content(tmp_path / "b.tar")))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RestoreError):
        restore(spoilt, tmp_path / "back", now=NOW)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["link", "device", "twice"])
def test_only_plain_files_are_taken_out(node: Node, tmp_path: Path, kind: str) -> None:
    """A link, a device or a second file under one name is refused."""
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    files = content(tmp_path / "b.tar")
    settings = files.pop("node.toml")
    write(tmp_path / "s.tar", files)
    with tarfile.open(tmp_path / "s.tar", "a") as tar:
        member = tarfile.TarInfo("node.toml")
        if kind == "twice":
            member.size = len(settings)
            tar.addfile(member, io.BytesIO(settings))
            tar.addfile(member, io.BytesIO(settings))
        else:
            member.type = tarfile.SYMTYPE if kind == "link" else tarfile.CHRTYPE
            member.linkname = "/etc/passwd"
            tar.addfile(member)
    with pytest.raises(RestoreError):
        restore(tmp_path / "s.tar", tmp_path / "back", now=NOW)
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_backup_that_was_cut_off_is_refused(node: Node, tmp_path: Path, share: float) -> None:
    """A file that ends too early is refused, wherever it ends."""
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    text = (tmp_path / "b.tar").read_bytes()
    end = text.rstrip(b"\0")
    (tmp_path / "s.tar").write_bytes(text[: int(len(end) * share)])
    with pytest.raises(RestoreError):
        restore(tmp_path / "s.tar", tmp_path / "back", now=NOW)


def test_a_database_elsewhere_is_put_into_the_folder(node: Node, tmp_path: Path) -> None:
    """A database that the settings have in another place is restored here, and that is said."""
    elsewhere = tmp_path / "elsewhere.db"
    shutil.move(node.folder / "node.db", elsewhere)
    file = node.folder / "node.toml"
    file.write_text(file.read_text().replace('sqlite:///node.db"', f'sqlite:///{elsewhere}"'))
    assert read_config(node.folder).store_url == f"sqlite:///{elsewhere}"
    before = elsewhere.read_bytes()
    backup(node.folder, tmp_path / "b.tar", now=NOW)
    report = restore(tmp_path / "b.tar", tmp_path / "back", now=NOW)
    assert (tmp_path / "back" / "node.db").exists()
    assert elsewhere.read_bytes() == before
    assert any(str(elsewhere) in note for note in report.notes)


def test_a_database_on_a_server_is_left_to_its_dump(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """PostgreSQL is not in the backup; its restored dump is settled, an empty one is refused."""
    cluster: Any = request.getfixturevalue("postgresql_cluster")
    name = cluster.new_database()
    node = consortium(tmp_path, store=cluster.url(name))[0]
    report = backup(node.folder, tmp_path / "b.tar", now=NOW)
    assert "node.db" not in report.files
    assert any("pg_dump" in left for left in report.left_out)
    with pytest.raises(RestoreError, match="is empty"):
        restore(tmp_path / "b.tar", tmp_path / "back", now=NOW)
    assert not (tmp_path / "back").exists()
    fill(node, cluster.url(name))
    assert restore(tmp_path / "b.tar", tmp_path / "back", now=NOW).columns_discarded == 1
    database = Database.open(cluster.url(name))
    with database.read() as session:
        assert session.get_one(CounterRow, "messages").value == 41 + SAFE_JUMP
    database.close()
    cluster.drop(name)
