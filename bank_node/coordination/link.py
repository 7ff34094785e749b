"""One connection to the broker: an MQTT 3.1.1 client of aiomqtt, set up as coordination needs it.

A clean session each time: what a broker keeps of a session is lost by some and doubled by others,
and nothing here needs it.  A message is handed on in the very moment in which it is read from the
socket, so that none pile up unread in this process: TCP holds a flood back.
"""

import asyncio
import logging
import secrets
import socket
import ssl
from collections.abc import Callable
from typing import cast

import aiomqtt

from bank_node.coordination.config import BrokerConfig

__all__ = ["Backoff", "Deliver", "Wire", "client_id", "make_client", "subscribe"]

Deliver = Callable[[str, bytes, bool], None]
"""Called with topic, payload, and whether the broker had kept the message."""

_TIMEOUT = 10.0
_FIRST, _LONGEST = 0.5, 30.0
_STEADY = 10.0
_FAILURE = 0x80


class Backoff:
    """Seconds to wait before the next try: 0.5 … 30, doubled each time, with jitter."""

    def __init__(self) -> None:
        self._base = _FIRST

    def after(self, lasted: float) -> float:
        """Return the time to wait after a connection, or a try, that lasted so long."""
        if lasted >= _STEADY:
            self._base = _FIRST
        wait = min(self._base * (0.75 + 0.5 * secrets.randbelow(1001) / 1000), _LONGEST)
        self._base = min(2 * self._base, _LONGEST)
        return wait


class Wire(logging.Logger):
    """The client's log, which goes nowhere; but it alone knows why a broker hung up on us.

    Attributes:
        trouble: the last error of the socket, a refused certificate for example.
    """

    def __init__(self) -> None:
        super().__init__("wire", logging.ERROR)
        self.trouble = ""

    def handle(self, record: logging.LogRecord) -> None:
        """Keep the error of a socket; the client logs other things that are not for our log."""
        causes = record.args if isinstance(record.args, tuple) else ()
        self.trouble = next((str(c) for c in causes if isinstance(c, OSError)), self.trouble)


class _Outlet(asyncio.Queue[aiomqtt.Message]):
    """The client's queue, which never holds anything: each message is handed on at once."""

    def __init__(self, deliver: Deliver) -> None:
        super().__init__()
        self._deliver = deliver

    def put_nowait(self, item: aiomqtt.Message) -> None:
        payload = item.payload if isinstance(item.payload, bytes) else b""
        self._deliver(item.topic.value, payload, item.retain)


def client_id(member: str) -> str:
    """Return an identifier that others cannot guess: to know it is to be able to cut us off."""
    return f"{member}-{secrets.token_hex(8)}"


def make_client(
    config: BrokerConfig,
    identifier: str,
    context: ssl.SSLContext | None,
    will: aiomqtt.Will,
    deliver: Deliver,
    wire: Wire,
) -> aiomqtt.Client:
    """Return a client that is not connected yet."""

    def outlet(maxsize: int) -> _Outlet:
        return _Outlet(deliver)

    return aiomqtt.Client(
        config.host,
        config.port,
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=True,
        will=will,
        keepalive=config.keepalive,
        timeout=_TIMEOUT,
        tls_context=context,
        queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", outlet),
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=wire,
    )


async def subscribe(client: aiomqtt.Client, topics: str) -> None:
    """Subscribe with at-least-once delivery.

    Raises:
        aiomqtt.MqttError: the broker refuses, or does not answer.
    """
    for granted in await client.subscribe(topics, qos=1):
        code = granted if isinstance(granted, int) else granted.value
        if code >= _FAILURE:
            raise aiomqtt.MqttError("the broker refuses the subscription")
