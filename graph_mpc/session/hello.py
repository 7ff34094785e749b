"""The first exchange on each connection: the dialler's HELLO, the listener's WELCOME or REFUSED.

HELLO carries version, run, both ids, a digest of the list of members, a fresh contribution to the
pair's seed and, from the lower to the higher index, MPyC's keys for pseudorandom secret sharing.
The listener answers because in TLS 1.3 a client's handshake returns before the server has checked
its certificate. Both ends of a pair dial once, so each has both contributions:

    seed{i,j} = HKDF-SHA256(c_low || c_high; salt = run id, info = both ids in order)

It is known to the two parties only, and fresh for each session.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import time
from dataclasses import asdict, dataclass, fields
from typing import Any

import msgpack
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from graph_mpc.session.config import SessionConfig
from graph_mpc.session.frames import MalformedError, receive_exactly

WIRE_VERSION = 1
CONTRIBUTION = 32

_PREFIX = struct.Struct("<4sI")
_MAGIC = b"UCS1"
_MAX_HELLO = 8192
_REFUSALS = ("run", "version", "members", "identity", "to", "malformed", "duplicate")


class RefusedError(Exception):
    """The listener refused; ``code`` says why."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"refused: {code}")


@dataclass(frozen=True)
class Hello:
    """What the dialler of a connection says first."""

    wire: int
    engine: str
    run: str
    sender: str
    receiver: str
    members: bytes
    contribution: bytes
    prss: bytes


def make_hello(config: SessionConfig, peer: int, contribution: bytes, prss: bytes) -> Hello:
    """Return this party's HELLO to a peer."""
    return Hello(
        wire=WIRE_VERSION,
        engine=config.engine_version,
        run=config.run_id,
        sender=config.my_id,
        receiver=config.members[peer].id,
        members=_members_digest(config),
        contribution=contribution,
        prss=prss,
    )


def mismatch(config: SessionConfig, hello: Hello) -> str | None:
    """Return the refusal code for a HELLO that does not belong to this run, else None."""
    if hello.wire != WIRE_VERSION or hello.engine != config.engine_version:
        return "version"
    if hello.run != config.run_id:
        return "run"
    if hello.members != _members_digest(config):
        return "members"
    return "to" if hello.receiver != config.my_id else None


def send_hello(connection: socket.socket, hello: Hello, deadline: float) -> None:
    """Send a HELLO."""
    _send(connection, asdict(hello), deadline)


def receive_hello(connection: socket.socket, deadline: float) -> Hello:
    """Return the HELLO of the other end, with each field checked for type and size."""
    message = _receive(connection, deadline)
    if set(message) != {field.name for field in fields(Hello)}:
        raise MalformedError("greeting with wrong fields")
    kinds = {"wire": int, "members": bytes, "contribution": bytes, "prss": bytes}
    for name, value in message.items():
        if type(value) is not kinds.get(name, str):
            raise MalformedError("greeting with a field of the wrong type")
    if len(message["contribution"]) != CONTRIBUTION:
        raise MalformedError("greeting with a seed contribution of the wrong length")
    return Hello(**message)


def send_answer(connection: socket.socket, refusal: str | None, deadline: float) -> None:
    """Answer WELCOME, or REFUSED with a code."""
    answer: dict[str, Any] = {"welcome": True} if refusal is None else {"refused": refusal}
    _send(connection, answer, deadline)


def receive_answer(connection: socket.socket, deadline: float) -> None:
    """Return on WELCOME; raise RefusedError on REFUSED."""
    answer = _receive(connection, deadline)
    if answer == {"welcome": True}:
        return
    code = answer.get("refused")
    if len(answer) != 1 or code not in _REFUSALS:
        raise MalformedError("answer that is neither welcome nor refusal")
    raise RefusedError(code)


def derive_seed(run: str, mine: tuple[str, bytes], theirs: tuple[str, bytes]) -> bytes:
    """Return the pair's 256-bit seed from both (party id, contribution)."""
    (low, low_part), (high, high_part) = sorted([mine, theirs])
    info: bytes = msgpack.packb(["undercurrent pair seed", low, high])
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=run.encode(), info=info)
    return kdf.derive(low_part + high_part)


def _members_digest(config: SessionConfig) -> bytes:
    ids = [config.consortium, *(member.id for member in config.members)]
    return hashlib.sha256(msgpack.packb(ids)).digest()


def _send(connection: socket.socket, message: dict[str, Any], deadline: float) -> None:
    payload: bytes = msgpack.packb(message)
    connection.settimeout(max(deadline - time.monotonic(), 0.001))
    connection.sendall(_PREFIX.pack(_MAGIC, len(payload)) + payload)


def _receive(connection: socket.socket, deadline: float) -> dict[str, Any]:
    magic, length = _PREFIX.unpack(receive_exactly(connection, _PREFIX.size, deadline))
    if magic != _MAGIC or length > _MAX_HELLO:
        raise MalformedError("not a greeting of this protocol")
    payload = receive_exactly(connection, length, deadline)
    try:
        message = msgpack.unpackb(payload, max_array_len=0, max_map_len=16, max_ext_len=0)
    except Exception as exc:
        raise MalformedError("greeting that cannot be read") from exc
    if not isinstance(message, dict):
        raise MalformedError("greeting that is not a map")
    return message
