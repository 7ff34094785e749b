"""Signed messages: what is accepted, and what is refused for which reason."""

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank_node.coordination import (
    MAX_BYTES,
    MAX_SKEW,
    Message,
    MessageRefused,
    StatementError,
    canonical,
    seal,
    unseal,
)
from bank_node.coordination.messages import DOMAIN

from .parts import (
    CONSORTIUM,
    HOUR,
    KEYS,
    NOW,
    STRANGER,
    SigningKey,
    public_keys,
    run_of,
    sealed,
    status_of,
)

SECOND = 1_000_000
TOPIC = status_of("bank-a")
SECRET = "NL91ABNA0417164300"


def opened(
    payload: bytes, topic: str = TOPIC, *, now: int = NOW, retained: bool = False
) -> Message:
    """Return what a payload says."""
    return unseal(payload, topic, public_keys(), now, retained=retained)


def refusal(
    payload: bytes, topic: str = TOPIC, *, now: int = NOW, retained: bool = False
) -> MessageRefused:
    """Return why a payload is refused; the text never holds the secret."""
    with pytest.raises(MessageRefused) as caught:
        opened(payload, topic, now=now, retained=retained)
    assert SECRET not in str(caught.value)
    return caught.value


def signed(body: str, key: SigningKey | None = None) -> bytes:
    """Return an envelope around any text, with a good signature."""
    signature = (key or KEYS["bank-a"]).sign(DOMAIN + body.encode("utf-8", "surrogatepass")).hex()
    return json.dumps({"body": body, "signature": signature}).encode()


def fields(**changes: Any) -> dict[str, Any]:
    """Return the fields of a good message, with changes."""
    body: dict[str, Any] = json.loads(json.loads(sealed())["body"])
    return body | changes


json_content = st.dictionaries(
    st.text(max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    ),
    max_size=4,
)


@given(json_content)
def test_what_is_sealed_is_what_is_unsealed(content: dict[str, Any]) -> None:
    """Any JSON content comes out of a message as it went in."""
    message = opened(sealed(content=content, sequence=7))
    assert (message.content, message.sequence, message.sender) == (content, 7, "bank-a")
    assert (message.issued, message.expires, message.kind) == (NOW, NOW + HOUR, "status")


