"""Checking what comes over the broker.

The key is that of the member named in the topic, and the signature is checked before the body is
read: what a stranger sends is never parsed beyond its two texts.  No error says anything of what a
message holds.

**Clocks.**  A message from the future by more than 120 s is refused, whatever it is.  One that was
issued longer ago is refused if it comes live, as it should have come at once; not if the broker
kept it (retained), and not a last will, which is signed when the connection is made.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, cast, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bank_node.coordination.errors import (
    ClockError,
    ExpiredMessage,
    ForgedMessage,
    MalformedMessage,
    MisplacedMessage,
    OversizedMessage,
    StatementError,
    StrangerMessage,
)
from bank_node.coordination.messages import (
    DOMAIN,
    MAX_BYTES,
    MAX_SKEW,
    Kind,
    Message,
    canonical,
    too_deep,
)
from bank_node.coordination.topics import Topic, parse_topic

__all__ = ["unseal"]

_INT64 = 1 << 63
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_KEY = re.compile(r"[0-9a-f]{64}")
_NONCE = re.compile(r"[0-9a-f]{32}")
_FIELDS = {
    "topic": str,
    "consortium": str,
    "sender": str,
    "sequence": int,
    "nonce": str,
    "issued": int,
    "expires": int,
    "kind": str,
    "content": dict,
}


def unseal(
    payload: bytes, topic: str, members: Mapping[str, str], now: int, *, retained: bool = False
) -> Message:
    """Return the message of a payload, if it is what it claims to be.

    Args:
        payload: as it came.
        topic: under which it came.
        members: public key (hexadecimal) of each member.
        now: microseconds since 1970 UTC.
        retained: whether the broker said that it had kept the message.

    Raises:
        MessageRefused: it is not accepted; the subclass says why.
    """
    if len(payload) > MAX_BYTES:
        raise OversizedMessage(f"a message has {len(payload)} bytes, more than {MAX_BYTES}")
    place = parse_topic(topic)
    if place is None:
        raise MisplacedMessage("a message came under a topic that is none of ours")
    if place.member not in members:
        raise StrangerMessage("a message came under the name of somebody who is no member")
    sender = place.member
    body, signature = _envelope(payload, sender)
    if not _verify(members[sender], DOMAIN + body, bytes.fromhex(signature)):
        raise ForgedMessage(f"a message under the name of {sender} is not signed by it", sender)
    fields = _fields(body, sender)
    _check_place(fields, topic, place)
    _check_time(fields, sender, now, retained=retained)
    return Message(
        topic=place,
        sequence=fields["sequence"],
        nonce=fields["nonce"],
        issued=fields["issued"],
        expires=fields["expires"],
        kind=fields["kind"],
        content=fields["content"],
        retained=retained,
    )


def _envelope(payload: bytes, sender: str) -> tuple[bytes, str]:
    envelope = _parse(payload, sender)
    body, signature = envelope.get("body"), envelope.get("signature")
    if set(envelope) != {"body", "signature"} or not isinstance(body, str):
        raise _malformed(sender, "it is not a body and a signature")
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        raise _malformed(sender, "its signature has a wrong form")
    try:
        return body.encode(), signature
    except UnicodeEncodeError:
        raise _malformed(sender, "it is not UTF-8") from None


def _verify(public: str, message: bytes, signature: bytes) -> bool:
    if not _KEY.fullmatch(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _fields(body: bytes, sender: str) -> dict[str, Any]:
    """Return the fields of a body whose signature is good, in type and range."""
    fields = _parse(body, sender)
    if set(fields) != set(_FIELDS):
        raise _malformed(sender, "its fields are not those of this version")
    for name, wanted in _FIELDS.items():
        if type(fields[name]) is not wanted:
            raise _malformed(sender, f"its {name} has a wrong type")
    numbers = (fields["sequence"], fields["issued"], fields["expires"])
    if not all(0 <= number < _INT64 for number in numbers):
        raise _malformed(sender, "a number is out of range")
    if fields["kind"] not in get_args(Kind) or not _NONCE.fullmatch(fields["nonce"]):
        raise _malformed(sender, "its kind or nonce has a wrong form")
    if too_deep(fields["content"]):
        raise _malformed(sender, "it is nested too deeply")
    # Two ways to write one message would be two ways to read it (a key that stands there twice).
    if not _is_canonical(fields, body):
        raise _malformed(sender, "its body is not in canonical form")
    return fields


def _is_canonical(fields: Mapping[str, Any], body: bytes) -> bool:
    try:
        return canonical(fields).encode() == body
    except StatementError:  # Half of a surrogate pair, for example.
        return False


def _check_place(fields: Mapping[str, Any], topic: str, place: Topic) -> None:
    if fields["sender"] != place.member:
        raise StrangerMessage(
            f"{place.member} signed a message in the name of somebody else", place.member
        )
    if fields["topic"] != topic or fields["consortium"] != place.consortium:
        raise MisplacedMessage(
            f"a message of {place.member} came under another topic than it was signed for",
            place.member,
        )
    if (fields["kind"] == "statement") != (place.kind == "run"):
        raise _malformed(place.member, "its kind does not go with its topic")


def _check_time(fields: Mapping[str, Any], sender: str, now: int, *, retained: bool) -> None:
    ahead = fields["issued"] - now
    if ahead > MAX_SKEW:
        raise ClockError(f"the clock of {sender} is {_seconds(ahead)} s ahead of ours", sender)
    live = not retained and fields["kind"] != "will"
    if live and -ahead > MAX_SKEW:
        raise ClockError(
            f"the clock of {sender} is {_seconds(-ahead)} s behind ours, or its message was late",
            sender,
        )
    if fields["expires"] <= now:
        raise ExpiredMessage(f"a message of {sender} has expired", sender)


def _seconds(microseconds: int) -> int:
    return microseconds // 1_000_000


def _parse(text: bytes, sender: str) -> dict[str, Any]:
    try:
        value = json.loads(text.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _malformed(sender, "it is not JSON") from None
    if not isinstance(value, dict):
        raise _malformed(sender, "it is not a JSON object")
    return cast("dict[str, Any]", value)


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _malformed(sender: str, why: str) -> MalformedMessage:
    return MalformedMessage(f"a message under the name of {sender} cannot be read: {why}", sender)
