"""What the doctor finds and what was taken in, looked up in a thread and kept for a minute.

The doctor asks the broker and the other members, which takes seconds when one does not answer; a
page that is loaded again does not ask again.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from bank_node.errors import UndercurrentError
from bank_node.intake.days import DayFile
from bank_node.node.config import NodeConfig
from bank_node.operation.doctor import examine
from bank_node.operation.findings import Finding, fault, is_sound
from bank_node.store import Database
from bank_node.store.days import Batch, StoredDays, batches
from graph_mpc.window import parse_time

__all__ = ["Checkup", "Checkups", "Taken"]

_MINUTE = 60_000_000
_LAST = 10


@dataclass(frozen=True)
class Taken:
    """What was taken in.

    Attributes:
        days: days with payments. first, last: when they begin, microseconds; None: there are none.
        payments: number kept. batches: the last times that something was taken in.
    """

    days: int
    first: int | None
    last: int | None
    payments: int
    batches: tuple[Batch, ...]


@dataclass(frozen=True)
class Checkup:
    """What was found at a time.

    Attributes:
        at: microseconds. findings: of the doctor. taken: None where it could not be read.
    """

    at: int
    findings: tuple[Finding, ...]
    taken: Taken | None

    @property
    def is_sound(self) -> bool:
        """Whether nothing keeps the node from its work."""
        return is_sound(self.findings)


@dataclass
class Checkups:
    """The last checkup of a node, made anew when a minute has passed; one at a time."""

    config: NodeConfig
    clock: Callable[[], int]
    _last: Checkup | None = None
    _making: threading.Lock = field(default_factory=threading.Lock)

    def get(self) -> Checkup:
        """Return the last checkup, or make one; takes seconds then."""
        with self._making:
            now = self.clock()
            if self._last is None or now - self._last.at > _MINUTE:
                self._last = _made(self.config, now)
            return self._last


def _made(config: NodeConfig, now: int) -> Checkup:
    try:
        findings = tuple(examine(config.folder, now))
    except UndercurrentError as error:
        findings = (fault("settings", error.message, error.remedy),)
    try:
        taken = _taken(config)
    except UndercurrentError as error:
        findings += (fault("intake", error.message, error.remedy),)
        taken = None
    return Checkup(now, findings, taken)


def _taken(config: NodeConfig) -> Taken:
    """Return what was taken in; as the doctor does, on a connection of its own."""
    database = Database.open(config.store_url)
    try:
        files: list[DayFile] = StoredDays(database).listed()
        with database.read() as session:
            last = tuple(batches(session, limit=_LAST))
    finally:
        database.close()
    named = [file for file in files if file.file.startswith("days/")]
    days = sorted({str(file.day) for file in named})
    return Taken(
        days=len(days),
        first=parse_time("first", days[0]) if days else None,
        last=parse_time("last", days[-1]) if days else None,
        payments=sum(file.rows for file in named),
        batches=last,
    )
