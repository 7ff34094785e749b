"""Mosquitto with the files in ``deploy/``: who gets in, and who may write and read what."""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from tests.mosquitto import BrokerAuthority, Mosquitto, mosquitto

from .parts import CONSORTIUM, HOUR, member, run_of, status_of, until


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real Mosquitto."""
    with mosquitto(CONSORTIUM, tmp_path) as started:
        yield started


def client(broker: Mosquitto, context: ssl.SSLContext | None) -> aiomqtt.Client:
    """Return a bare client."""
    return aiomqtt.Client(
        "127.0.0.1",
        broker.port,
        protocol=aiomqtt.ProtocolVersion.V311,
        tls_context=context,
        timeout=2,
        logger=logging.getLogger("test"),
    )


def as_member(broker: Mosquitto, name: str) -> aiomqtt.Client:
    """Return a client with a member's certificate."""
    return client(broker, broker.config(name).tls_context())


async def written(broker: Mosquitto, writer: str, topics: list[str], last: str) -> set[str]:
    """Return which topics a member could write, with the last one as proof that all were tried."""
    seen = set()
    async with as_member(broker, "bank-c") as reader, as_member(broker, writer) as member_client:
        await reader.subscribe("#", qos=1)
        for topic in [*topics, last]:
            await member_client.publish(topic, b"x", qos=1, retain=True)
        async with asyncio.timeout(10):
            async for item in reader.messages:
                seen.add(item.topic.value)
                if item.topic.value == last:
                    break
    return seen


async def test_a_member_writes_its_own_topics_and_no_others(broker: Mosquitto) -> None:
    """Own status and runs get through; everything else a member writes reaches nobody."""
    own = [run_of("bank-a", "r1"), "undercurrent/v1/other/status/bank-a"]
    others = [
        status_of("bank-b"),
        run_of("bank-b", "r1"),
        "undercurrent/v1/nordic/status/bank-a/more",
        "undercurrent/v1/nordic/status",
        "undercurrent/v1/nordic/other/bank-a",
        "undercurrent/v1/nordic/x/status/bank-a",
        "undercurrent/v2/nordic/status/bank-a",
        "elsewhere",
        "bank-a",
    ]
    last = status_of("bank-a")
    assert await written(broker, "bank-a", others + own, last) == {*own, last}


async def test_nothing_of_others_is_kept_either(broker: Mosquitto) -> None:
    """A refused retained message does not wait for those who come later."""
    await written(broker, "bank-a", [status_of("bank-b")], status_of("bank-a"))
    async with as_member(broker, "bank-c") as reader:
        await reader.subscribe("undercurrent/v1/#", qos=1)
        first = await anext(aiter(reader.messages))
        assert first.topic.value == status_of("bank-a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(aiter(reader.messages))


async def test_members_read_the_consortium_and_nothing_of_the_broker(broker: Mosquitto) -> None:
    """Who is connected, and how much is said, the broker tells no member."""
    async with as_member(broker, "bank-a") as reader:
        await reader.subscribe("$SYS/#", qos=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await anext(aiter(reader.messages))


@pytest.mark.parametrize("name", ["+", "#"])
async def test_a_wildcard_as_a_name_opens_nothing(broker: Mosquitto, name: str) -> None:
    """A certificate whose CN is a wildcard does not write to everybody's topics."""
    paths = broker.authority.issue_with_uris(name, [], broker.log.parent)
    context = ssl.create_default_context(cafile=paths.authority)
    context.load_cert_chain(paths.certificate, paths.private_key)
    async with as_member(broker, "bank-c") as reader:
        await reader.subscribe("undercurrent/v1/#", qos=1)
        try:
            async with client(broker, context) as odd:
                await odd.publish(status_of("bank-a"), b"x", qos=1)
        except aiomqtt.MqttError:
            pass  # Not even let in.
        async with as_member(broker, "bank-b") as good:
            await good.publish(status_of("bank-b"), b"x", qos=1)
        assert (await anext(aiter(reader.messages))).topic.value == status_of("bank-b")


async def test_without_a_certificate_nobody_gets_in(broker: Mosquitto) -> None:
    """TLS alone is not enough, and no TLS is less."""
    authority = broker.config("bank-a").authority
    for context in (ssl.create_default_context(cafile=authority), None):
        with pytest.raises(aiomqtt.MqttError):
            async with client(broker, context):
                pass
    async with as_member(broker, "bank-a"):
        pass


async def test_a_certificate_of_another_authority_does_not_get_in(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """The same name from another authority of the same name is a stranger."""
    paths = BrokerAuthority(CONSORTIUM).issue("bank-a", tmp_path / "other")
    context = ssl.create_default_context(cafile=broker.config("bank-a").authority)
    context.load_cert_chain(paths.certificate, paths.private_key)
    with pytest.raises(aiomqtt.MqttError):
        async with client(broker, context):
            pass


async def test_a_broker_of_another_authority_is_not_trusted(
    broker: Mosquitto, tmp_path: Path
) -> None:
    """A node does not connect to a broker that the consortium's authority does not know."""
    other = BrokerAuthority(CONSORTIUM).issue("bank-a", tmp_path / "other")
    good = broker.config("bank-a")
    context = good.model_copy(update={"authority": other.authority}).tls_context()
    with pytest.raises(aiomqtt.MqttError, match="certificate verify failed"):
        async with client(broker, context):
            pass


async def test_a_refused_certificate_is_named_in_the_nodes_log(
    broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator reads that the broker does not know the authority, not that time ran out."""
    other = BrokerAuthority(CONSORTIUM).issue("bank-a", tmp_path / "other")
    update = {"certificate": other.certificate, "private_key": other.private_key}
    config = broker.config("bank-a").model_copy(update=update)
    async with member(config, "bank-a", connect=False) as a:
        # The broker's alert and the end of its connection race: a try may see the end only.
        await until(lambda: "unknown ca" in caplog.text, 30)
        assert not a.bus.connected
    assert "no connection to the broker" in caplog.text


async def test_an_old_version_of_tls_is_refused(broker: Mosquitto) -> None:
    """The broker speaks TLS 1.3 only."""
    context = broker.config("bank-a").tls_context()
    assert context is not None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(aiomqtt.MqttError, match="alert protocol version"):
        async with client(broker, context):
            pass


async def test_retained_messages_survive_an_orderly_restart(tmp_path: Path) -> None:
    """With persistence, what the nodes said is there after the broker's service was restarted."""
    with mosquitto(CONSORTIUM, tmp_path, persistence=True) as broker:
        async with member(broker.config("bank-a"), "bank-a") as a:
            await a.bus.publish("status", "status/bank-a", {}, retain=True, lifetime=HOUR)
        # Mosquitto says the wills of all that it believes connected when it ends; by the time it
        # has let another member in, it has read that the first left in good order.
        async with member(broker.config("bank-c"), "bank-c"):
            pass
        broker.stop()
        broker.start()
        async with member(broker.config("bank-b"), "bank-b") as b:
            await b.hears("bank-a", {})
