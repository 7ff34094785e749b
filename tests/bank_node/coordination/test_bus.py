"""The bus over real brokers: what members hear, through crashes of brokers and of members."""

import asyncio
import contextlib
import itertools
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from bank_node.coordination import (
    BrokerConfig,
    Bus,
    Guard,
    MemoryPositions,
    StatementError,
    connection_of,
    run_tail,
    status_tail,
)
from bank_node.coordination import bus as bus_module

from .parts import (
    CONSORTIUM,
    HOUR,
    KEYS,
    STRANGER,
    Broker,
    any_broker,
    member,
    public_keys,
    run_of,
    sealed,
    status_of,
    until,
    wall_clock,
)

ONLINE, READY, SECRET = {"state": "online"}, {"phase": "ready"}, "NL91ABNA0417164300"
A, B = status_tail("bank-a"), status_tail("bank-b")
RUN = run_tail("bank-a", "run-1")


@pytest.fixture(params=["amqtt", "mosquitto", "mosquitto-persistent"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Each test runs over both brokers; over Mosquitto with and without persistence."""
    with any_broker(request.param, tmp_path) as started:
        yield started


@pytest.fixture(params=["amqtt", "mosquitto"])
def plain_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Where persistence plays no part."""
    with any_broker(request.param, tmp_path) as started:
        yield started


def raw(config: BrokerConfig) -> aiomqtt.Client:
    """Return a client that can send anything: a member that cheats, or a broker."""
    return aiomqtt.Client(
        config.host,
        config.port,
        protocol=aiomqtt.ProtocolVersion.V311,
        tls_context=config.tls_context(),
    )


def bus_of(config: BrokerConfig, name: str, positions: MemoryPositions) -> Bus:
    """Return a bus that nobody listens to yet."""
    numbers = itertools.count(1)
    will = {"state": "gone"}
    guard = Guard(positions)
    key, counter = KEYS[name], numbers.__next__
    return Bus(config, CONSORTIUM, name, key, public_keys, counter, guard, wall_clock, will)


async def send(config: BrokerConfig, *messages: tuple[str, bytes], retain: bool = False) -> None:
    """Send anything as a member could that cheats, or the broker; return when all was passed on."""
    async with raw(config) as client, asyncio.timeout(45):
        await client.subscribe("undercurrent/v1/#", qos=1)
        for topic, payload in messages:
            await client.publish(topic, payload, qos=1, retain=retain)
            async for item in client.messages:
                if (item.topic.value, item.payload) == (topic, payload):
                    break


async def kept_by(config: BrokerConfig) -> dict[str, bytes]:
    """Return what the broker keeps, by topic."""
    kept = {}
    async with raw(config) as client:
        await client.subscribe("undercurrent/v1/#", qos=1)
        try:
            async with asyncio.timeout(0.5):
                async for item in client.messages:
                    kept[item.topic.value] = bytes(item.payload)
        except TimeoutError:
            pass
    return kept


async def test_members_hear_each_other(plain_broker: Broker) -> None:
    """A status and a statement reach every other member once, verified, and not the speaker."""
    async with (
        member(plain_broker.config("bank-a"), "bank-a") as a,
        member(plain_broker.config("bank-b"), "bank-b") as b,
        member(plain_broker.config("bank-c"), "bank-c") as c,
    ):
        assert await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
        assert await a.bus.publish("statement", RUN, READY, retain=True, lifetime=HOUR)
        for other in (b, c):
            await other.hears("bank-a", READY)
            assert other.contents("bank-a") == [ONLINE, READY]
            assert other.heard[-1].topic.run_id == "run-1"
        assert a.heard == []
        assert a.bus.counters.published == 2
        assert (b.bus.counters.accepted, b.bus.counters.refused) == (2, {})


async def test_who_comes_later_hears_what_holds(plain_broker: Broker) -> None:
    """What is retained is heard by a member that connects afterwards."""
    async with member(plain_broker.config("bank-a"), "bank-a") as a:
        await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
        async with member(plain_broker.config("bank-b"), "bank-b") as b:
            await b.hears("bank-a", ONLINE)
            assert b.heard[0].retained


async def test_what_is_cleared_is_no_longer_kept(plain_broker: Broker) -> None:
    """After clear the broker keeps nothing there, and nobody is told anything."""
    async with (
        member(plain_broker.config("bank-a"), "bank-a") as a,
        member(plain_broker.config("bank-b"), "bank-b") as b,
    ):
        await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
        await a.bus.publish("statement", RUN, READY, retain=True, lifetime=HOUR)
        await b.hears("bank-a", READY)
        assert await a.bus.clear(RUN)
        await a.bus.publish("status", A, {"n": 2}, retain=True, lifetime=HOUR)
        await b.hears("bank-a", {"n": 2})
        assert b.contents("bank-a") == [ONLINE, READY, {"n": 2}]
        assert set(await kept_by(plain_broker.config("bank-c"))) == {status_of("bank-a")}


async def test_a_killed_broker_costs_nothing(broker: Broker) -> None:
    """After kill -9 and a restart all reconnect, subscribe, and say again what holds."""
    told: list[str] = []

    async def connected() -> None:
        told.append("bank-a")

    async with (
        member(broker.config("bank-a"), "bank-a", on_connect=connected) as a,
        member(broker.config("bank-b"), "bank-b") as b,
    ):
        await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
        await a.bus.publish("statement", RUN, READY, retain=True, lifetime=HOUR)
        await b.hears("bank-a", READY)
        broker.kill()
        await until(lambda: not a.bus.connected and not b.bus.connected)
        assert not await a.bus.publish("status", A, {"n": 1}, retain=True, lifetime=HOUR)
        assert not await a.bus.publish("status", A, {"n": 2}, retain=True, lifetime=HOUR)
        assert not await b.bus.publish("status", B, ONLINE, retain=True, lifetime=HOUR)
        broker.start()
        await b.hears("bank-a", {"n": 2})
        await a.hears("bank-b", ONLINE)
        await until(lambda: len(told) == 2)
        await until(lambda: b.contents("bank-a").count(READY) == 2)
        assert {"n": 1} not in b.contents("bank-a")
        assert (a.bus.counters.connected, b.bus.counters.connected) == (2, 2)
        async with member(broker.config("bank-c"), "bank-c") as c:
            await c.hears("bank-a", READY)
            await c.hears("bank-a", {"n": 2})


async def test_a_cleared_topic_stays_cleared_over_a_crash_of_the_broker(broker: Broker) -> None:
    """What was cleared while the broker was away is not kept by it afterwards."""
    async with member(broker.config("bank-a"), "bank-a") as a:
        await a.bus.publish("statement", RUN, READY, retain=True, lifetime=HOUR)
        broker.kill()
        await until(lambda: not a.bus.connected)
        assert not await a.bus.clear(RUN)
        broker.start()
        await until(lambda: a.bus.counters.published == 2)
        assert await kept_by(broker.config("bank-b")) == {}


async def test_a_broker_that_is_not_there_yet_is_awaited(tmp_path: Path) -> None:
    """A node that starts before its broker says what it has to say when the broker comes."""
    with any_broker("amqtt", tmp_path) as broker:
        broker.kill()
        async with member(broker.config("bank-a"), "bank-a", connect=False) as a:
            assert not await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
            assert not a.bus.connected
            broker.start()
            async with member(broker.config("bank-b"), "bank-b") as b:
                await b.hears("bank-a", ONLINE)


CHILD = """
import asyncio, sys
from bank_node.coordination import BrokerConfig
from tests.bank_node.coordination import parts
async def main():
    parts.KEYS["bank-a"] = parts.SigningKey()
    config = BrokerConfig.model_validate_json(sys.argv[1])
    async with parts.member(config, "bank-a") as a:
        await a.bus.publish("status", "status/bank-a", {"state": "online"},
                            retain=True, lifetime=parts.HOUR)
        print(parts.KEYS["bank-a"].public, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
async def test_the_last_will_of_a_killed_member_arrives(
    plain_broker: Broker, way: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a member's process dies, the others hear its will, and late comers find it kept."""
    config = plain_broker.config("bank-a").model_dump_json()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, config, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        public = (await child.stdout.readline()).decode()
        monkeypatch.setattr(KEYS["bank-a"], "public", public.strip())
        async with member(plain_broker.config("bank-b"), "bank-b") as b:
            await b.hears("bank-a", ONLINE)
            child.send_signal(way)
            await b.hears("bank-a", {"state": "gone"})
            assert b.heard[-1].kind == "will"
        async with member(plain_broker.config("bank-c"), "bank-c") as c:
            await c.hears("bank-a", {"state": "gone"})
            assert c.contents("bank-a") == [{"state": "gone"}]
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def test_an_orderly_end_says_no_will(plain_broker: Broker) -> None:
    """A member that closes its bus is gone without a will: it has said itself what holds."""
    async with member(plain_broker.config("bank-b"), "bank-b") as b:
        async with member(plain_broker.config("bank-a"), "bank-a") as a:
            await a.bus.publish("status", A, {"state": "stopped"}, retain=True, lifetime=HOUR)
        numbers = itertools.count(2)
        async with member(plain_broker.config("bank-a"), "bank-a", counter=numbers) as a:
            await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
            await b.hears("bank-a", ONLINE)
        assert b.contents("bank-a") == [{"state": "stopped"}, ONLINE]


async def test_a_restarted_member_is_heard_at_once(plain_broker: Broker) -> None:
    """The next connection's numbers are above all of the last one's, its will included."""
    numbers, positions = itertools.count(1), MemoryPositions()
    async with member(plain_broker.config("bank-b"), "bank-b", positions=positions) as b:
        async with member(plain_broker.config("bank-a"), "bank-a", counter=numbers) as a:
            await a.bus.publish("status", A, {"n": 1}, retain=True, lifetime=HOUR)
            await b.hears("bank-a", {"n": 1})
        async with member(plain_broker.config("bank-a"), "bank-a", counter=numbers) as a:
            await a.bus.publish("status", A, {"n": 2}, retain=True, lifetime=HOUR)
            await b.hears("bank-a", {"n": 2})
        assert [connection_of(message.sequence) for message in b.heard] == [1, 2]


async def test_a_reader_that_fails_is_given_the_message_again(plain_broker: Broker) -> None:
    """A node that dies while it handles a message hears it after its restart, another not again."""
    positions = MemoryPositions()
    config = plain_broker.config("bank-b")

    async def handle(fails: bool) -> list[dict[str, Any]]:
        handled = []
        bus = bus_of(config, "bank-b", positions)
        async with bus, asyncio.timeout(45):
            async for message in bus.messages():
                handled.append(message.content)
                if fails or message.content == {"n": 2}:
                    break
        return handled

    async with member(plain_broker.config("bank-a"), "bank-a") as a:
        await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
        assert await handle(fails=True) == [ONLINE]
        await a.bus.publish("statement", RUN, {"n": 2}, retain=True, lifetime=HOUR)
        assert sorted(map(str, await handle(fails=False))) == sorted(map(str, [ONLINE, {"n": 2}]))


async def test_a_stale_retained_message_after_a_restart_is_ignored(plain_broker: Broker) -> None:
    """A broker that hands out an old state again after a restart changes nobody's mind."""
    positions, config = MemoryPositions(), plain_broker.config("bank-a")
    old = sealed(now=wall_clock(), sequence=1 << 32, content={"n": "old"})
    async with (
        member(config, "bank-a", counter=itertools.count(2)) as a,
        member(plain_broker.config("bank-b"), "bank-b", positions=positions) as b,
    ):
        await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
        await b.hears("bank-a", ONLINE)
    await send(config, (status_of("bank-a"), old), retain=True)
    async with member(plain_broker.config("bank-b"), "bank-b", positions=positions) as b:
        # amqtt hands out what it keeps once before it is asked as well.
        await until(lambda: b.bus.counters.ignored.get("stale"))
        assert b.heard == []


async def test_bad_messages_are_counted_logged_and_heard_by_nobody(
    plain_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """Each kind of bad message is refused with its reason; good ones after it still arrive."""
    caplog.set_level(logging.DEBUG)
    now, topic, secret = wall_clock(), status_of("bank-a"), {"x": SECRET}
    good = sealed(now=now, sequence=5, content=ONLINE)
    bad = [
        (topic, sealed(now=now, content=secret, key=STRANGER)),
        (topic, sealed(now=now, content=secret, topic=run_of("bank-a", "r"), kind="statement")),
        (topic, sealed("bank-b", topic=topic, now=now, content=secret, key=KEYS["bank-a"])),
        (topic, sealed(now=now - 121_000_000, content=secret)),
        (topic, sealed(now=now - 10, lifetime=5, content=secret)),
        (topic, f"not json {SECRET}".encode()),
        (topic, b"x" * 66_000),
        (topic, b"[" * 60_000),
        (run_of("bank-a", SECRET) + "/more", good),
        (run_of("bank-a", "r"), good),
    ]
    async with member(plain_broker.config("bank-b"), "bank-b") as b:
        news = [
            sealed(now=now, sequence=5, content={"n": "double"}),
            sealed(now=now, sequence=4, content={"n": "late"}),
            sealed(now=now, sequence=6, content={"n": 6}),
        ]
        for place, payload in [*bad, *((topic, each) for each in (good, good, *news))]:
            await send(plain_broker.config("bank-a"), (place, payload))
            # Each on its own: of two that wait for the reader, the inbox keeps one.
            await until(lambda: not len(b.bus._inbox))
        await b.hears("bank-a", {"n": 6})
        assert b.contents("bank-a") == [ONLINE, {"n": 6}]
        counters = b.bus.counters
    expected = {
        "forged": 1,
        "stranger": 1,
        "wrong-topic": 3,
        "clock": 1,
        "expired": 1,
        "malformed": 2,
        "too-large": 1,
    }
    assert dict(counters.refused) == expected
    assert dict(counters.ignored) == {"duplicate": 1, "conflict": 1, "stale": 1}
    assert "two messages with one number from bank-a" in caplog.text
    assert "the clock of bank-a is 121 s behind ours" in caplog.text
    assert "coordination.forged: message refused, sender bank-a, status topic" in caplog.text
    assert SECRET not in caplog.text


async def test_nothing_that_is_said_stands_in_the_logs(
    plain_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """At debug level, of all libraries, no content of any message is logged."""
    caplog.set_level(logging.DEBUG)
    async with (
        member(plain_broker.config("bank-a"), "bank-a") as a,
        member(plain_broker.config("bank-b"), "bank-b") as b,
    ):
        await a.bus.publish("status", A, {"x": SECRET}, retain=True, lifetime=HOUR)
        await b.hears("bank-a", {"x": SECRET})
    assert "connected to the broker" in caplog.text
    assert SECRET not in caplog.text


async def test_a_flood_of_bad_messages_is_one_line_a_minute(
    plain_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells a trouble with a sender once, whatever the number of messages."""
    forged = sealed(now=wall_clock(), key=STRANGER)
    async with member(plain_broker.config("bank-b"), "bank-b") as b:
        await send(plain_broker.config("bank-a"), *[(status_of("bank-a"), forged)] * 100)
        await until(lambda: b.bus.counters.refused.get("forged") == 100)
    assert caplog.text.count("coordination.forged") == 1


async def test_a_status_replaced_by_an_old_will_is_said_again(plain_broker: Broker) -> None:
    """A broker that notices late that the last connection broke makes nobody look gone."""
    config = plain_broker.config("bank-a")
    will = sealed(now=wall_clock(), sequence=(1 << 32) + 2**32 - 1, kind="will", content={"n": 0})
    async with member(config, "bank-a", counter=itertools.count(2)) as a:
        await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
        await send(config, (status_of("bank-a"), will), retain=True)
        await until(lambda: a.bus.counters.published == 2)
        async with member(plain_broker.config("bank-b"), "bank-b") as b:
            await b.hears("bank-a", ONLINE)
            assert b.contents("bank-a") == [ONLINE]


async def test_a_will_said_while_the_member_lives_is_overcome(plain_broker: Broker) -> None:
    """The will of the present connection makes a member connect anew, with higher numbers."""
    config = plain_broker.config("bank-a")
    will = sealed(
        now=wall_clock(), sequence=(1 << 32) + 2**32 - 1, kind="will", content={"n": "gone"}
    )
    async with (
        member(config, "bank-a") as a,
        member(plain_broker.config("bank-b"), "bank-b") as b,
    ):
        await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
        await b.hears("bank-a", ONLINE)
        await send(config, (status_of("bank-a"), will), retain=True)
        await b.hears("bank-a", {"n": "gone"})
        await until(lambda: b.contents("bank-a")[-1] == ONLINE)
        assert a.bus.counters.connected == 2


async def test_a_counter_that_was_put_back_is_moved_on(
    plain_broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """A node restored from a backup finds its own later messages and goes above their numbers."""
    ahead = sealed(now=wall_clock(), sequence=(50 << 32) + 3, content={"n": "before"})
    await send(plain_broker.config("bank-a"), (status_of("bank-a"), ahead), retain=True)
    async with member(plain_broker.config("bank-b"), "bank-b") as b:
        await b.hears("bank-a", {"n": "before"})
        numbers = itertools.count(7)
        async with member(plain_broker.config("bank-a"), "bank-a", counter=numbers) as a:
            await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
            await b.hears("bank-a", ONLINE)
            assert connection_of(b.heard[-1].sequence) == 51
    assert "coordination.ahead" in caplog.text


async def test_own_topics_of_an_earlier_process_are_named(plain_broker: Broker) -> None:
    """A restarted node sees which of its statements the broker still keeps, and can clear them."""
    numbers = itertools.count(1)
    async with member(plain_broker.config("bank-a"), "bank-a", counter=numbers) as a:
        await a.bus.publish("statement", RUN, READY, retain=True, lifetime=HOUR)
    async with member(plain_broker.config("bank-a"), "bank-a", counter=numbers) as a:
        await until(lambda: a.bus.standing == {RUN})
        assert await a.bus.clear(RUN)
        assert a.bus.standing == frozenset()
        assert await kept_by(plain_broker.config("bank-b")) == {}


async def test_what_was_lost_on_the_way_is_read_again(plain_broker: Broker) -> None:
    """A retained message that a broker dropped for a slow node comes with the next reading."""
    config = plain_broker.config("bank-b").model_copy(update={"refresh": 1})
    async with member(plain_broker.config("bank-a"), "bank-a") as a:
        bus = bus_of(config, "bank-b", MemoryPositions())
        async with bus, asyncio.timeout(45):
            await bus.wait_connected()
            await a.bus.publish("status", A, ONLINE, retain=True, lifetime=HOUR)
            await until(lambda: len(bus._inbox))
            bus._inbox.pop()
            message = await anext(bus.messages())
            assert (message.content, message.retained) == (ONLINE, True)
            assert bus.counters.connected == 1


async def test_a_failing_on_connect_is_tried_again(plain_broker: Broker) -> None:
    """If the node cannot do its part after a connection, the connection is made anew."""
    calls = itertools.count(1)
    done = asyncio.Event()

    async def connected() -> None:
        if next(calls) == 1:
            raise RuntimeError(SECRET)
        done.set()

    config = plain_broker.config("bank-a")
    async with member(config, "bank-a", on_connect=connected) as a, asyncio.timeout(45):
        await done.wait()
        assert a.bus.counters.connected == 2


async def test_a_failing_counter_is_tried_again(tmp_path: Path) -> None:
    """A database that cannot give a number now does not end the bus."""
    with any_broker("amqtt", tmp_path) as broker:

        def numbers() -> Iterator[int]:
            yield from range(1, 100)

        counter, failures = numbers(), iter([True])

        class Flaky:
            def __next__(self) -> int:
                if next(failures, False):
                    raise OSError("database is locked")
                return next(counter)

            def __iter__(self) -> "Flaky":
                return self

        async with member(broker.config("bank-a"), "bank-a", counter=Flaky()) as a:
            assert a.bus.connected


async def test_what_cannot_be_published_is_refused_at_once(tmp_path: Path) -> None:
    """Wrong topics, kinds and content are errors of the caller, connected or not."""
    with any_broker("amqtt", tmp_path) as broker:
        async with member(broker.config("bank-a"), "bank-a") as a:
            for kind, tail, content in [
                ("status", B, ONLINE),
                ("statement", run_tail("bank-b", "r"), ONLINE),
                ("status", RUN, ONLINE),
                ("statement", A, ONLINE),
                ("will", A, ONLINE),
                ("status", "status/#", ONLINE),
                ("statement", RUN, {"x": "x" * 70_000}),
                ("statement", RUN, {"x": float("inf")}),
            ]:
                with pytest.raises(StatementError):
                    await a.bus.publish(kind, tail, content, retain=True, lifetime=HOUR)  # type: ignore[arg-type]
            with pytest.raises(StatementError):
                await a.bus.clear(B)
            assert a.bus.counters.published == 0


async def test_messages_end_with_the_bus(tmp_path: Path) -> None:
    """A reader does not hang when the bus is closed."""
    with any_broker("amqtt", tmp_path) as broker:
        async with member(broker.config("bank-a"), "bank-a", connect=False) as a:
            reader = asyncio.create_task(a.listen())
            await a.bus.wait_connected()
            await a.bus.__aexit__(None, None, None)
            async with asyncio.timeout(5):
                await reader


async def test_a_lost_cancellation_does_not_keep_the_bus_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``asyncio.wait_for`` of Python 3.11 can lose one, inside the client or what the node does."""
    lost = []

    async def loses_one(*_: object) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            lost.append(1)
            await asyncio.sleep(3600)

    with any_broker("amqtt", tmp_path) as broker:
        config = broker.config("bank-a")
        async with asyncio.timeout(45):
            async with member(config, "bank-a", on_connect=lambda: loses_one()):
                pass
            assert len(lost) == 1
            monkeypatch.setattr(bus_module, "subscribe", loses_one)
            async with bus_of(config, "bank-a", MemoryPositions()):
                await asyncio.sleep(0.5)
            assert len(lost) == 2
