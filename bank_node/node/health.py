"""How a node is: what its health page shows, and the numbers that have to be looked up."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from bank_node.identity import find_credentials
from bank_node.node.config import NodeConfig
from bank_node.node.conversation import Conversation
from bank_node.node.keeper import RunKeeper
from bank_node.node.measuring import Measuring
from bank_node.node.records import Records
from bank_node.node.schedule import Scheduler
from bank_node.node.taking import Taking
from bank_node.operation.logs import LogGuard

__all__ = ["Health"]

_STUCK = 120.0


class Health:
    """What operators and their tools may know of a running node.

    Args:
        config: the node's configuration.
        records: the node's database.
        scheduler: knows the agreement in effect.
        keeper: has the open runs.
        taking: knows how the last taking in ended.
        conversation: knows whether the broker is there.
        measuring: holds the numbers.
        accounts: number of this bank's accounts; None: nothing was taken in.
        clock: microseconds since 1970.

    Attributes:
        trouble: code of the error that the last tick ended with; empty if it ended well.
        log: counts what it has dropped, once the node logs.
    """

    def __init__(
        self,
        config: NodeConfig,
        records: Records,
        scheduler: Scheduler,
        keeper: RunKeeper,
        taking: Taking,
        conversation: Conversation,
        measuring: Measuring,
        accounts: Callable[[], int | None],
        clock: Callable[[], int],
    ) -> None:
        self.trouble = ""
        self.log: LogGuard | None = None
        self._config = config
        self._records = records
        self._scheduler = scheduler
        self._keeper = keeper
        self._taking = taking
        self._conversation = conversation
        self._measuring = measuring
        self._accounts = accounts
        self._clock = clock
        self._ticked = time.monotonic()

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics."""
        return self._measuring.metrics.registry

    def health(self) -> list[str]:
        """Reasons to start the process again: none while its loops turn."""
        idle = time.monotonic() - self._ticked
        return [f"the last tick was {idle:.0f} s ago"] if idle > _STUCK else []

    def ready(self) -> list[str]:
        """Reasons why the node takes part in no run now."""
        reasons = []
        if self._scheduler.agreement is None:
            reasons.append(self._scheduler.why_not or "no agreement is in effect")
        if not self._conversation.is_connected:
            reasons.append("the broker is not connected")
        if self.trouble:
            reasons.append(f"error {self.trouble}: see the log")
        if self._taking.problem:
            reasons.append("the last taking in failed")
        if self._config.node.role == "bank" and self._accounts() is None:
            reasons.append("nothing was taken in yet")
        return reasons

    def ticked(self) -> None:
        """Take note that the loops turn, and count what can be counted at once."""
        runs = self._keeper.open.values()
        running = sum(r.holds_place for r in runs)
        queued = sum(r.own.phase == "consented" for r in runs)
        self._measuring.metrics.runs(running, queued)
        if self.log is not None:
            self._measuring.metrics.log_dropped(self.log.dropped)
        bus = self._conversation.bus
        counters = None if bus is None else bus.counters
        self._measuring.bus(counters, connected=self._conversation.is_connected)
        self._ticked = time.monotonic()

    async def look_up(self) -> None:
        """Measure what takes a look at the database or at files; nothing without an agreement."""
        signed = self._scheduler.agreement
        if signed is None:
            return
        self._measuring.budgets(await self._records.budget_left(signed.agreement, self._clock()))
        own = signed.agreement.member(self._config.node.id)
        if own is not None:
            paths = find_credentials(self._config.keys, own.certificate)
            self._measuring.certificates(paths)
