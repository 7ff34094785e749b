"""Output policies: the form in which an owner may learn a result, decided inside the computation.

- ``exact``: the value itself.
- ``bands:0.2,0.5,0.8``: the band of each value, 0 = below the first border.
- ``threshold:0.8:0.05``: for each value at or above 0.8, the value rounded to a multiple of 0.05;
  for all others, that they are below.

Borders and steps are in units of the analysis' results: for PageRank scores that sum to 1, for risk
scores and shares from 0 to 1.

A policy bounds what one value gives away, in bits: 64, log2 of the number of bands rounded up, or 1
plus the bits of a rounded value.  Source: product description (``Output policy``); the release:
``graph_mpc.release``.
"""

import math
from dataclasses import dataclass
from typing import Literal

from graph_mpc.errors import ParameterError

__all__ = ["EXACT", "Policy", "parse_policy"]

_EXACT_BITS = 64
_MOST_BORDERS = 63
_REMEDY = "write exact, bands:0.2,0.5,0.8 or threshold:0.8:0.05 (threshold, then step)"


@dataclass(frozen=True)
class Policy:
    """An output policy.

    Attributes:
        text: as on the command line.
        name: ``exact``, ``bands`` or ``threshold``.
        borders: ascending; for ``threshold`` the threshold alone.
        step: to a multiple of which values above the threshold are rounded; None otherwise.
    """

    text: str
    name: Literal["exact", "bands", "threshold"]
    borders: tuple[float, ...] = ()
    step: float | None = None

    @property
    def bits_per_value(self) -> int:
        """Upper bound of the bits that one released value gives away."""
        if self.name == "exact":
            return _EXACT_BITS
        if self.name == "bands":
            return math.ceil(math.log2(len(self.borders) + 1))
        return 1 + self.rounded_bits

    @property
    def rounded_bits(self) -> int:
        """Bits of a rounded value at or above the threshold; 0 for the other policies."""
        if self.step is None:
            return 0
        return math.ceil(math.log2(self.steps(1.0) - self.steps(self.borders[0]) + 1))

    def steps(self, value: float) -> int:
        """Return the multiple of the step to which a value is rounded."""
        if self.step is None:
            raise ValueError("only the policy threshold rounds")
        return math.floor(value / self.step + 0.5)


EXACT = Policy("exact", "exact")
"""The policy under which the value itself is released."""


def parse_policy(text: str) -> Policy:
    """Return the policy that is written in ``text``, or refuse it with the reason."""
    name, _colon, rest = text.strip().partition(":")
    if name == "exact" and not rest:
        return EXACT
    if name == "bands" and rest:
        return _bands(text.strip(), rest.split(","))
    if name == "threshold" and rest:
        return _threshold(text.strip(), rest.split(":"))
    raise ParameterError(f"policy {text!r} is not known or not complete", _REMEDY)


def _bands(text: str, parts: list[str]) -> Policy:
    borders = tuple(_number(text, part) for part in parts)
    if list(borders) != sorted(set(borders)):
        raise ParameterError(f"the borders of policy {text!r} do not ascend", _REMEDY)
    if len(borders) > _MOST_BORDERS:
        raise ParameterError(
            f"policy {text!r} has {len(borders)} borders", f"give at most {_MOST_BORDERS}"
        )
    return Policy(text, "bands", borders)


def _threshold(text: str, parts: list[str]) -> Policy:
    if len(parts) != 2:
        raise ParameterError(f"policy {text!r} is not a threshold and a step", _REMEDY)
    border, step = (_number(text, part) for part in parts)
    if step > border:
        raise ParameterError(
            f"the step of policy {text!r} is larger than the threshold, so that a value above it"
            " could be rounded to 0",
            "give a smaller step",
        )
    return Policy(text, "threshold", (border,), step)


def _number(text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        raise ParameterError(f"{part!r} in policy {text!r} is not a number", _REMEDY) from None
    if not 0 < value <= 1:
        raise ParameterError(f"{part} in policy {text!r} is not above 0 and at most 1", _REMEDY)
    return value
