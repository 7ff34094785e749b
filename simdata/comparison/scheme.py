"""One scheme that the banks find together, with its banks and steps, laid out for a picture."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simdata.comparison.measures import chosen
from simdata.comparison.worlds import Comparison

__all__ = ["Scheme", "telling_scheme"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Scheme:
    """A scheme.

    Attributes:
        name: id of the scheme. typology: its kind.
        banks: names of the banks it touches; the second coordinate is a place in this list.
        bank: int64 (m,), bank of each account, a place in ``banks``.
        place: float64 (m, 2), where to draw each account: order in time, bank.
        steps: int64 (s, 2), payments between its accounts, as places among them.
        flagged: for alone and secure which accounts have an alert, bool (m,).
    """

    name: str
    typology: str
    banks: tuple[str, ...]
    bank: NDArray[np.int64]
    place: NDArray[np.float64]
    steps: NDArray[np.int64]
    flagged: Mapping[str, Bools]


def telling_scheme(comparison: Comparison, alerts: int) -> Scheme | None:
    """Return the scheme of which joining finds most more than the banks alone; None without any.

    It is the best case, not a typical one: the report says so.
    """
    data = comparison.data
    flagged = {w: chosen(data.bank, comparison.score[w], alerts) for w in ("alone", "secure")}
    names, number = np.unique(data.labels.pattern, return_inverse=True)
    member = comparison.cross & (data.labels.pattern != "")
    if not member.any():
        return None
    more = flagged["secure"].astype(np.int64) - flagged["alone"]
    gain = np.bincount(number[member], more[member], len(names))
    gain[names == ""] = -np.inf
    chosen_one = int(np.argmax(gain))
    if gain[chosen_one] <= 0:
        return None
    return _lay_out(comparison, str(names[chosen_one]), flagged)


def _lay_out(comparison: Comparison, name: str, flagged: Mapping[str, Bools]) -> Scheme:
    data, payments = comparison.data, comparison.data.payments
    members = np.flatnonzero((data.labels.pattern == name) & data.labels.illicit)
    position = np.full(len(data) + 1, -1)  # the last stands for -1, outside
    position[members] = np.arange(len(members))
    inside = (position[payments.source] >= 0) & (position[payments.target] >= 0)
    steps = np.stack([position[payments.source[inside]], position[payments.target[inside]]], axis=1)
    first = np.full(len(members), np.iinfo(np.int64).max)
    for end in (0, 1):
        np.minimum.at(first, steps[:, end], payments.time[inside])
    order = np.lexsort((np.arange(len(members)), first))
    x = np.empty(len(members))
    x[order] = np.arange(len(members))
    banks, bank = np.unique(data.bank[members], return_inverse=True)
    return Scheme(
        name=name,
        typology=str(data.labels.typology[members[0]]),
        banks=tuple(data.dataset.banks[b] for b in banks),
        bank=bank.astype(np.int64),
        place=np.stack([x, bank.astype(np.float64)], axis=1),
        steps=np.unique(steps, axis=0),
        flagged={world: those[members] for world, those in flagged.items()},
    )
