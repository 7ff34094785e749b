"""Frames on a link: a header of 17 bytes (kind, tag, length), then the payload.

Kinds: DATA_MPYC and DATA_ENGINE carry messages, HEARTBEAT says "alive", ABORT names the party that
ended the run, BYE says that nothing more will come.
"""

from __future__ import annotations

import enum
import re
import socket
import struct
import time
from typing import NamedTuple

import msgpack

HEADER = struct.Struct("<BqQ")
MAX_CONTROL = 512

_CODE = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


class Kind(enum.IntEnum):
    """What a frame carries."""

    DATA_MPYC = 1
    DATA_ENGINE = 2
    HEARTBEAT = 3
    ABORT = 4
    BYE = 5


class MalformedError(Exception):
    """Bytes that are not what the protocol says; the text holds none of them."""


class Header(NamedTuple):
    """Kind, tag and payload length of a frame."""

    kind: Kind
    tag: int
    length: int


def pack_header(kind: Kind, tag: int, length: int) -> bytes:
    """Return the header of a frame."""
    return HEADER.pack(kind, tag, length)


def unpack_header(data: bytes | bytearray | memoryview) -> Header:
    """Return the checked header; control frames are empty but for ABORT, which is short."""
    number, tag, length = HEADER.unpack(data)
    try:
        kind = Kind(number)
    except ValueError:
        raise MalformedError(f"frame of unknown kind {number}") from None
    if kind in (Kind.HEARTBEAT, Kind.BYE) and (tag or length):
        raise MalformedError("control frame that is not empty")
    if kind is Kind.ABORT and (tag or length > MAX_CONTROL):
        raise MalformedError("abort frame that is too long")
    return Header(kind, tag, length)


def check_code(code: str) -> None:
    """Raise unless this is a machine word: free text could carry a secret to the others."""
    if not _CODE.fullmatch(code):
        raise ValueError("an abort code is a word of a-z, 0-9, '.', '-', at most 64 characters")


def pack_abort(culprit: str, code: str) -> bytes:
    """Return the ABORT frame that names this culprit."""
    check_code(code)
    payload: bytes = msgpack.packb([culprit, code])
    return pack_header(Kind.ABORT, 0, len(payload)) + payload


def unpack_abort(payload: bytes) -> tuple[str, str]:
    """Return culprit and code of an ABORT payload."""
    try:
        fields = msgpack.unpackb(payload, max_str_len=64, max_array_len=2, max_map_len=0)
    except Exception as exc:
        raise MalformedError("abort frame that cannot be read") from exc
    if not (isinstance(fields, list) and len(fields) == 2):
        raise MalformedError("abort frame with wrong fields")
    culprit, code = fields
    if not (isinstance(culprit, str) and isinstance(code, str) and _CODE.fullmatch(code)):
        raise MalformedError("abort frame with wrong fields")
    return culprit, code


def receive_into(connection: socket.socket, buffer: memoryview) -> None:
    """Fill the buffer; raise EOFError when the connection ends, TimeoutError when it is silent."""
    position, size = 0, len(buffer)
    while position < size:
        count = connection.recv_into(buffer[position:])
        if count == 0:
            raise EOFError("connection ended")
        position += count


def receive_exactly(connection: socket.socket, size: int, deadline: float) -> bytes:
    """Return exactly that many bytes; the deadline (monotonic) is for all of them together."""
    data = bytearray(size)
    view, position = memoryview(data), 0
    while position < size:
        # A slow sender of single bytes must not renew the deadline.
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        count = connection.recv_into(view[position:])
        if count == 0:
            raise EOFError("connection ended")
        position += count
    return bytes(data)
