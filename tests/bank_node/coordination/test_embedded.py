"""The embedded broker: where it listens, and when it ends."""

import signal
import socket
import subprocess
import sys

import pytest

from bank_node.coordination import BrokerConfig, BrokerStartError, EmbeddedBroker

from .parts import HOUR, EmbeddedProcess, embedded, member


async def test_it_serves_within_a_process() -> None:
    """A broker in the process of its clients works, on a free port of its choice."""
    async with EmbeddedBroker() as broker:
        config = BrokerConfig(url=broker.url)
        async with member(config, "bank-a") as a, member(config, "bank-b") as b:
            await a.bus.publish("status", "status/bank-a", {"n": 1}, retain=True, lifetime=HOUR)
            await b.hears("bank-a", {"n": 1})


async def test_it_can_end_before_its_clients() -> None:
    """Closing the broker while clients are connected neither hangs nor raises."""
    broker = EmbeddedBroker()
    await broker.__aenter__()
    async with member(BrokerConfig(url=broker.url), "bank-a"):
        await broker.__aexit__(None, None, None)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((broker.host, broker.port), 1)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])
def test_it_listens_on_loopback_only(host: str) -> None:
    """Where others could reach it, a broker that lets everybody in does not start."""
    with pytest.raises(BrokerStartError, match="Mosquitto"):
        EmbeddedBroker(host)


async def test_a_taken_port_is_named() -> None:
    """The error names address and cause."""
    async with EmbeddedBroker() as first:
        with pytest.raises(BrokerStartError, match=f":{first.port}: .*in use"):
            async with EmbeddedBroker(port=first.port):
                pass


def test_the_process_ends_when_its_standard_input_is_closed() -> None:
    """The process that started it holds its lifeline."""
    with embedded() as broker:
        assert broker.process is not None
        assert broker.process.stdin is not None
        broker.process.stdin.close()
        assert broker.process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_when_asked(number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end it in order."""
    broker = EmbeddedProcess()
    broker.start()
    assert broker.end(number) == 0


@pytest.mark.parametrize(
    ("bind", "status", "words"),
    [
        ("0.0.0.0:1883", 2, "coordination.broker"),
        ("127.0.0.1", 2, "not HOST:PORT"),
        ("127.0.0.1:99999", 2, "not HOST:PORT"),
    ],
)
def test_a_wrong_address_is_one_line(bind: str, status: int, words: str) -> None:
    """The command line says what is wrong, without a traceback."""
    program = [sys.executable, "-m", "bank_node.coordination.broker", "--bind", bind]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
