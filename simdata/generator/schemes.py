"""Laundering schemes: which typology, which accounts, at which banks.

Every account is in one scheme at most.  Members are put at banks one after the other: a member's
bank is drawn with the number of its free accounts as weight, times, for each member already placed
with which it shares a step, ``cross_bank`` if the step would cross banks and ``1 - cross_bank`` if
not (each divided by the share of free accounts on that side, so that a single step crosses with
probability ``cross_bank`` exactly).  Where that cannot be (one bank, an odd ring over two), as few
steps as possible break the rule.
"""

from dataclasses import dataclass

import numpy as np

from simdata.generator.config import Laundering
from simdata.generator.payments import Floats, Ints
from simdata.generator.typologies import TYPOLOGIES, Shape

__all__ = ["Plan", "plan_schemes"]

_NEVER = 1e-9  # stands for a probability of 0, so that the least broken choice can be found


@dataclass(frozen=True)
class Plan:
    """All schemes, their steps in one list.

    Attributes:
        typology: names, one for each scheme.
        placed: bool (s,), whether the scheme begins with cash.
        account: int64 (m,), account of each member of all schemes.
        scheme: int64 (m,), its scheme.
        entry: bool (m,), whether it holds money at the start.
        source, target: int64 (e,), payer and payee of each step, as places in ``account``.
        hop: int64 (e,), number of the step, from 1.
    """

    typology: tuple[str, ...]
    placed: np.ndarray
    account: Ints
    scheme: Ints
    entry: np.ndarray
    source: Ints
    target: Ints
    hop: Ints

    def __len__(self) -> int:
        return len(self.typology)


def plan_schemes(
    rng: np.random.Generator, bank: Ints, free: Ints, setting: Laundering, illicit: int
) -> Plan:
    """Draw all schemes.

    Args:
        rng: source of randomness.
        bank: int64 (n,), bank of each account.
        free: accounts that may take part.
        setting: the settings.
        illicit: accounts to use, about, if the settings do not give a number of schemes.
    """
    banks = int(bank.max()) + 1
    stock = [rng.permutation(free[bank[free] == b]).tolist() for b in range(banks)]
    shapes: list[tuple[str, Shape]] = []
    members: list[list[int]] = []
    used = 0
    for name in _names(rng, setting, illicit, len(free)):
        if setting.schemes is None and used >= illicit:
            break
        shape = _draw_shape(rng, name, setting, banks)
        route = _place(rng, shape, np.array([len(s) for s in stock]), setting.cross_bank)
        if route:
            shapes.append((name, shape))
            members.append([stock[b].pop() for b in route])
            used += len(route)
    return _collect(rng, shapes, members, setting.placement)


def _names(rng: np.random.Generator, setting: Laundering, illicit: int, free: int) -> list[str]:
    """Typologies in the order of use, as often as their weights say wherever the list is cut off.

    The k-th use of a typology of weight w is due at (k + u) / w with u even in [0, 1): of equal
    weights, each round has each typology once.  A scheme has at least 3 members, so
    ``illicit / 3`` schemes are enough if their number is not given.
    """
    count = setting.schemes
    if count is None:
        count = min(illicit, free) // 3 + 1 if illicit else 0
    names = [name for name, weight in setting.typologies.items() if weight > 0]
    weight = np.array([setting.typologies[name] for name in names])
    due = (np.arange(count) + rng.random((len(names), count))) / weight[:, None]
    first = np.argsort(due.ravel(), kind="stable")[:count]
    return [names[place // count] for place in first.tolist()]


def _draw_shape(rng: np.random.Generator, name: str, setting: Laundering, banks: int) -> Shape:
    typology = TYPOLOGIES[name]
    low, high = setting.members.get(name, (typology.low, typology.high))
    count = int(rng.integers(low, high + 1))
    if name == "cycle" and banks == 2 and setting.cross_bank > 0.5:
        count += count % 2  # a ring over two banks crosses at each step only if it is even
    return typology.draw(rng, count)


def _place(rng: np.random.Generator, shape: Shape, stock: Ints, cross: float) -> list[int]:
    """The bank of each member; nothing if there are not enough free accounts."""
    if stock.sum() < shape.members:
        return []
    left = stock.copy()
    bank = np.full(shape.members, -1)
    for member in _neighbour_by_neighbour(shape):
        beside = _beside(shape, member)
        bank[member] = _draw_bank(rng, left, bank[beside[bank[beside] >= 0]], cross)
        left[bank[member]] -= 1
    return [int(b) for b in bank]


def _beside(shape: Shape, member: int) -> Ints:
    """The members that share a step with ``member``."""
    return np.concatenate(
        [shape.target[shape.source == member], shape.source[shape.target == member]]
    )


def _neighbour_by_neighbour(shape: Shape) -> list[int]:
    """All members, each after one that it shares a step with, if there is one."""
    order: list[int] = []
    for start in range(shape.members):
        waiting = [start]
        while waiting:
            member = waiting.pop(0)
            if member not in order:
                order.append(member)
                waiting += _beside(shape, member).tolist()
    return order


def _draw_bank(rng: np.random.Generator, left: Ints, neighbours: Ints, cross: float) -> int:
    share = left / left.sum()
    with np.errstate(divide="ignore"):
        weight = np.log(share)
    for other in neighbours.tolist():
        inside = max(float(share[other]), _NEVER)
        outside = max(1.0 - float(share[other]), _NEVER)
        factor = np.full(len(left), np.log(max(cross, _NEVER) / outside))
        factor[other] = np.log(max(1.0 - cross, _NEVER) / inside)
        weight = weight + factor
    chance: Floats = np.exp(weight - weight.max())
    ladder = np.cumsum(chance)
    return int(np.searchsorted(ladder, rng.random() * ladder[-1], side="right"))


def _collect(
    rng: np.random.Generator,
    shapes: list[tuple[str, Shape]],
    members: list[list[int]],
    placement: float,
) -> Plan:
    sizes = np.array([len(route) for route in members], np.int64)
    first = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
    steps = np.array([len(shape.hop) for _, shape in shapes], np.int64)
    shift = np.repeat(first, steps)
    entry = np.zeros(int(sizes.sum()), bool)
    nothing = np.empty(0, np.int64)
    entry[
        np.concatenate([nothing, *(f + s.entries for f, (_, s) in zip(first, shapes, strict=True))])
    ] = True
    always = np.array([TYPOLOGIES[name].always_placed for name, _ in shapes], bool)
    return Plan(
        typology=tuple(name for name, _ in shapes),
        placed=always | (rng.random(len(shapes)) < placement),
        account=np.concatenate([nothing, *(np.array(route, np.int64) for route in members)]),
        scheme=np.repeat(np.arange(len(shapes)), sizes),
        entry=entry,
        source=np.concatenate([nothing, *(s.source for _, s in shapes)]) + shift,
        target=np.concatenate([nothing, *(s.target for _, s in shapes)]) + shift,
        hop=np.concatenate([nothing, *(s.hop for _, s in shapes)]),
    )
