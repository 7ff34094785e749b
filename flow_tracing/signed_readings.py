r"""Reading several sources of one column: [[x]] -> [[x at the sources]], a private selection.

For each column of an owner a private permutation brings the (padded) sources to the front and drops
the rest; the owner alone knows which they are.  One message of (vertices) elements per column.

Source: protocol design, section 5 (``Round trip``, batched), by the permutation of section 3.1.
"""

import asyncio

import numpy as np
from numpy.typing import NDArray

from flow_tracing.flows import Sources
from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.permutation import permute, set_up_permutation
from graph_mpc.ring import Words
from graph_mpc.shares import Shared

__all__ = ["read_sources"]


async def read_sources(
    ctx: Context,
    label: Label,
    totals: dict[int, Shared],
    per_column: int,
    sources: Sources | None,
) -> dict[int, Shared]:
    """Return the values at the sources, (W_b, per_column), of each owner's columns, in {b, h2}.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        totals: what arrived in each owner's columns, (vertices, W_b), in {b, h1}.
        per_column: public, at least the number of sources of any column.
        sources: this owner's own.
    """
    read = {}
    for b, x in totals.items():
        columns = await asyncio.gather(
            *(
                _read_column(ctx, (*label, b, w), x, w, per_column, sources)
                for w in range(x.shape[1])
            )
        )
        shares = [c.local[:, 0] for c in columns if c.local is not None]
        shape = (x.shape[1], per_column)
        local: Words | None = np.stack(shares) if shares else None
        read[b] = Shared(b, ctx.roster.helpers(b)[1], shape, local)
    return read


async def _read_column(
    ctx: Context, label: Label, x: Shared, w: int, per_column: int, sources: Sources | None
) -> Shared:
    h1, h2 = ctx.roster.helpers(x.owner)
    rows = x.shape[0]
    # Zeros stand behind the vertices for the places that have no source.
    size = rows + per_column
    pi: NDArray[np.uint32] | None = None
    if ctx.me == x.owner:
        if sources is None:
            raise ValueError("an owner with columns knows their sources")
        chosen = sources.accounts[w]
        spare = np.arange(rows + len(chosen), size)
        pi = np.concatenate([chosen, spare]).astype(np.uint32)
    column = x.map(lambda a: _with_zeros(a[:, w], per_column), (size, 1))
    way = await set_up_permutation(ctx, label, (x.owner, h1, h2), (size, per_column), pi)
    return await permute(ctx, label, way, column)


def _with_zeros(values: Words, zeros: int) -> Words:
    return np.concatenate([values, np.zeros(zeros, np.uint64)])[:, None]
