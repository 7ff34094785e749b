"""Signing keys for tests, in the form of ``bank_node.identity``."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class SeededKey:
    """An Ed25519 key made from a number."""

    def __init__(self, seed: int = 1) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big"))

    @property
    def public(self) -> str:
        """The public key, hex."""
        return self._private.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""
        return self._private.sign(message)
