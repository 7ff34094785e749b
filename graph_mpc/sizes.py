"""The padded sizes of a distributed matrix, which every party tells all others.

Of each owner: rows (vertices), non-zeros, and for every other owner the length of the boundary list
to it.  Of several matrices of one owner (time slices) the largest counts, or volumes would show.

Source: protocol design, section 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graph_mpc.context import Context
from graph_mpc.padding import padded_size, require_padded

__all__ = ["OwnSizes", "PublicSizes", "publish_sizes"]


@dataclass(frozen=True)
class OwnSizes:
    """True sizes of one owner.

    Attributes:
        vertices: its vertices.
        entries: non-zeros of its matrix.
        boundary: for each other owner (position in the roster) the length of the list to it.
    """

    vertices: int
    entries: int
    boundary: Mapping[int, int]


@dataclass(frozen=True)
class PublicSizes:
    """Padded sizes of all owners.

    Attributes:
        vertices: of each owner.
        entries: of each owner.
        boundary: of the list that an owner published for another, (owner, other).
    """

    vertices: dict[int, int]
    entries: dict[int, int]
    boundary: dict[tuple[int, int], int]

    def described(self, ctx: Context) -> dict[str, Any]:
        """Return the sizes by names, for the record of the run."""
        names = ctx.roster.ids
        return {
            "accounts": {names[b]: n for b, n in self.vertices.items()},
            "edges": {names[b]: n for b, n in self.entries.items()},
            "boundary": {f"{names[b]}>{names[c]}": n for (b, c), n in self.boundary.items()},
        }


async def publish_sizes(ctx: Context, own: OwnSizes | None) -> PublicSizes:
    """Tell all parties this owner's padded sizes, and return everybody's."""
    owners = ctx.roster.owners
    sizes = np.zeros(2 + len(owners), np.int64)
    if own is not None:
        sizes[0] = padded_size(own.vertices)
        sizes[1] = padded_size(own.entries)
        for other, length in own.boundary.items():
            sizes[2 + other] = padded_size(length)
    published = await ctx.network.gather_published(("sizes",), sizes)
    for position, owner in enumerate(owners):
        others = np.delete(published[owner], 2 + position)
        require_padded(ctx.roster.ids[owner], others.tolist())
    return PublicSizes(
        {b: int(published[b][0]) for b in owners},
        {b: int(published[b][1]) for b in owners},
        {
            (b, c): int(published[b][2 + position])
            for b in owners
            for position, c in enumerate(owners)
            if b != c
        },
    )
