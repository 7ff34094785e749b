"""Writing files that must be whole or absent, and private ones that others never see.

A private file has mode 0600 from its first byte.  A file appears under its name only when all of it
is on disk: it is written beside it and then linked or renamed.
"""

import errno
import os
import secrets
from pathlib import Path

__all__ = ["create_file", "make_private_folder", "replace_file", "sync"]

PRIVATE = 0o600
PUBLIC = 0o644


def make_private_folder(folder: Path) -> None:
    """Make a folder, with mode 0700, if it is not there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def create_file(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Write a new file.

    Raises:
        FileExistsError: there is one of that name; it stays as it is.
    """
    temporary = _beside(path, data, mode)
    try:
        # Unlike a rename, a link never takes the place of a file that is there.
        os.link(temporary, path)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
    finally:
        temporary.unlink()
    sync(path.parent)


def replace_file(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Write a file, in the place of one that may be there."""
    temporary = _beside(path, data, mode)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _beside(path: Path, data: bytes, mode: int) -> Path:
    """Write the data, synced to disk, into a hidden file in the same folder."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync(path: Path) -> None:
    """Have a file, or what was made or renamed in a folder, be on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