@given(st.data())
def test_any_changed_bit_of_a_message_is_refused(data: st.DataObject) -> None:
    """No message with a bit flipped anywhere is accepted."""
    payload = bytearray(sealed())
    position = data.draw(st.integers(0, len(payload) * 8 - 1))
    payload[position // 8] ^= 1 << position % 8
    assert refusal(bytes(payload)).reason in {"forged", "malformed"}


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_as_malformed(payload: bytes) -> None:
    """Whatever is not an envelope is malformed, and never another exception."""
    assert refusal(payload).reason == "malformed"


def test_a_message_signed_with_another_key_is_forged() -> None:
    """A stranger cannot speak in a member's name, nor can another member."""
    for key in (STRANGER, KEYS["bank-b"]):
        error = refusal(sealed("bank-a", key=key))
        assert (error.code, error.exit_code, error.sender) == ("coordination.forged", 4, "bank-a")


def test_a_signature_of_another_form_is_refused() -> None:
    """A signature must be 128 lower-case hexadecimal digits: shorter or longer ones never pass."""
    envelope = json.loads(sealed())
    good = envelope["signature"]
    for bad in (good[:-2], good + "00", good.upper() + "g", "", 7, None, good[:-1] + " "):
        changed = json.dumps(envelope | {"signature": bad}).encode()
        assert refusal(changed).reason == "malformed"


def test_a_signature_without_the_domain_is_forged() -> None:
    """A signature made for something else does not count for a message."""
    body = json.loads(sealed())["body"]
    signature = KEYS["bank-a"].sign(b"undercurrent/v1/manifest\n" + body.encode()).hex()
    assert refusal(json.dumps({"body": body, "signature": signature}).encode()).reason == "forged"


def test_a_stranger_is_refused() -> None:
    """Who is not in the agreement is not heard, however good the signature."""
    topic = status_of("bank-x")
    payload = sealed("bank-x", topic=topic, key=STRANGER)
    error = refusal(payload, topic)
    assert (error.reason, error.sender) == ("stranger", "")


def test_a_member_that_signs_in_anothers_name_is_refused() -> None:
    """The sender in the body must be the member whose topic and key it is."""
    payload = sealed("bank-b", topic=TOPIC, key=KEYS["bank-a"])
    error = refusal(payload)
    assert (error.reason, error.sender) == ("stranger", "bank-a")


def test_a_moved_message_is_refused() -> None:
    """A message counts under the topic for which it was signed, and nowhere else."""
    payload = sealed(topic=run_of("bank-a", "run-1"), kind="statement")
    assert opened(payload, run_of("bank-a", "run-1")).topic.run_id == "run-1"
    assert refusal(payload, run_of("bank-a", "run-2")).reason == "wrong-topic"
    assert refusal(payload).reason == "wrong-topic"
    assert refusal(payload, run_of("bank-b", "run-1")).reason == "forged"


def test_a_message_of_another_consortium_is_refused() -> None:
    """The same key in two consortia does not let a message pass from one to the other."""
    elsewhere = TOPIC.replace(CONSORTIUM, "other")
    assert refusal(sealed(topic=elsewhere, consortium="other")).reason == "wrong-topic"
    assert refusal(sealed(consortium="other")).reason == "wrong-topic"


@pytest.mark.parametrize(
    "topic",
    [
        "undercurrent/v1/nordic/status",
        "undercurrent/v1/nordic/status/bank-a/more",
        "undercurrent/v1/nordic/run/bank-a",
        "undercurrent/v2/nordic/status/bank-a",
        "x/undercurrent/v1/nordic/status/bank-a",
        "undercurrent/v1/nordic/secret/bank-a",
        "undercurrent/v1/nordic/status/bank a",
        "",
    ],
)
def test_topics_that_are_none_of_ours_are_refused(topic: str) -> None:
    """Under a topic of another form nothing is accepted."""
    assert refusal(sealed(), topic).reason == "wrong-topic"


def test_an_expired_message_is_refused() -> None:
    """A message that the broker kept is accepted until its last microsecond and refused after."""
    payload = sealed(lifetime=HOUR)
    assert opened(payload, now=NOW + HOUR - 1, retained=True).retained
    assert refusal(payload, now=NOW + HOUR, retained=True).reason == "expired"


@pytest.mark.parametrize(("off", "word"), [(121, "ahead of"), (-121, "behind")])
def test_a_clock_121_seconds_off_is_refused_and_named(off: int, word: str) -> None:
    """The error names the clock, whose it is, by how many seconds, and the remedy."""
    error = refusal(sealed(now=NOW + off * SECOND))
    assert error.code == "coordination.clock"
    assert f"the clock of bank-a is 121 s {word}" in str(error)
    assert "NTP" in error.remedy


def test_clocks_may_differ_by_120_seconds() -> None:
    """Up to the limit a message is accepted, on both sides."""
    for now in (NOW - MAX_SKEW, NOW + MAX_SKEW):
        assert opened(sealed(), now=now).sender == "bank-a"


def test_a_message_the_broker_kept_may_be_old_but_not_from_the_future() -> None:
    """A retained status was issued long ago by nature; a clock ahead is still found."""
    assert opened(sealed(), now=NOW + HOUR // 2, retained=True)
    assert refusal(sealed(now=NOW + 121 * SECOND), retained=True).reason == "clock"


def test_a_will_may_be_old() -> None:
    """A last will is signed when the connection is made and said when it breaks."""
    assert opened(sealed(kind="will"), now=NOW + HOUR // 2).kind == "will"


def test_too_large_a_message_is_refused_unread() -> None:
    """One byte over 64 KiB is too large, before anything is parsed."""
    assert refusal(b"x" * (MAX_BYTES + 1)).reason == "too-large"
    assert refusal(b"x" * MAX_BYTES).reason == "malformed"


def test_too_large_a_statement_is_not_sealed() -> None:
    """What no member would accept cannot be published."""
    with pytest.raises(StatementError, match="bytes"):
        sealed(content={"text": "x" * MAX_BYTES})


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"\xff\xfe",
        b"{",
        b'{"body": "{}"}',
        b'{"body": {}, "signature": ""}',
        b'{"body": NaN, "signature": ""}',
        b"[" * 30_000,
        b'{"body":' * 8_000,
        b"9" * 60_000,
        json.dumps({"body": "\ud800", "signature": "0" * 128}).encode(),
    ],
)
def test_what_is_no_envelope_is_malformed(payload: bytes) -> None:
    """Text that is not JSON, not UTF-8, nested a thousandfold: malformed, and nothing worse."""
    assert refusal(payload).reason == "malformed"


def test_a_member_cannot_break_others_with_a_good_signature() -> None:
    """Nonsense that is well signed is malformed: deep, doubled, odd or not canonical."""
    deep: Any = {}
    for _ in range(17):
        deep = {"x": deep}
    nonsense = [
        "",
        "[]",
        "[" * 30_000,
        "{}",
        canonical(fields(more=1)),
        canonical(fields(sequence=-1)),
        canonical(fields(sequence=2**63)),
        canonical(fields(sequence=True)),
        canonical(fields(sequence=1.0)),
        canonical(fields(sequence="1")),
        canonical(fields(nonce="short")),
        canonical(fields(kind="order")),
        canonical(fields(kind="statement")),
        canonical(fields(content=[])),
        canonical(fields(content=deep)),
        json.dumps(fields()),
        canonical(fields()).replace('"sequence":1', '"sequence":1,"sequence":2'),
        canonical(fields(content={"x": 1})).replace('"x":1', '"x":Infinity'),
        json.dumps(fields(content={"x": "\ud800"}), sort_keys=True, separators=(",", ":")),
    ]
    for body in nonsense:
        assert refusal(signed(body)).reason == "malformed"
    assert opened(signed(canonical(fields()))).sequence == 1


def test_what_is_no_json_cannot_be_sealed() -> None:
    """Sets, not-a-number, half a surrogate pair and deep nesting are refused at the sender."""
    deep: Any = []
    for _ in range(20):
        deep = [deep]
    for content in ({"x": {1}}, {"x": float("nan")}, {"x": "\ud800"}, {"x": deep}):
        with pytest.raises(StatementError):
            sealed(content=content)


def test_two_messages_of_the_same_content_differ() -> None:
    """Each message has a random nonce of its own."""
    first, second = opened(sealed()), opened(sealed())
    assert first.nonce != second.nonce


def test_a_key_of_a_wrong_form_verifies_nothing() -> None:
    """A broken key in the agreement makes its member's messages forged, not an exception."""
    for key in ("", "zz", "0" * 63, "0" * 66, KEYS["bank-a"].public.upper() + "!"):
        with pytest.raises(MessageRefused) as caught:
            unseal(sealed(), TOPIC, {"bank-a": key}, NOW)
        assert caught.value.reason == "forged"


def test_refusals_hold_nothing_of_the_message() -> None:
    """No error text repeats content, forged or malformed."""
    secret = {"account": SECRET}
    refusal(sealed(content=secret, key=STRANGER))
    refusal(signed(canonical(fields(content=secret, kind=SECRET))))
    refusal(signed(SECRET))
    refusal(sealed(SECRET, topic=TOPIC, key=KEYS["bank-a"]))
    refusal(sealed(SECRET, topic=status_of(SECRET), key=STRANGER), status_of(SECRET))


def test_refusals_survive_pickling() -> None:
    """An error can be handed from one process to another."""
    error = refusal(sealed(key=STRANGER))
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.code, copy.sender) == (str(error), error.code, "bank-a")


def test_seal_signs_with_the_domain() -> None:
    """The signed bytes are the domain, a new line, and the body."""
    seen = []

    class Recorder(SigningKey):
        def sign(self, message: bytes) -> bytes:
            seen.append(message)
            return super().sign(message)

    payload = seal(
        Recorder(),
        topic=TOPIC,
        consortium=CONSORTIUM,
        sender="bank-a",
        sequence=1,
        kind="status",
        content={},
        now=NOW,
        lifetime=1,
    )
    assert seen == [b"undercurrent/v1/message\n" + json.loads(payload)["body"].encode()]
