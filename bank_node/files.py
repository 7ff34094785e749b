"""Writing files that must be whole or absent, and private ones that others never see.

A private file has mode 0600 from its first byte.  A file appears under its name only when all of it
is on disk: it is written beside it and then linked or renamed.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["create_file", "make_private_folder", "new_file", "replace_file", "sync"]

PRIVATE = 0o600
PUBLIC = 0o644
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


def make_private_folder(folder: Path) -> None:
    """Make a folder, with mode 0700, if it is not there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def create_file(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Write a new file.

    Raises:
        FileExistsError: there is one of that name; it stays as it is.
    """
    with new_file(path, mode) as file:
        file.write(data)


@contextmanager
def new_file(path: Path, mode: int = PRIVATE) -> Iterator[BinaryIO]:
    """A file to write to, which appears under its name when the block ends without error.

    Raises:
        FileExistsError: there is one of that name; it stays as it is.
    """
    if os.path.lexists(path):  # before the work
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    temporary = _hidden(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _appear(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def _appear(temporary: Path, path: Path) -> None:
    try:
        # Unlike a rename, a link never takes the place of a file that is there.
        os.link(temporary, path)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A memory stick knows no links: the name is taken first, then the file put there.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
        temporary.replace(path)


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
    temporary = _hidden(path)
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


def _hidden(path: Path) -> Path:
    """Return a name in the same folder that nobody else uses."""
    return path.parent / f".{path.name}.{secrets.token_hex(8)}"


def sync(path: Path) -> None:
    """Have a file, or what was made or renamed in a folder, be on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
