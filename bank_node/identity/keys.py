"""A member's keys: Ed25519 for what it signs, EC P-256 for TLS.

Both are PKCS #8 PEM files of mode 0600 with rising numbers (``signing-1.pem``, ``tls-1.pem``); the
agreement in effect says which of them counts.  A key that others can read is refused, not mended:
nobody knows who has read it.

Ed25519 (RFC 8032): a public key has 32 bytes, a signature 64, both are written in lower-case hex.
Public keys of small order are refused: a signature that verifies under any of them can be made
without a private key.  The list is libsodium's (``ge25519_has_small_order``).
"""

import os
import re
import stat
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bank_node.files import create_file, make_private_folder
from bank_node.identity.errors import BadKeyError, MissingKeyError, ReadableKeyError

__all__ = [
    "SigningKey",
    "create_signing_key",
    "create_tls_key",
    "is_public_key",
    "load_tls_key",
    "numbered",
    "verify",
]

_PUBLIC = re.compile(r"[0-9a-f]{64}")
_SIGNATURE_BYTES = 64
_MOST_BYTES = 64 * 1024
# The sign of x, the highest bit, plays no part.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


class SigningKey:
    """A private Ed25519 key of this member.

    Attributes:
        public: the public key, 64 hex digits.
    """

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key.

        Raises:
            MissingKeyError: it is not there.
            ReadableKeyError: others can read it.
            BadKeyError: it is no Ed25519 key in the clear.
        """
        key = _load(path)
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise BadKeyError(f"{path} is no Ed25519 key", "Put the member's own signing key there")
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public})"


def verify(public: str, message: bytes, signature: bytes) -> bool:
    """Return whether the signature of the message is that key's.

    Anything that is not exactly a key or a signature is no, never an error.
    """
    if not is_public_key(public) or len(signature) != _SIGNATURE_BYTES:
        return False
    key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def is_public_key(public: str) -> bool:
    """Return whether the text is 64 lower-case hex digits and no key of small order."""
    if not _PUBLIC.fullmatch(public):
        return False
    raw = bytes.fromhex(public)
    return raw[:31] + bytes([raw[31] & 0x7F]) not in _SMALL_ORDER


def create_signing_key(folder: Path) -> Path:
    """Write a new signing key under the next free number and return its path."""
    key = ed25519.Ed25519PrivateKey.generate()
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _create(folder, "signing", data)


def create_tls_key(folder: Path) -> Path:
    """Write a new TLS key under the next free number and return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _create(folder, "tls", data)


def load_tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a TLS key; refused like a signing key."""
    key = _load(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadKeyError(f"{path} is no EC P-256 key", "Put the member's own TLS key there")
    return key


def numbered(folder: Path, kind: str, suffix: str = "pem") -> list[Path]:
    """Return the files ``kind-N.suffix`` of a folder, the latest first."""
    pattern = re.compile(rf"{re.escape(kind)}-([1-9][0-9]{{0,8}})\.{re.escape(suffix)}")
    found = [(int(m[1]), path) for path in _entries(folder) if (m := pattern.fullmatch(path.name))]
    return [path for _number, path in sorted(found, reverse=True)]


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _create(folder: Path, kind: str, data: bytes) -> Path:
    make_private_folder(folder)
    while True:
        # After the highest: the number of a key that was removed is not given to another.
        taken = numbered(folder, kind)
        number = int(taken[0].stem.rpartition("-")[2]) + 1 if taken else 1
        path = folder / f"{kind}-{number}.pem"
        try:
            create_file(path, data)
        except FileExistsError:
            continue
        return path


def _load(path: Path) -> object:
    data = _read_private(path)
    try:
        return load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKeyError(
            f"{path} is no private key in the clear", "It must be a PKCS #8 PEM file, mode 0600"
        ) from None


def _read_private(path: Path) -> bytes:
    """Read a file after looking at the mode of the very file that is open."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise MissingKeyError(
            f"{path}: {error.strerror}", "Name the node's folder, or make keys: node init"
        ) from error
    try:
        _check_status(path, os.fstat(descriptor))
        return os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)


def _check_status(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BadKeyError(f"{path} is no file", "Put the member's own key there")
    if status.st_mode & 0o077:
        raise ReadableKeyError(
            f"{path} can be read by others (mode {status.st_mode & 0o777:04o})",
            "If nobody can have read it: chmod 600. Else make a new key:"
            " undercurrent consortium rotate-key",
        )
