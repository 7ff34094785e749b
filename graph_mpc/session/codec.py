"""Plain data between parties, as MessagePack: what replaces MPyC's pickles.

Allowed are None, bool, int of any size, float, str, bytes, lists, tuples (they arrive as lists) and
dicts of these. Decoding makes nothing else, whatever the bytes.
"""

from __future__ import annotations

from typing import Any

import msgpack

_BIG_INT = 1


class NotPlainError(Exception):
    """Bytes that are not plain data; the text holds none of them."""


def encode(value: Any) -> bytes:
    """Return plain data as bytes; raise TypeError for anything else."""
    packed: bytes = msgpack.packb(value, default=_encode_other, strict_types=False)
    return packed


def decode(data: bytes) -> Any:
    """Return the plain data in the bytes."""
    size = len(data)
    try:
        return msgpack.unpackb(
            data,
            strict_map_key=False,
            ext_hook=_decode_other,
            max_str_len=size,
            max_bin_len=size,
            max_array_len=size,
            max_map_len=size,
            max_ext_len=size,
        )
    except Exception as exc:
        raise NotPlainError(f"not plain data ({type(exc).__name__})") from exc


def _encode_other(value: Any) -> msgpack.ExtType:
    if isinstance(value, int):
        length = value.bit_length() // 8 + 1
        return msgpack.ExtType(_BIG_INT, value.to_bytes(length, "little", signed=True))
    raise TypeError(f"only plain data can be sent to another party, not {type(value).__name__}")


def _decode_other(code: int, data: bytes) -> int:
    if code != _BIG_INT:
        raise ValueError("unknown extension")
    return int.from_bytes(data, "little", signed=True)
