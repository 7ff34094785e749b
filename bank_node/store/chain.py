"""The chain of the audit log: entries, their hashes, and signed checkpoints.

Entry i has h_i = SHA-256(canonical JSON of all its fields with h_{i-1}), h_0 = "".  A checkpoint is
an Ed25519 signature over (i, h_i): who has no key cannot give a changed chain checkpoints that fit.
After Schneier and Kelsey, "Secure audit logs to support computer forensics" (1999), with signatures
in the place of keys that evolve.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bank_node.store.canonical import canonical

__all__ = ["Checkpoint", "Entry", "Key", "entry_hash", "is_signed", "sign_checkpoint"]

_DOMAIN = b"undercurrent/v1/checkpoint\n"


class Key(Protocol):
    """A signing key, as ``bank_node.identity`` has it."""

    @property
    def public(self) -> str:
        """Return the public key, 64 hex digits."""

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of a message."""


@dataclass(frozen=True)
class Entry:
    """An entry of the audit log: who did what, when, by which manifest.

    Attributes:
        number: 1, 2, 3, …
        at: microseconds since 1970 UTC.
        actor: member, person or part of the node.
        action: what was done, such as ``run.stored``.
        run_id: the run, if it was about one.
        digest: of the manifest or agreement, if it was about one.
        details: canonical JSON.
        previous: hash of the entry before; empty for the first.
        hash: of this entry.
    """

    number: int
    at: int
    actor: str
    action: str
    run_id: str | None
    digest: str | None
    details: str
    previous: str
    hash: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A signed head of the log.

    Attributes:
        number, hash: of the entry.
        at: when it was signed.
        starts: whether the entries up to this one were removed on purpose.
        signature, key: hex.
    """

    number: int
    hash: str
    at: int
    starts: bool
    signature: str = ""
    key: str = ""


def entry_hash(entry: Entry) -> str:
    """Return the hash that the entry must have.

    Raises:
        ValueError, TypeError: a field is not of its type; an entry like that was never written by
            ``append``.
    """
    fields = {name: value for name, value in vars(entry).items() if name != "hash"}
    return sha256(canonical(fields).encode()).hexdigest()


def sign_checkpoint(key: Key, number: int, head: str, at: int, *, starts: bool) -> Checkpoint:
    """Return a checkpoint with the key's signature."""
    bare = Checkpoint(number, head, at, starts)
    signature = key.sign(_signed_bytes(bare)).hex()
    return Checkpoint(number, head, at, starts, signature, key.public)


def is_signed(checkpoint: Checkpoint, public_keys: Collection[str]) -> bool:
    """Tell whether one of the keys has signed the checkpoint."""
    if checkpoint.key not in public_keys:
        return False
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(checkpoint.key))
        public.verify(bytes.fromhex(checkpoint.signature), _signed_bytes(checkpoint))
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _signed_bytes(checkpoint: Checkpoint) -> bytes:
    told = {
        "at": checkpoint.at,
        "hash": checkpoint.hash,
        "number": checkpoint.number,
        "starts": checkpoint.starts,
    }
    return _DOMAIN + canonical(told).encode()
