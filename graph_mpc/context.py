"""What every step of the secure program needs: who I am, with whom, and by which means."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from graph_mpc.network import Network
from graph_mpc.ring import RING64, Ring
from graph_mpc.roster import Roster
from graph_mpc.streams import Streams

__all__ = ["Context"]


def _ignore(_phase: str, _done: int, _total: int) -> None:
    """Report progress to nobody."""


@dataclass
class Context:
    """One party's side of a run.

    Every party executes the same program; a step takes the branch of the party's role in it, the
    way MPyC programs do.

    Attributes:
        me: number of this party.
        roster: all parties.
        network: messages to and from the others.
        streams: shared and own randomness.
        ring: ring of the shares.
        progress: called with (phase, done, total).
        seconds: wall time spent per phase.
    """

    me: int
    roster: Roster
    network: Network
    streams: Streams
    ring: Ring = RING64
    progress: Callable[[str, int, int], None] = _ignore
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Attribute time and messages inside the block to a phase."""
        before = self.network.phase
        self.network.phase = name
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.network.phase = before
