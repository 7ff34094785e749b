r"""Exact floor: [[x]] -> [[floor(x / 2^f)]], for values that are released.

Truncation (``graph_mpc.truncation``) gives floor(x / 2^f) or one more; the excess is the borrow out
of the low f bits of c - r, where c is opened there and the dealer knows r.  The dealer also
XOR-shares r, the borrow comes from a circuit (``graph_mpc.binary``) and is subtracted.
Stochastic rounding would give a released score away over many runs; this does not.

What each party sees: what truncation and the circuit show, and the dealer's XOR share of r, masked
by b's. Rounds: truncation, log2 l levels, one conversion.

Source: protocol design, sections 3.3 and 3.5.
"""

from graph_mpc.binary import Holders, bit_to_ring, borrow_out, share_bits
from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.truncation import deal, deal_truncation, dealer_of, open_masked, recombine

__all__ = ["exact_floor"]


async def exact_floor(ctx: Context, label: Label, x: Shared, shift: int) -> Shared:
    """Return [[floor(x / 2^shift)]], 0 < shift < l - 2, |x| <= 2^(l-3)."""
    holders = (x.owner, x.helper)
    who = Holders(x.owner, x.helper, dealer_of(ctx, *holders))
    c: Words | None = None
    truncated: Words | None = None
    r: Words | None = None
    if ctx.me == who.dealer:
        r = deal_truncation(ctx, label, holders, x.shape, shift)
    elif x.local is not None:
        dealt = await deal(ctx, label, holders, x.shape, shift)
        if dealt is None:
            raise ValueError("a holder of the value got nothing from the dealer")
        c = await open_masked(ctx, label, x, dealt)
        truncated = recombine(ctx, who.owner, c, dealt, shift)
    bits = await share_bits(ctx, label, who, x.shape, r)
    borrow = await borrow_out(ctx, (*label, "borrow"), who, c, bits, shift)
    excess = await bit_to_ring(ctx, (*label, "b2a"), who, borrow)
    if truncated is None or excess is None:
        return Shared(x.owner, x.helper, x.shape, None)
    return Shared(x.owner, x.helper, x.shape, truncated - excess)
