"""A file is whole under its name, or not there."""

import errno
import os
import stat
from pathlib import Path

import pytest

from bank_node.files import create_file, new_file


def interrupted(path: Path) -> None:
    """Write half of a file, then fail."""
    with new_file(path) as file:
        file.write(b"half")
        file.flush()
        raise OSError(errno.ENOSPC, "No space left on device")


def no_links(*_names: object) -> None:
    """A file system that knows no links."""
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """Neither a torn file nor a temporary one; the next try succeeds."""
    with pytest.raises(OSError, match="No space"):
        interrupted(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []
    create_file(tmp_path / "f", b"whole")
    assert (tmp_path / "f").read_bytes() == b"whole"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_appears_at_the_end_and_replaces_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """It is private from the first byte; one that came in the meantime stays as it is."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "f"
    with new_file(path) as file:
        file.write(b"1")
        assert not path.exists()
        assert [stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()] == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    with pytest.raises(FileExistsError) as caught, new_file(path) as file:
        path.write_bytes(b"other")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"other"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_asked_for(tmp_path: Path) -> None:
    """Nobody is told of a hidden file that they never named."""
    for path in (tmp_path / "none" / "f", tmp_path):
        with pytest.raises(OSError, match=str(path)) as caught:
            create_file(path, b"")
        assert caught.value.filename == str(path)
