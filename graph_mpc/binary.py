r"""XOR-shared words: AND with a dealer's triples, borrows, and back to the ring.

A word w is held as w_b xor w_h by the owner b and a helper h; d is the other helper of b, the
dealer.  All values at once, one word per value, bitwise.

- ``and_words``: d knows uniform words a, k from its streams and sends h a & k xor c_b; b and h open
  x xor a and y xor k.
- ``borrow_bits``: of c - r with public c (known to b and h) and XOR-shared r: bit i of the result
  is the borrow out of the bits 0..i, by a parallel prefix over (generate, propagate) = (~c & r, ~(c
  ^ r)), ceil(log2 l) levels of AND.
- ``bit_to_ring``: d gives a uniform bit in both forms; b and h open the masked bit e; the bit is e
  + (1 - 2 e) rho.

What each party sees: words masked by the dealer's; h also the dealer's words, masked by b's.

Source: protocol design, section 3.5; prefix adders after Kogge and Stone, 1973.
"""

from dataclasses import dataclass

import numpy as np

from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.ring import Words

__all__ = ["Holders", "XorShared", "and_words", "bit_to_ring", "borrow_bits"]


@dataclass(frozen=True)
class Holders:
    """Who holds XOR shares, and who deals."""

    owner: int
    helper: int
    dealer: int

    def peer(self, me: int) -> int:
        """Return the other holder."""
        return self.helper if me == self.owner else self.owner


@dataclass(frozen=True)
class XorShared:
    """XOR-shared words as one party sees them; ``local`` is None at a party without a share."""

    shape: tuple[int, ...]
    local: Words | None

    def __xor__(self, other: "XorShared") -> "XorShared":
        """Return the share of x xor y."""
        if self.local is None or other.local is None:
            return self
        return XorShared(self.shape, self.local ^ other.local)

    def shifted_left(self, bits: int) -> "XorShared":
        """Return the share of x << bits."""
        if self.local is None:
            return self
        return XorShared(self.shape, self.local << np.uint64(bits))


async def and_words(
    ctx: Context, label: Label, who: Holders, x: XorShared, y: XorShared
) -> XorShared:
    """Return the share of x & y."""
    if ctx.me == who.dealer:
        _deal_and(ctx, label, who, x.shape)
    if x.local is None or y.local is None:
        return XorShared(x.shape, None)
    is_owner = ctx.me == who.owner
    peer = who.peer(ctx.me)
    mask = ctx.streams.draw(who.dealer, (*label, "ak", is_owner), (2, *x.shape))
    own = np.stack((x.local, y.local)) ^ mask.values
    ctx.network.send(peer, (*label, "open"), own, mask)
    opened = own ^ await ctx.network.receive(peer, (*label, "open"), own.shape)
    if is_owner:
        product = ctx.streams.draw(who.dealer, (*label, "c"), x.shape).values
        product = product ^ (opened[0] & opened[1])
    else:
        product = await ctx.network.receive(who.dealer, (*label, "dealt"), x.shape)
    a, k = mask.values
    return XorShared(x.shape, product ^ (opened[0] & k) ^ (a & opened[1]))


def _deal_and(ctx: Context, label: Label, who: Holders, shape: tuple[int, ...]) -> None:
    owner = ctx.streams.draw(who.owner, (*label, "ak", True), (2, *shape)).values
    helper = ctx.streams.draw(who.helper, (*label, "ak", False), (2, *shape)).values
    a, k = owner ^ helper
    share = ctx.streams.draw(who.owner, (*label, "c"), shape)
    ctx.network.send(who.helper, (*label, "dealt"), (a & k) ^ share.values, share)


async def borrow_bits(
    ctx: Context, label: Label, who: Holders, c: Words | None, r: XorShared
) -> XorShared:
    """Return words whose bit i is the borrow out of the low bits 0..i of c - r.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        who: holders and dealer.
        c: the public words at the two holders, None at the dealer.
        r: XOR-shared words.
    """
    generate, propagate = XorShared(r.shape, None), XorShared(r.shape, None)
    if c is not None and r.local is not None:
        generate = XorShared(r.shape, ~c & r.local)
        # ~(c xor r): the public complement goes into one share only.
        flip = ~c if ctx.me == who.owner else np.zeros_like(c)
        propagate = XorShared(r.shape, flip ^ r.local)
    step = 1
    while step < ctx.ring.bits:
        last = 2 * step >= ctx.ring.bits
        below = generate.shifted_left(step)
        carried = await and_words(ctx, (*label, "g", step), who, propagate, below)
        generate = generate ^ carried
        if not last:
            propagate = await and_words(
                ctx, (*label, "p", step), who, propagate, propagate.shifted_left(step)
            )
        step *= 2
    return generate


async def bit_to_ring(ctx: Context, label: Label, who: Holders, bit: XorShared) -> Words | None:
    """Return this party's additive share of an XOR-shared bit (lowest bit of each word)."""
    if ctx.me == who.dealer:
        _deal_bit(ctx, label, who, bit.shape)
    if bit.local is None:
        return None
    is_owner = ctx.me == who.owner
    peer = who.peer(ctx.me)
    mask = ctx.streams.draw(who.dealer, (*label, "bit", is_owner), bit.shape)
    one = np.uint64(1)
    # The whole word is masked, so that the upper bits of a share tell nothing.
    own = (bit.local & one) ^ mask.values
    ctx.network.send(peer, (*label, "open"), own, mask)
    opened = (own ^ await ctx.network.receive(peer, (*label, "open"), own.shape)) & one
    if is_owner:
        rho = ctx.streams.draw(who.dealer, (*label, "rho"), bit.shape).values
        share: Words = (one - opened - opened) * rho
        share += opened
        return share
    dealt = await ctx.network.receive(who.dealer, (*label, "dealt"), bit.shape)
    return (one - opened - opened) * dealt


def _deal_bit(ctx: Context, label: Label, who: Holders, shape: tuple[int, ...]) -> None:
    owner = ctx.streams.draw(who.owner, (*label, "bit", True), shape).values
    helper = ctx.streams.draw(who.helper, (*label, "bit", False), shape).values
    rho = (owner ^ helper) & np.uint64(1)
    share = ctx.streams.draw(who.owner, (*label, "rho"), shape)
    ctx.network.send(who.helper, (*label, "dealt"), rho - share.values, share)
