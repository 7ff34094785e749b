"""Results and logs that commands write: whole under their name, or not there."""

import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bank_node.store import Database, audit
from undercurrent import audit as commands
from undercurrent.rows import write_rows


def test_rows_are_written_whole_and_private(tmp_path: Path) -> None:
    """Commas and breaks are quoted; the file has mode 0600, and none is replaced."""
    path = tmp_path / "r.csv"
    write_rows(path, {"columns": ["account", "value"], "rows": [["a,é", 1.5], ["b\n", 2]]})
    assert path.read_bytes() == 'account,value\n"a,é",1.5\n"b\n",2\n'.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_rows(path, {"columns": [], "rows": []})


def test_half_a_result_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure at the end of the writing leaves nothing under the name, so that one can retry."""
    seen = []

    def fail(_descriptor: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_rows(tmp_path / "r.csv", {"columns": ["a"], "rows": [["x"]]})
    assert len(seen) == 1
    assert seen[0] != "r.csv"
    assert list(tmp_path.iterdir()) == []


def test_half_a_log_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that is interrupted leaves nothing; the next one is whole."""
    database = Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    place = SimpleNamespace(store_url="")
    monkeypatch.setattr(commands, "read_config", lambda _folder: place)
    monkeypatch.setattr(commands.Database, "open", lambda _url: database)
    out = tmp_path / "out" / "a.jsonl"
    out.parent.mkdir()

    def interrupted(_session: Any) -> Iterator[str]:
        yield "{}"
        raise KeyboardInterrupt

    monkeypatch.setattr(audit, "export", interrupted)
    with pytest.raises(KeyboardInterrupt):
        commands.export_log(out, tmp_path)
    assert list(out.parent.iterdir()) == []
    monkeypatch.setattr(audit, "export", lambda _session: iter(['{"a": "é"}', "{}"]))
    commands.export_log(out, tmp_path)
    assert out.read_text("utf-8") == '{"a": "é"}\n{}\n'
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
