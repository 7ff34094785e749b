"""The doctor on the broker, and on the clocks that the members' statuses show.

The broker is asked as the node asks it, with this member's certificate, under a name of its own, so
that the running node stays connected; only what it has kept is read, and nothing is said.
"""

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiomqtt

from bank_node.coordination import BrokerConfig, Message, MessageRefused, parse_topic, unseal
from bank_node.coordination.errors import ClockError
from bank_node.coordination.link import client_id
from bank_node.coordination.topics import ROOT
from bank_node.identity import check_authority
from bank_node.operation.check_keys import certificate_finding
from bank_node.operation.findings import Finding, fault, good, warning
from bank_node.operation.probes import Answer, probe

__all__ = ["Heard", "check_broker", "check_clocks", "check_line", "check_unknown", "listen"]

_REMEDY = "Check [broker] in node.toml and the way there, or tell the broker's operator"
_FEW_SECONDS = 5
_MQTTS = 8883
_OLD = 120
_WORDS = {
    "no-name": "the name of the broker's host is not known",
    "no-route": "there is no way to the broker's host",
    "closed": "nothing listens on the broker's port",
    "silent": "nothing answers on the broker's port; a firewall may drop what is sent there",
    "plain": "the broker does not speak TLS 1.3",
}


@dataclass(frozen=True)
class Heard:
    """A status that the broker has kept.

    Attributes:
        member: whose it is.
        message: if it is a good one.
        refusal: if not, why.
    """

    member: str
    message: Message | None
    refusal: MessageRefused | None


def check_line(config: BrokerConfig, now: int) -> Iterator[Finding]:
    """Look at the way to the broker, and at the certificate that it shows."""
    answer = probe(config.host, config.port, tls=config.tls)
    if not config.tls and answer.outcome == "plain":
        yield good("broker", f"{config.url} is there, without TLS, on this machine")
        return
    if answer.outcome != "certificate":
        yield fault("broker", f"{config.url}: {_WORDS[answer.outcome]}", _REMEDY)
        return
    yield from _certificate(config, answer, now)


def check_unknown(url: str) -> Finding:
    """Look at a broker to which this member cannot prove yet who it is."""
    parts = urlsplit(url)
    if parts.scheme != "mqtts" or not parts.hostname:
        remedy = "Write mqtts://host:port under [broker]"
        return fault("broker", "its url is not mqtts://host:port", remedy)
    answer = probe(parts.hostname, parts.port or _MQTTS, tls=True)
    if answer.outcome != "certificate":
        return fault("broker", f"{url}: {_WORDS[answer.outcome]}", _REMEDY)
    return warning(
        "broker",
        f"{url} is there and speaks TLS; this member has no certificate for it yet",
        "Join a consortium: undercurrent consortium join, then sign",
    )


def _certificate(config: BrokerConfig, answer: Answer, now: int) -> Iterator[Finding]:
    remedy = "The operator of the broker renews it: undercurrent consortium broker-certificate"
    yield certificate_finding("broker's certificate", answer.certificate, now, remedy)
    if config.authority is not None:
        check_authority(config.authority.read_text("ascii"))
    try:
        context = config.tls_context()
        if context is not None:
            asyncio.run(_shake_hands(config, context))
    except ssl.SSLCertVerificationError as error:
        yield fault("broker", f"its certificate is refused: {error.verify_message}", remedy)
    except (OSError, TimeoutError):
        yield fault("broker", f"{config.url} breaks the connection off", _REMEDY)
    else:
        yield good("broker", f"{config.url} is there and shows the right certificate")


async def _shake_hands(config: BrokerConfig, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(_FEW_SECONDS):
        _reader, writer = await asyncio.open_connection(config.host, config.port, ssl=context)
        writer.close()


def check_broker(
    config: BrokerConfig, consortium: str, me: str, keys: Mapping[str, str], now: int
) -> Iterator[Finding]:
    """Connect as the node does, and look at the statuses that are kept.

    Args:
        config: the broker.
        consortium: name of the consortium.
        me: id of this member.
        keys: public key of each member.
        now: microseconds since 1970 UTC.
    """
    try:
        heard = asyncio.run(listen(config, consortium, me, keys, now))
    except (aiomqtt.MqttError, OSError, TimeoutError):
        yield fault(
            "broker's consent",
            f"{config.url} does not let {me} in",
            "Check this member's certificate, and the broker's list of members and its log",
        )
        return
    yield good("broker's consent", f"it lets {me} in and has {len(heard)} statuses")
    yield from check_clocks(heard, me, sorted(keys), now)


async def listen(
    config: BrokerConfig, consortium: str, me: str, keys: Mapping[str, str], now: int
) -> list[Heard]:
    """Return the statuses that the broker has kept, each checked."""
    heard: list[Heard] = []
    client = aiomqtt.Client(
        config.host,
        config.port,
        identifier=client_id(me),
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=True,
        timeout=_FEW_SECONDS,
        tls_context=config.tls_context(),
    )
    async with client:
        granted = await client.subscribe(f"{ROOT}/{consortium}/status/+", qos=1)
        if any((code if isinstance(code, int) else code.value) >= 0x80 for code in granted):
            raise aiomqtt.MqttError("refused")
        try:
            # What is kept comes at once; a pause is its end.
            while True:
                async with asyncio.timeout(1):
                    message = await anext(client.messages)
                if message.retain and isinstance(message.payload, bytes):
                    heard.append(_judge(message.topic.value, message.payload, keys, now))
        except TimeoutError:
            return heard


def _judge(topic: str, payload: bytes, keys: Mapping[str, str], now: int) -> Heard:
    place = parse_topic(topic)
    member = place.member if place is not None and place.member in keys else ""
    try:
        return Heard(member, unseal(payload, topic, keys, now, retained=True), None)
    except MessageRefused as error:
        return Heard(member, None, error)


def check_clocks(heard: list[Heard], me: str, members: list[str], now: int) -> Iterator[Finding]:
    """Compare the times of the members' statuses with this machine's clock.

    A status is kept for a while, so one that is old says nothing of a clock; one from the future
    does.
    """
    known = {one.member: one for one in heard if one.member}
    for member in (name for name in members if name != me):
        one = known.get(member)
        name = f"member {member}"
        if one is None:
            yield warning(name, "it has never told where it stands", "Ask whether its node runs")
        elif isinstance(one.refusal, ClockError):
            yield fault(name, one.refusal.message, one.refusal.remedy)
        elif one.refusal is not None:
            yield warning(name, one.refusal.message, one.refusal.remedy)
        elif one.message is not None:
            yield _age(name, one.message, now)


def _age(name: str, message: Message, now: int) -> Finding:
    seconds = (now - message.issued) / 1e6
    if seconds < -_FEW_SECONDS:
        text = f"its clock is {-seconds:.0f} s ahead of ours, or ours behind"
        return warning(name, text, "Set both hosts' clocks by NTP before it is 120 s")
    state = message.content.get("state")
    if message.kind == "will" or state != "online" or seconds > _OLD:
        return warning(name, f"its node is not there; last word {seconds:,.0f} s ago", "Ask there")
    return good(name, f"its node is there; last word {max(seconds, 0):.0f} s ago by our clock")
