"""Columns prepared ahead, as one party keeps them: encrypted, bound to a purpose, used once.

::

    FOLDER/key          32 bytes, mode 0600: this party's own key
    FOLDER/next         index of the first run whose columns are unused
    FOLDER/about        what they are for (encrypted)
    FOLDER/common/…     what all runs share (encrypted)
    FOLDER/run-0/…      the columns of each run, removed when the run has used them (encrypted)

Every file but ``key`` and ``next`` is AES-256-GCM under the key, with its name and the id of the
preparation as associated data, so that no file can stand in for another.  ``next`` is advanced and
synced to disk *before* the first message that depends on a column leaves (``ColumnStore.take``): a
run that dies has used its columns.  All parties compare their indices first and skip to the
largest, so a party whose store is older than the others' does not use a column twice; a copy that
is put back at *all* parties cannot be told from the original, so backups leave stores out.

Source: protocol design, section 4 (``Prepared ahead``).
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from bank_node.errors import PreparedColumnsError

__all__ = ["ColumnStore"]

_KEY = 32
_NONCE = 12
_REMEDY = "Prepare columns again"


class ColumnStore:
    """The store of one party.

    Args:
        folder: where it is.
        key: this party's own key.
        about: what the columns are for.
    """

    def __init__(self, folder: Path, key: bytes, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.about = about
        self._cipher = AESGCM(key)

    @classmethod
    def create(cls, folder: Path, about: Mapping[str, Any]) -> "ColumnStore":
        """Make an empty store; ``about`` holds ``preparation`` (its id) and ``runs``."""
        folder.mkdir(parents=True, mode=0o700)
        key = secrets.token_bytes(_KEY)
        with os.fdopen(os.open(folder / "key", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(key)
        store = cls(folder, key, about)
        store._write(folder / "about", msgpack.packb(dict(about)), "about")
        return store

    def complete(self) -> None:
        """Make the store usable: the last step of a preparation."""
        self._advance(0)

    @classmethod
    def open(cls, folder: Path) -> "ColumnStore":
        """Open a store, or say why it cannot be used."""
        try:
            key = (folder / "key").read_bytes()
            int((folder / "next").read_text())
        except (OSError, ValueError) as error:
            raise PreparedColumnsError(
                f"{folder}: there are no prepared columns here", _REMEDY
            ) from error
        if (folder / "key").stat().st_mode & 0o077:
            raise PreparedColumnsError(
                f"{folder}/key: others can read this party's key", "Set its mode to 0600"
            )
        store = cls(folder, key, {})
        store.about = msgpack.unpackb(store._read(folder / "about", "about"))
        return store

    @property
    def next(self) -> int:
        """Index of the first run whose columns are unused here."""
        return int((self.folder / "next").read_text())

    def take(self, run: int) -> None:
        """Mark the columns of a run, and of all before it, as used; on disk when this returns."""
        if run < self.next:
            raise PreparedColumnsError(f"the columns of run {run} were used before", _REMEDY)
        if run >= self.about["runs"]:
            raise PreparedColumnsError(
                f"the columns of all {self.about['runs']} prepared runs are used", _REMEDY
            )
        self._advance(run + 1)
        for earlier in range(run):
            self.discard(earlier)

    def discard(self, run: int) -> None:
        """Remove the files of a run that has taken its columns."""
        shutil.rmtree(self.folder / _part(run), ignore_errors=True)

    def put(self, run: int | None, name: str, arrays: Mapping[str, NDArray[np.uint64]]) -> None:
        """Keep arrays of a run, or of all runs (None), under a name."""
        folder = self.folder / _part(run)
        folder.mkdir(exist_ok=True)
        shapes = {key: list(a.shape) for key, a in arrays.items()}
        header = msgpack.packb(shapes)
        body = [np.ascontiguousarray(arrays[key]).tobytes() for key in shapes]
        text = b"".join([len(header).to_bytes(4, "big"), header, *body])
        self._write(folder / name, text, f"{_part(run)}/{name}")

    def get(self, run: int | None, name: str) -> dict[str, NDArray[np.uint64]]:
        """Return the arrays that were kept."""
        text = self._read(self.folder / _part(run) / name, f"{_part(run)}/{name}")
        start = 4 + int.from_bytes(text[:4], "big")
        arrays = {}
        for key, shape in msgpack.unpackb(text[4:start]).items():
            count = int(np.prod(shape, dtype=np.int64))
            arrays[key] = np.frombuffer(text, np.uint64, count, start).reshape(shape)
            start += 8 * count
        return arrays

    def _write(self, path: Path, text: bytes, name: str) -> None:
        nonce = secrets.token_bytes(_NONCE)
        path.write_bytes(nonce + self._cipher.encrypt(nonce, text, self._bound(name)))

    def _read(self, path: Path, name: str) -> bytes:
        try:
            sealed = path.read_bytes()
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound(name))
        except (OSError, InvalidTag, ValueError) as error:
            raise PreparedColumnsError(
                f"{path}: the prepared columns are missing or damaged", _REMEDY
            ) from error

    def _bound(self, name: str) -> bytes:
        """Return the associated data of a file; ``about`` itself names the preparation."""
        if name == "about":
            return b"about"
        return f"{self.about['preparation']}/{name}".encode()

    def _advance(self, index: int) -> None:
        """Write ``next`` so that it survives a crash of the machine."""
        temporary = self.folder / ".next"
        with temporary.open("w") as file:
            file.write(str(index))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.folder / "next")
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _part(run: int | None) -> str:
    """Return the folder of a run, or of what all runs share."""
    return "common" if run is None else f"run-{run}"
