r"""XOR-shared words: AND with a dealer's triples, the borrow of a difference, back to the ring.

A word w of ``width`` bits is held as w_b xor w_h by the owner b and a helper h; d is the other
helper of b, the dealer.  All values at once, one word per value, bitwise; a word travels in the
smallest of 1, 2, 4 or 8 bytes that holds it.

- ``and_all``: x & y_i for one x and several y_i.  d knows uniform words a, k_i from its streams and
  sends h a & k_i xor c_i; b and h open x xor a and y_i xor k_i.
- ``borrow_out``: of c - r with public c (known to b and h) and XOR-shared r, whether c mod 2^f < r
  mod 2^f.  Each bit has (generate, propagate) = (~c & r, ~(c xor r)); two neighbouring groups of
  bits make one by (G, P) = (G_high xor P_high & G_low, P_high & P_low), so that a word of 64 bits
  becomes one of 32, of 16, ..., of 1: ceil(log2 l) levels of AND on words that halve.  Bit i stands
  at the place whose binary number is that of i backwards, so that neighbours are half a word apart
  at every level.
- ``bit_to_ring``: d gives a uniform bit in both forms; b and h open the masked bit e; the bit is e
  + (1 - 2 e) rho.

A tree is enough, since only one borrow is asked for; a parallel prefix network that gives them all
(Kogge and Stone, 1973) costs six times the bytes.

What each party sees: words masked by the dealer's; h also the dealer's words, masked by b's.

Source: protocol design, section 3.5; the tree of borrows after Brent and Kung, 1982:
docs/decisions/one-borrow.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.kernels import swap_bit_numbers
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.streams import word_type

__all__ = [
    "Holders",
    "XorShared",
    "and_all",
    "bit_to_ring",
    "borrow_out",
    "circuit_place",
    "circuit_width",
    "share_bits",
]

Bits = NDArray[Any]
"""Unsigned words of 8, 16, 32 or 64 bits."""


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
    """XOR-shared words as one party sees them.

    Attributes:
        shape: public shape.
        width: bits of a word.
        local: this party's share, None at a party without one.
    """

    shape: tuple[int, ...]
    width: int
    local: Bits | None

    def __xor__(self, other: "XorShared") -> "XorShared":
        """Return the share of x xor y."""
        if self.local is None or other.local is None:
            return self
        return XorShared(self.shape, self.width, self.local ^ other.local)

    def repeated(self, times: int) -> "XorShared":
        """Return the same words ``times`` times, along a new first axis."""
        shape = (times, *self.shape)
        if self.local is None:
            return XorShared(shape, self.width, None)
        return XorShared(shape, self.width, np.broadcast_to(self.local, shape))

    def halves(self) -> "tuple[XorShared, XorShared]":
        """Return the shares of the high and of the low half of each word."""
        width = self.width // 2
        if self.local is None:
            half = XorShared(self.shape, width, None)
            return half, half
        narrow, dtype = self.local.dtype.type, word_type(width)
        high = (self.local >> narrow(width)).astype(dtype)
        low = (self.local & narrow((1 << width) - 1)).astype(dtype)
        return XorShared(self.shape, width, high), XorShared(self.shape, width, low)


async def and_all(
    ctx: Context, label: Label, who: Holders, x: XorShared, others: Sequence[XorShared]
) -> list[XorShared]:
    """Return the shares of x & y for each y of ``others``; all of one shape and width."""
    count, width = len(others), x.width
    if ctx.me == who.dealer:
        _deal_and(ctx, label, who, (count, *x.shape), width)
    held = [y.local for y in (x, *others) if y.local is not None]
    if len(held) != count + 1:
        return [XorShared(x.shape, width, None)] * count
    is_owner = ctx.me == who.owner
    peer = who.peer(ctx.me)
    mask = ctx.streams.draw_bits(who.dealer, (*label, "ak", is_owner), (count + 1, *x.shape), width)
    own = np.stack(held) ^ mask.values
    ctx.network.send_bits(peer, (*label, "open"), own, mask)
    opened = own ^ await ctx.network.receive_as(peer, (*label, "open"), own.shape, own.dtype)
    shape = (count, *x.shape)
    if is_owner:
        product = ctx.streams.draw_bits(who.dealer, (*label, "c"), shape, width).values
        product = product ^ (opened[0] & opened[1:])
    else:
        product = await ctx.network.receive_as(who.dealer, (*label, "dealt"), shape, own.dtype)
    product = product ^ (opened[0] & mask.values[1:]) ^ (mask.values[0] & opened[1:])
    return [XorShared(x.shape, width, part) for part in product]


def _deal_and(ctx: Context, label: Label, who: Holders, shape: tuple[int, ...], width: int) -> None:
    drawn = (shape[0] + 1, *shape[1:])
    owner = ctx.streams.draw_bits(who.owner, (*label, "ak", True), drawn, width).values
    helper = ctx.streams.draw_bits(who.helper, (*label, "ak", False), drawn, width).values
    both = owner ^ helper
    share = ctx.streams.draw_bits(who.owner, (*label, "c"), shape, width)
    ctx.network.send_bits(who.helper, (*label, "dealt"), (both[0] & both[1:]) ^ share.values, share)


def circuit_width(bits: int) -> int:
    """Return the width in which words of the ring are compared: a power of two."""
    return 1 << (bits - 1).bit_length()


def circuit_place(bit: int, width: int) -> int:
    """Return where a bit of a word stands in the circuit's order."""
    return int(f"{bit:0{width.bit_length() - 1}b}"[::-1], 2)


