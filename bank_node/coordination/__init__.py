"""How nodes speak to each other: signed messages over MQTT.

``Bus`` is a node's line to the others: ``publish`` and ``clear`` for what it says, ``messages`` for
what they say.  ``seal`` and ``unseal`` make and check a message, ``Guard`` tells new ones from old.
Nothing relies on the broker: it may lose, keep, double, delay, move and read all it likes.

``EmbeddedBroker`` (``bank_node.coordination.embedded``) is amqtt on loopback; its module is loaded
when it is asked for, as a node that uses Mosquitto has no need of it.
"""

from typing import TYPE_CHECKING, Any

from bank_node.coordination.bus import Bus
from bank_node.coordination.config import BrokerConfig
from bank_node.coordination.errors import (
    BrokerConfigError,
    BrokerStartError,
    CoordinationError,
    MessageRefused,
    StatementError,
)
from bank_node.coordination.guard import Guard, MemoryPositions, SequenceStore, Verdict
from bank_node.coordination.journal import BusStatistics
from bank_node.coordination.messages import (
    MAX_BYTES,
    MAX_SKEW,
    Key,
    Kind,
    Message,
    canonical,
    seal,
)
from bank_node.coordination.topics import Topic, parse_topic, run_tail, status_tail
from bank_node.coordination.unsealing import unseal
from bank_node.coordination.voice import connection_of

if TYPE_CHECKING:
    from bank_node.coordination.embedded import EmbeddedBroker

__all__ = [
    "MAX_BYTES",
    "MAX_SKEW",
    "BrokerConfig",
    "BrokerConfigError",
    "BrokerStartError",
    "Bus",
    "BusStatistics",
    "CoordinationError",
    "EmbeddedBroker",
    "Guard",
    "Key",
    "Kind",
    "MemoryPositions",
    "Message",
    "MessageRefused",
    "SequenceStore",
    "StatementError",
    "Topic",
    "Verdict",
    "canonical",
    "connection_of",
    "parse_topic",
    "run_tail",
    "seal",
    "status_tail",
    "unseal",
]


def __getattr__(name: str) -> Any:
    if name == "EmbeddedBroker":
        from bank_node.coordination.embedded import EmbeddedBroker

        return EmbeddedBroker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
