"""Traces with answers worked out by hand, amounts in cents; bank 0 asks.

Accounts of bank 0 are those whose amounts are expected; where the money goes meanwhile is said in
each case.
"""

from dataclasses import dataclass, field

import numpy as np

from flow_tracing.reference import PooledFlows
from tests.flow_tracing.split import World

OUT = -1


@dataclass(frozen=True)
class Case:
    """A trace and its answer.

    Attributes:
        banks: bank of each account.
        payments: (slice, payer, payee, cents).
        sources: accounts of bank 0.
        received: (slice, account) -> cents, for all accounts of bank 0 that received something.
        returned: the same for what came back to sources.
        known: balances at the start, of the accounts whose bank knows them.
    """

    banks: list[int]
    payments: list[tuple[int, int, int, int]]
    sources: list[int]
    received: dict[tuple[int, int], int]
    returned: dict[tuple[int, int], int] = field(default_factory=dict)
    known: dict[int, int] = field(default_factory=dict)
    hops: int = 4
    direction: str = "forward"
    slices: int = 1

    def world(self) -> World:
        """The payments of all banks."""
        t, source, target, amount = (
            np.array(c, np.int64) for c in zip(*self.payments, strict=True)
        )
        n = len(self.banks)
        balance = np.array([self.known.get(v, 0) for v in range(n)], np.int64)
        known = np.array([v in self.known for v in range(n)])
        flows = PooledFlows(n, self.slices, source, target, t, amount, balance, known)
        return World(flows, np.array(self.banks), 3)


