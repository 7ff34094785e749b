"""The embedded broker: amqtt on loopback, for a demonstration or a first try.

It has no TLS and lets everybody in, so it listens on loopback only; forgeries are found by the
signatures all the same.  It speaks MQTT 3.1.1, keeps everything in memory and forgets it when it
ends.  It does not notice a client that falls silent without closing its connection: on loopback
that does not happen, and a status that is not renewed expires.

The listening socket is ours, not amqtt's, so that the port is known, and an error in a connection
ends that connection.  amqtt's log is off: it has whole messages in it.
"""

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Any, Self

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter  # type: ignore[import-untyped]
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType  # type: ignore[import-untyped]

from bank_node.coordination.config import is_loopback
from bank_node.coordination.errors import BrokerStartError

__all__ = ["EmbeddedBroker"]

_LISTENER = "default"


class EmbeddedBroker:
    """A broker within this process; to be used as an asynchronous context manager.

    Attributes:
        host, port: where it listens; a port of 0 becomes a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        if not is_loopback(host):
            raise BrokerStartError(
                f"the embedded broker lets everybody in and may not listen on {host}",
                "Bind it to 127.0.0.1, or use Mosquitto (deploy/mosquitto)",
            )
        self.host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._broker: Broker | None = None
        self._connections: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Address for clients on this machine."""
        return f"mqtt://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._broker = Broker(
            BrokerConfig(
                listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
                plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
            )
        )
        await self._broker.start()
        try:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
        except OSError as error:
            await self._broker.shutdown()
            raise BrokerStartError(
                f"the embedded broker cannot listen on {self.host}:{self.port}: {error.strerror}",
                "Choose another port",
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        if self._broker is not None:
            await self._broker.shutdown()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._broker is None:
            return
        self._connections.add(task)
        try:
            await self._broker.external_connected(
                StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER
            )
        except Exception:  # One client's trouble; it sees its connection closed and comes again.
            logging.getLogger(__name__).debug("a connection ended by an error")
        finally:
            self._connections.discard(task)
            with contextlib.suppress(OSError):
                writer.close()
