"""Random payment graphs, split over owners, and the trusted double of the joint scalars."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from graph_mpc.context import Context
from graph_mpc.graph import OUTSIDE, LocalGraph
from graph_mpc.ring import Words
from graph_mpc.scalars import ReciprocalScale, zero_total
from graph_mpc.shares import Shared


@dataclass
class TrustedScalars:
    """Does in the open, for tests in one process, what MPyC does for separate processes."""

    parties: int
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    values: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    shares: dict[int, tuple[Words, Words]] = field(default_factory=dict)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def total(self, ctx: Context, value: int) -> int:
        self.values.append(value)
        while len(self.values) < self.parties:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return sum(self.values)

    async def reciprocal(
        self, ctx: Context, label: Any, part: Words, scale: ReciprocalScale
    ) -> dict[int, Shared]:
        self.parts.append(int(part[0]))
        while len(self.parts) < self.parties:  # noqa: ASYNC110
            await asyncio.sleep(0)
        total = sum(self.parts) % 2**64
        if total == 0:
            raise zero_total()
        rho = round(Fraction(scale.numerator * 2 ** (2 * scale.limb_bits), total))
        limbs = np.array([rho >> scale.limb_bits, rho % 2**scale.limb_bits], dtype=object)
        result = {}
        for owner in ctx.roster.owners:
            helper = ctx.roster.helpers(owner)[0]
            if owner not in self.shares:
                own = self.rng.integers(0, 2**64, 2, dtype=np.uint64)
                other = np.array([int(limb) % 2**64 for limb in limbs], np.uint64) - own
                self.shares[owner] = (own, other)
            own, other = self.shares[owner]
            local = own if ctx.me == owner else other if ctx.me == helper else None
            result[owner] = Shared(owner, helper, (2,), local)
        return result


@dataclass(frozen=True)
class Payments:
    """Payments between accounts 0..n-1; the bank of each; -1 is a bank outside."""

    accounts: int
    bank: np.ndarray
    source: np.ndarray
    target: np.ndarray
    amount: np.ndarray


def key_of(bank: int, account: int) -> bytes:
    """Key of an account: a hash of its bank and number."""
    return hashlib.sha256(f"{bank}\x1f{account}".encode()).digest()


def split(payments: Payments, owners: int, omit: set[tuple[int, int]] | None = None) -> list[Any]:
    """Each owner's part; ``omit`` holds (owner, payment) that an owner does not know."""
    names = tuple(f"p{i}" for i in range(owners))
    return [_part(payments, b, names, omit or set()) for b in range(owners)]


def _part(payments: Payments, b: int, names: tuple[str, ...], omit: set[Any]) -> LocalGraph:
    own = [v for v in range(payments.accounts) if payments.bank[v] == b]
    number = {v: i for i, v in enumerate(own)}
    foreign: dict[int, int] = {}
    summed: dict[tuple[int, int], list[int]] = {}
    for p, (s, t, a) in enumerate(
        zip(payments.source, payments.target, payments.amount, strict=True)
    ):
        if (s not in number and t not in number) or (b, p) in omit:
            continue
        ends = [number[v] if v in number else ~foreign.setdefault(v, len(foreign)) for v in (s, t)]
        entry = summed.setdefault((ends[0], ends[1]), [0, 0])
        entry[0] += int(a)
        entry[1] += 1
    edges = sorted(summed)
    keys = [key_of(b, v) for v in own]
    others = [key_of(int(payments.bank[v]), v) for v in foreign]
    as_array = lambda k: np.frombuffer(b"".join(k), np.uint8).reshape(-1, 32)  # noqa: E731
    banks = [int(payments.bank[v]) for v in foreign]
    return LocalGraph(
        names[b],
        names,
        as_array(keys),
        np.array([x if x < len(names) else OUTSIDE for x in banks], np.int16),
        as_array(others),
        np.array([e[0] for e in edges], np.int32),
        np.array([e[1] for e in edges], np.int32),
        np.zeros(len(edges), np.int32),
        np.array([summed[e][0] for e in edges], np.int64),
        np.array([summed[e][1] for e in edges], np.int64),
    )
