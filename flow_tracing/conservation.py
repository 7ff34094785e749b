"""Conservation, checked in every run: injected = held + returned + left.

For each question, all owners' shares of what is held, came back and left are added up at the owner
that asks and one helper (``graph_mpc.sums``); the difference to what was injected is compared with
a tolerance (``graph_mpc.threshold``), and the owner learns two bits that are always the same unless
a party or the program is at fault.  Then the run ends without a result.

Source: protocol design, section 5 (``Conservation``).
"""

import math

import numpy as np

from flow_tracing.walk import Arrivals
from graph_mpc.context import Context
from graph_mpc.errors import NotConserved
from graph_mpc.flow import Columns
from graph_mpc.labels import Label
from graph_mpc.release import release_bits_to_owner
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.sums import sum_to_owner
from graph_mpc.threshold import at_least

__all__ = ["require_conserved"]

_TOLERANCE = 1e-5


async def require_conserved(
    ctx: Context,
    label: Label,
    columns: Columns,
    value_bits: int,
    arrivals: Arrivals,
    returned: dict[int, Shared],
    injected: Words | None,
) -> None:
    """Raise ``NotConserved`` at an owner that asks if money came up or got lost on the way.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        columns: who asks in which column.
        value_bits: fractional bits of all values.
        arrivals: what the walk left.
        returned: for each owner that asks what came back to its sources, (W_b,).
        injected: at an owner that asks, what its sources paid in each question, in fixed point.
    """
    tolerance = math.ceil(_TOLERANCE * 2.0**value_bits)
    for b, came_back in returned.items():
        part = _own_part(columns, arrivals, b)
        if came_back.local is not None:
            part = part + _by_question(came_back.local, columns.depth)
        if ctx.me == b and injected is not None:
            part = part - injected
        helper = ctx.roster.helpers(b)[0]
        excess = await sum_to_owner(ctx, (*label, b), part, b, helper)
        bits = await at_least(ctx, (*label, "test", b), excess, [-tolerance, tolerance + 1])
        opened = await release_bits_to_owner(ctx, (*label, "bits", b), excess, bits)
        if opened is not None and not (bool(opened[0].all()) and not bool(opened[1].any())):
            raise NotConserved(
                "the money of a trace is not what was paid: held, returned and left do not add up",
                "run the same version of Undercurrent at every party; if they do, report it",
            )


def _own_part(columns: Columns, arrivals: Arrivals, b: int) -> Words:
    """Return this party's shares of what is held and left in the columns of an owner."""
    chosen = columns.of(b)
    total = np.zeros(len(chosen), np.uint64)
    for left in arrivals.left.values():
        if left.local is not None:
            total += left.local[chosen]
    for held in arrivals.held.values():
        if held.local is not None:
            total += held.local[:, chosen].sum(axis=0, dtype=np.uint64)
    return _by_question(total, columns.depth)


def _by_question(words: Words, depth: int) -> Words:
    total: Words = words.reshape(-1, depth).sum(axis=1, dtype=np.uint64)
    return total
