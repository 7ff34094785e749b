"""Values shared between an owner and one of its helpers.

[[x]] = (x_b, x_h) with x_b + x_h = x in the ring: the owner b holds x_b, the helper h holds x_h,
and each share alone is uniform.  Free, without a message: adding two shared arrays, adding what the
owner knows, and any *public* linear map.  Source: protocol design, section 3.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from graph_mpc.ring import Words

__all__ = ["Shared"]


@dataclass(frozen=True)
class Shared:
    """A shared array as one party sees it.

    Attributes:
        owner: number of the owner.
        helper: number of the helper that holds the other share.
        shape: public shape.
        local: this party's share, or None if it holds none.
    """

    owner: int
    helper: int
    shape: tuple[int, ...]
    local: Words | None

    def __add__(self, other: "Shared") -> "Shared":
        """Return [[x + y]]; both must be shared by the same two parties."""
        if (self.owner, self.helper, self.shape) != (other.owner, other.helper, other.shape):
            raise ValueError("only arrays of one shape, shared by the same parties, can be added")
        if self.local is None or other.local is None:
            return self
        return replace(self, local=self.local + other.local)

    def map(self, linear: Callable[[Words], Words], shape: tuple[int, ...]) -> "Shared":
        """Apply a public linear map to both shares."""
        local = None if self.local is None else linear(self.local)
        return replace(self, shape=shape, local=local)

    def rows(self, start: int, stop: int) -> "Shared":
        """Return the rows [start, stop)."""
        return self.map(lambda x: x[start:stop], (stop - start, *self.shape[1:]))

    def add_owned(self, me: int, values: Words | None) -> "Shared":
        """Add values that the owner knows (None at everybody else)."""
        if me != self.owner or self.local is None or values is None:
            return self
        return replace(self, local=self.local + values)

    @staticmethod
    def of_owner(
        me: int, owner: int, helper: int, shape: tuple[int, ...], values: Words | None
    ) -> "Shared":
        """Share (x, 0) of values that the owner knows."""
        local: Words | None = None
        if me == owner:
            local = values
        elif me == helper:
            local = np.zeros(shape, np.uint64)
        return Shared(owner, helper, shape, local)

    @staticmethod
    def of_helper(
        me: int, owner: int, helper: int, shape: tuple[int, ...], values: Words | None
    ) -> "Shared":
        """Share (0, x) of values that the helper knows."""
        local: Words | None = None
        if me == helper:
            local = values
        elif me == owner:
            local = np.zeros(shape, np.uint64)
        return Shared(owner, helper, shape, local)
