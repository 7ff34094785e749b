"""Labels: the places in the program at which a stream is drawn or a message sent.

A label is a tuple of short strings and integers, such as ``("prepare", owner, "P1", block)``.  All
parties execute the same program, so all of them form the same labels; a label is used once.
"""

import hashlib

import msgpack

__all__ = ["Label", "encode_label", "message_tag"]

Label = tuple[str | int, ...]
"""A place in the program."""


def encode_label(label: Label) -> bytes:
    """Return the one byte string of a label (MessagePack, so that no two labels share one)."""
    encoded: bytes = msgpack.packb(label)
    return encoded


def message_tag(label: Label) -> int:
    """Return the 64-bit tag under which a message travels, 0 <= tag < 2^63."""
    digest = hashlib.blake2b(encode_label(label), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
