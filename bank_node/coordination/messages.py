"""Signed messages: the form in which nodes speak to each other over a broker that nobody trusts.

A payload is one JSON object of two texts, ``body`` and ``signature``.  The body is itself JSON in
canonical form (keys sorted, no blanks, UTF-8); the signature is Ed25519 over ::

    b"undercurrent/v1/message\\n" + body

so that it can never be taken for the signature of an agreement or of a manifest.  The body names
its full topic, consortium, sender, number and time: a broker can neither move a message nor pass an
old one off as new (``bank_node.coordination.guard``).  ``bank_node.coordination.unsealing`` reads
and checks what ``seal`` makes.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bank_node.coordination.errors import StatementError
from bank_node.coordination.topics import Topic

__all__ = [
    "DOMAIN",
    "MAX_BYTES",
    "MAX_SKEW",
    "Key",
    "Kind",
    "Message",
    "canonical",
    "seal",
    "too_deep",
]

Kind = Literal["status", "statement", "will"]

MAX_BYTES = 64 * 1024
MAX_SKEW = 120_000_000
"""Microseconds by which two clocks may differ."""

DOMAIN = b"undercurrent/v1/message\n"
MAX_DEPTH = 16


class Key(Protocol):
    """A member's own signing key."""

    @property
    def public(self) -> str:
        """The public key, 64 hexadecimal digits."""

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature, 64 bytes."""


@dataclass(frozen=True)
class Message:
    """A message whose signature is good.

    Attributes:
        topic: where it was said; names the sender and, if it is about one, the run.
        sequence: number of the message; rises over all messages of its sender.
        nonce: random; tells two messages of one number apart.
        issued, expires: microseconds since 1970 UTC, by the sender's clock.
        kind: status, statement (about a run), or last will.
        content: what is said; JSON.
        retained: whether the broker had kept it, and did not just receive it.
    """

    topic: Topic
    sequence: int
    nonce: str
    issued: int
    expires: int
    kind: Kind
    content: dict[str, Any]
    retained: bool = False

    @property
    def sender(self) -> str:
        """Id of the member that signed it."""
        return self.topic.member


def canonical(value: object) -> str:
    """Return JSON with sorted keys and without blanks.

    Raises:
        StatementError: the value cannot be written as JSON, or is nested too deeply.
    """
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise StatementError(
            f"the content cannot be written as JSON ({type(error).__name__})",
            "Give text, numbers, lists and dictionaries with text as keys",
        ) from None
    return text


def too_deep(value: object, left: int = MAX_DEPTH) -> bool:
    """Tell whether JSON is nested more deeply than so many levels."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return False
    return left == 0 or any(too_deep(item, left - 1) for item in value)


def seal(
    key: Key,
    *,
    topic: str,
    consortium: str,
    sender: str,
    sequence: int,
    kind: Kind,
    content: Mapping[str, Any],
    now: int,
    lifetime: int,
) -> bytes:
    """Return a signed payload.

    Args:
        key: the sender's.
        topic: the full topic.
        consortium: name of the consortium.
        sender: id of the member that speaks.
        sequence: number of the message, higher than all before it.
        kind: status, statement or will.
        content: what is said; JSON.
        now: microseconds since 1970 UTC.
        lifetime: microseconds for which the message holds.

    Raises:
        StatementError: the content is no JSON, is nested too deeply, or is too large.
    """
    if too_deep(content):
        raise StatementError("the content is nested too deeply", "Publish flat content")
    body = canonical(
        {
            "topic": topic,
            "consortium": consortium,
            "sender": sender,
            "sequence": sequence,
            "nonce": secrets.token_hex(16),
            "issued": now,
            "expires": now + lifetime,
            "kind": kind,
            "content": dict(content),
        }
    )
    signature = key.sign(DOMAIN + body.encode()).hex()
    payload = json.dumps({"body": body, "signature": signature}, ensure_ascii=False).encode()
    if len(payload) > MAX_BYTES:
        raise StatementError(
            f"the message would have {len(payload)} bytes, more than {MAX_BYTES}",
            "Publish less at a time",
        )
    return payload
