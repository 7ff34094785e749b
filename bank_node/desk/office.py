"""What the servers of pages and of the API get."""

from collections.abc import Callable
from dataclasses import dataclass

from bank_node.desk.desk import Desk
from bank_node.node.config import NodeConfig
from bank_node.node.control import Controlled

__all__ = ["Office"]


@dataclass(frozen=True)
class Office:
    """The desk, and the running node.

    Attributes:
        desk: alerts, cases, accounts, traces, the log; called in threads.
        node: joint runs; called in the event loop.
        config: the node's configuration.
        clock: microseconds since 1970.
    """

    desk: Desk
    node: Controlled
    config: NodeConfig
    clock: Callable[[], int]