CASES = {
    # 0 pays 1 at bank 1, which pays 2 at bank 2, which pays 3 at bank 0: all of it arrives.
    "a chain over three banks": Case(
        [0, 1, 2, 0],
        [(0, 0, 1, 1_000_000), (0, 1, 2, 1_000_000), (0, 2, 3, 1_000_000)],
        [0],
        {(0, 3): 1_000_000},
    ),
    # The parts 60, 30 and 10 % meet again at 4.
    "a fan-out and fan-in": Case(
        [0, 1, 2, 1, 0],
        [(0, 0, k, part) for k, part in ((1, 6000), (2, 3000), (3, 1000))]
        + [(0, k, 4, part) for k, part in ((1, 6000), (2, 3000), (3, 1000))],
        [0],
        {(0, 4): 10_000},
    ),
    "a round trip": Case(
        [0, 1, 2],
        [(0, 0, 1, 7700), (0, 1, 2, 7700), (0, 2, 0, 7700)],
        [0],
        {},
        {(0, 0): 7700},
    ),
    # In 10000, out 9000, no balance known: cap = 10000, so 90 % go on and 10 % stay.
    "a mule that keeps 10 %": Case(
        [0, 1, 0],
        [(0, 0, 1, 10_000), (0, 1, 2, 9000)],
        [0],
        {(0, 2): 9000},
    ),
    # With a balance of 10000 before: cap = 20000, 5000 / 20000 of the 10000 go on.
    "a mule with money of its own": Case(
        [0, 1, 0],
        [(0, 0, 1, 10_000), (0, 1, 2, 5000)],
        [0],
        {(0, 2): 2500},
        known={1: 10_000},
    ),
    # Slice 0: 1000 + 4000 in, 10000 out: cap = 10000, all 4000 go on and the balance ends at 0.
    # Slice 1: 2000 in, 1000 out: cap = 2000, half goes on.
    "a mule that pays more than it has": Case(
        [0, 1, 0],
        [(0, 0, 1, 4000), (0, 1, 2, 10_000), (1, 0, 1, 2000), (1, 1, 2, 1000)],
        [0],
        {(0, 2): 4000, (1, 2): 1000},
        known={1: 1000},
        slices=2,
    ),
    # The balance counts from slice to slice.  Slice 0: cap = 6000 + 2000, nothing out, 2000 held.
    # Slice 1: cap = 8000, out 4000: half of the 2000.  Slice 2: cap = 4000, all of the rest.
    "a mule whose money of its own goes out with it": Case(
        [0, 1, 0],
        [(0, 0, 1, 2000), (1, 1, 2, 4000), (2, 1, 2, 4000)],
        [0],
        {(1, 2): 1000, (2, 2): 1000},
        known={1: 6000},
        slices=3,
    ),
    # It arrives in slice 0, waits through slice 1, and leaves in slice 2.
    "money that waits two slices": Case(
        [0, 1, 0],
        [(0, 0, 1, 5000), (2, 1, 2, 5000)],
        [0],
        {(2, 2): 5000},
        slices=3,
    ),
    # At 1: in 6000 + 3000 of its own, out 9000; two hops: 2/3 of 6000 reach 2, 1/3 itself.
    "a payment to oneself": Case(
        [0, 0, 0],
        [(0, 0, 1, 6000), (0, 1, 1, 3000), (0, 1, 2, 6000)],
        [0],
        {(0, 1): 6000 + 2000, (0, 2): 4000},
        hops=2,
    ),
    # 0 pays itself 1000 of 5000: that comes back at once and does not go round.
    "a source that pays itself": Case(
        [0, 1, 0],
        [(0, 0, 0, 1000), (0, 0, 1, 4000), (0, 1, 2, 4000)],
        [0],
        {(0, 2): 4000},
        {(0, 0): 1000},
    ),
    "half of it leaves the consortium": Case(
        [0, 1, 0],
        [(0, 0, 1, 10_000), (0, 1, OUT, 5000), (0, 1, 2, 5000)],
        [0],
        {(0, 2): 5000},
    ),
    # Outside money dilutes: 1 gets 5000 tainted and 5000 from outside, so half of each payment is.
    "outside money dilutes": Case(
        [0, 1, 0],
        [(0, 0, 1, 5000), (0, OUT, 1, 5000), (0, 1, 2, 8000)],
        [0],
        {(0, 2): 4000},
    ),
    "two sources": Case(
        [0, 1, 0, 0],
        [(0, 0, 1, 4000), (0, 3, 1, 6000), (0, 1, 2, 10_000)],
        [0, 3],
        {(0, 2): 10_000},
    ),
    # 4000 come back to 0 and end there; its own 4000 to 2 are tainted in full anyway.
    "a source that gets money back": Case(
        [0, 1, 0],
        [(0, 0, 1, 10_000), (0, 1, 0, 4000), (0, 1, 2, 6000), (0, 0, 2, 4000)],
        [0],
        {(0, 2): 10_000},
        {(0, 0): 4000},
    ),
    # One source pays the other: that comes back at once and is counted once.
    "a source that pays a source": Case(
        [0, 1, 0, 0],
        [(0, 0, 3, 2000), (0, 3, 1, 3000), (0, 1, 2, 3000)],
        [0, 3],
        {(0, 2): 3000},
        {(0, 3): 2000},
    ),
    "where the end of the chain got it from": Case(
        [0, 1, 2, 0],
        [(0, 0, 1, 1_000_000), (0, 1, 2, 1_000_000), (0, 2, 3, 1_000_000)],
        [3],
        {(0, 0): 1_000_000},
        direction="backward",
    ),
    # 1 got 10000 from each of 0 and 3 and paid 10000 to 2: half of that is from either.
    "two payers share what went on": Case(
        [0, 1, 0, 0],
        [(0, 0, 1, 10_000), (0, 3, 1, 10_000), (0, 1, 2, 10_000)],
        [2],
        {(0, 0): 5000, (0, 3): 5000},
        direction="backward",
    ),
    # What 2 got in slice 2 went through 1, which had it from slice 0 on.
    "backward through a wait": Case(
        [0, 1, 0],
        [(0, 0, 1, 5000), (2, 1, 2, 5000)],
        [2],
        {(0, 0): 5000},
        slices=3,
        direction="backward",
    ),
    "a round trip backward": Case(
        [0, 1, 2],
        [(0, 0, 1, 7700), (0, 1, 2, 7700), (0, 2, 0, 7700)],
        [0],
        {},
        {(0, 0): 7700},
        direction="backward",
    ),
    # 1 had 4000, got 6000 and paid 5000: 5000 stand at the end, cap = 5000 + 5000.  So 6/10 of the
    # 5000 came from 0 in this slice, and 4/10 was there before.
    "backward through money of its own": Case(
        [0, 1, 0],
        [(0, 0, 1, 6000), (0, 1, 2, 5000)],
        [2],
        {(0, 0): 3000},
        known={1: 4000},
        direction="backward",
    ),
    # Half of what 1 paid on came from outside: there the trail ends.
    "half of it came from outside": Case(
        [0, 1, 0],
        [(0, OUT, 1, 5000), (0, 0, 1, 5000), (0, 1, 2, 10_000)],
        [2],
        {(0, 0): 5000},
        direction="backward",
    ),
    # At 1: paid 9000 and got 9000, of which 3000 from itself; two hops: 2/3 of 6000 lead to 0.
    "backward over a payment to oneself": Case(
        [0, 0, 0],
        [(0, 0, 1, 6000), (0, 1, 1, 3000), (0, 1, 2, 6000)],
        [2],
        {(0, 1): 6000 + 2000, (0, 0): 4000},
        hops=2,
        direction="backward",
    ),
}