async def share_bits(
    ctx: Context, label: Label, who: Holders, shape: tuple[int, ...], r: Words | None
) -> XorShared:
    """XOR-share the bits of words that the dealer knows, in the circuit's order."""
    width = circuit_width(ctx.ring.bits)
    dtype = word_type(width)
    local: Bits | None = None
    if ctx.me == who.dealer:
        if r is None:
            raise ValueError("the dealer knows the words")
        share = ctx.streams.draw_bits(who.owner, (*label, "bits"), shape, width)
        words = _circuit_order(r, width) ^ share.values
        ctx.network.send_bits(who.helper, (*label, "bits"), words, share)
    elif ctx.me == who.owner:
        local = ctx.streams.draw_bits(who.dealer, (*label, "bits"), shape, width).values
    elif ctx.me == who.helper:
        local = await ctx.network.receive_as(who.dealer, (*label, "bits"), shape, dtype)
    return XorShared(shape, width, local)


def _circuit_order(words: Words, width: int) -> Bits:
    """Return words below 2^width with their bits in the circuit's order."""
    flat: Bits = swap_bit_numbers(np.ascontiguousarray(words).reshape(-1), width)
    return flat.reshape(words.shape).astype(word_type(width), copy=False)


async def borrow_out(
    ctx: Context, label: Label, who: Holders, c: Words | None, r: XorShared, low_bits: int
) -> XorShared:
    """Return the bit c mod 2^low_bits < r mod 2^low_bits of each word, with width 1.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        who: holders and dealer.
        c: the public words at the two holders, None at the dealer.
        r: XOR-shared words of the same shape, bits in the circuit's order (``share_bits``).
        low_bits: f, from 1 to the bits of the ring.
    """
    generate, propagate = _bitwise(ctx, who, c, r, low_bits)
    while generate.width > 1:
        high_g, low_g = generate.halves()
        high_p, low_p = propagate.halves()
        others = [low_g] if high_g.width == 1 else [low_g, low_p]
        place = (*label, high_g.width)
        carried, *passed = await and_all(ctx, place, who, high_p, others)
        generate = high_g ^ carried
        if passed:
            propagate = passed[0]
    return generate


def _bitwise(
    ctx: Context, who: Holders, c: Words | None, r: XorShared, low_bits: int
) -> tuple[XorShared, XorShared]:
    """Return (generate, propagate) of each bit; bits from ``low_bits`` on just propagate."""
    width = r.width
    if c is None or r.local is None:
        return XorShared(r.shape, width, None), XorShared(r.shape, width, None)
    kept = int(_circuit_order(np.array([(1 << low_bits) - 1], np.uint64), width)[0])
    low = r.local.dtype.type(kept)
    public = _circuit_order(ctx.ring.reduce(c), width)
    generate = ~public & r.local & low
    # ~(c xor r): what is public goes into one share only.
    flip = ~(public & low) if ctx.me == who.owner else np.zeros_like(public)
    propagate = flip ^ (r.local & low)
    if width < 8:
        propagate &= r.local.dtype.type((1 << width) - 1)
    return XorShared(c.shape, width, generate), XorShared(c.shape, width, propagate)


async def bit_to_ring(ctx: Context, label: Label, who: Holders, bit: XorShared) -> Words | None:
    """Return this party's additive share of an XOR-shared bit (words of width 1)."""
    if ctx.me == who.dealer:
        _deal_bit(ctx, label, who, bit.shape)
    if bit.local is None:
        return None
    is_owner = ctx.me == who.owner
    peer = who.peer(ctx.me)
    mask = ctx.streams.draw_bits(who.dealer, (*label, "bit", is_owner), bit.shape, 1)
    own = bit.local ^ mask.values
    ctx.network.send_bits(peer, (*label, "open"), own, mask)
    received = await ctx.network.receive_as(peer, (*label, "open"), own.shape, own.dtype)
    opened = (own ^ received).astype(np.uint64)
    flip = np.uint64(1) - opened - opened
    if is_owner:
        rho = ctx.streams.draw(who.dealer, (*label, "rho"), bit.shape).values
        owned: Words = flip * rho + opened
        return owned
    dealt = await ctx.network.receive(who.dealer, (*label, "dealt"), bit.shape)
    held: Words = flip * dealt
    return held


def _deal_bit(ctx: Context, label: Label, who: Holders, shape: tuple[int, ...]) -> None:
    owner = ctx.streams.draw_bits(who.owner, (*label, "bit", True), shape, 1).values
    helper = ctx.streams.draw_bits(who.helper, (*label, "bit", False), shape, 1).values
    rho = (owner ^ helper).astype(np.uint64)
    share = ctx.streams.draw(who.owner, (*label, "rho"), shape)
    ctx.network.send(who.helper, (*label, "dealt"), rho - share.values, share)
