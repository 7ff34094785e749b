"""Members with keys, a clock that can be set, and brokers of both kinds with one face."""

import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bank_node.coordination import (
    BrokerConfig,
    Bus,
    Guard,
    Kind,
    MemoryPositions,
    Message,
    SequenceStore,
    seal,
)
from tests.mosquitto import free_port, mosquitto

CONSORTIUM = "nordic"
MEMBERS = ("bank-a", "bank-b", "bank-c")
HOUR = 3_600_000_000
NOW = 1_800_000_000_000_000


class SigningKey:
    """An Ed25519 key that lives for one test."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


KEYS = {member: SigningKey() for member in MEMBERS}
STRANGER = SigningKey()


def public_keys() -> dict[str, str]:
    """Return the public key of each member."""
    return {member: key.public for member, key in KEYS.items()}


def status_of(member: str) -> str:
    """Return a member's status topic."""
    return f"undercurrent/v1/{CONSORTIUM}/status/{member}"


def run_of(member: str, run: str) -> str:
    """Return a member's topic about a run."""
    return f"undercurrent/v1/{CONSORTIUM}/run/{member}/{run}"


def sealed(
    sender: str = "bank-a",
    *,
    topic: str | None = None,
    sequence: int = 1,
    content: dict[str, Any] | None = None,
    now: int = NOW,
    lifetime: int = HOUR,
    kind: Kind = "status",
    key: SigningKey | None = None,
    consortium: str = CONSORTIUM,
) -> bytes:
    """Return a payload of a member; a good one unless told otherwise."""
    return seal(
        key or KEYS[sender],
        topic=topic or status_of(sender),
        consortium=consortium,
        sender=sender,
        sequence=sequence,
        kind=kind,
        content={"state": "online"} if content is None else content,
        now=now,
        lifetime=lifetime,
    )


def wall_clock() -> int:
    """Return the real time in microseconds."""
    return time.time_ns() // 1000


class Broker(Protocol):
    """A broker process."""

    def config(self, member: str, *, keepalive: int = 15) -> BrokerConfig: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...


class EmbeddedProcess:
    """The embedded broker as a process of its own."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def config(self, member: str, *, keepalive: int = 15) -> BrokerConfig:
        return BrokerConfig(url=f"mqtt://127.0.0.1:{self.port}", keepalive=keepalive)

    def start(self) -> None:
        program = [sys.executable, "-m", "bank_node.coordination.broker"]
        self.process = subprocess.Popen(
            [*program, "--bind", f"127.0.0.1:{self.port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        assert ready["event"] == "ready"
        self.port = ready["port"]

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.gone()

    def gone(self) -> int:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(10)


@contextlib.contextmanager
def embedded() -> Iterator[EmbeddedProcess]:
    """Start the embedded broker on a port that it keeps."""
    broker = EmbeddedProcess(free_port())
    broker.start()
    try:
        yield broker
    finally:
        if broker.process is not None and broker.process.poll() is None:
            broker.kill()


@contextlib.contextmanager
def any_broker(kind: str, folder: Path) -> Iterator[Broker]:
    """Start a broker by name: amqtt, mosquitto, or mosquitto-persistent."""
    if kind == "amqtt":
        with embedded() as broker:
            yield broker
    else:
        with mosquitto(CONSORTIUM, folder, persistence=kind.endswith("persistent")) as other:
            yield other


@dataclass
class Listener:
    """A bus, and all that was heard over it."""

    bus: Bus
    heard: list[Message] = field(default_factory=list)

    async def listen(self) -> None:
        async for message in self.bus.messages():
            self.heard.append(message)

    def contents(self, sender: str) -> list[dict[str, Any]]:
        return [message.content for message in self.heard if message.sender == sender]

    async def until(self, what: Callable[[], object], seconds: float = 45.0) -> None:
        await until(what, seconds)

    async def hears(self, sender: str, content: dict[str, Any], seconds: float = 45.0) -> None:
        await until(lambda: content in self.contents(sender), seconds)


async def until(what: Callable[[], object], seconds: float = 45.0) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def member(
    config: BrokerConfig,
    name: str,
    *,
    positions: SequenceStore | None = None,
    counter: Iterator[int] | None = None,
    on_connect: Callable[[], Awaitable[None]] | None = None,
    clock: Callable[[], int] = wall_clock,
    connect: bool = True,
) -> AsyncIterator[Listener]:
    """Open a member's bus and listen."""
    numbers = counter or itertools.count(1)
    bus = Bus(
        config,
        CONSORTIUM,
        name,
        KEYS[name],
        public_keys,
        lambda: next(numbers),
        Guard(positions or MemoryPositions()),
        clock,
        {"state": "gone"},
        on_connect=on_connect,
    )
    async with bus:
        listener = Listener(bus)
        task = asyncio.create_task(listener.listen())
        if connect:
            async with asyncio.timeout(45):
                await bus.wait_connected()
        try:
            yield listener
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
