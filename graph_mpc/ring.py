"""The ring Z_2^l in which all shares live, and fixed-point numbers in it.

Values are numpy ``uint64``, whose wrap-around is the arithmetic of Z_2^64.  A smaller ring is only
used to test privacy exhaustively.  Since Z_2^64 -> Z_2^l is a ring homomorphism, linear steps may
compute modulo 2^64 in either case; what leaves a party, and what is shifted or compared, is reduced
first.

A real number x with f fractional bits is round(x 2^f) in two's complement.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RING64", "Ring", "Words", "decode", "encode"]

Words = NDArray[np.uint64]
"""Ring elements."""


@dataclass(frozen=True)
class Ring:
    """Z_2^bits, elements in the low bits of ``uint64`` words."""

    bits: int = 64

    @property
    def modulus_mask(self) -> np.uint64:
        """The word with the ``bits`` low bits set."""
        return np.uint64((1 << self.bits) - 1)

    @property
    def offset(self) -> np.uint64:
        """2^(bits - 2): added before truncation so that the sum is not negative."""
        return np.uint64(1 << (self.bits - 2))

    def reduce(self, words: Words) -> Words:
        """Return the representatives in [0, 2^bits); the argument itself when bits = 64."""
        return words if self.bits == 64 else words & self.modulus_mask

    def top_bit(self, words: Words) -> Words:
        """Return the most significant bit of each element, as 0 or 1."""
        return self.reduce(words) >> np.uint64(self.bits - 1)


RING64 = Ring(64)
"""The ring of every real run."""


def encode(values: NDArray[np.float64], fraction_bits: int) -> Words:
    """Return round(values 2^fraction_bits) as ring elements.

    The caller has checked the bound: |values| 2^fraction_bits < 2^63.
    """
    scaled: NDArray[Any] = np.rint(np.asarray(values, np.float64) * 2.0**fraction_bits)
    return scaled.astype(np.int64).view(np.uint64)


def decode(words: Words, fraction_bits: int) -> NDArray[np.float64]:
    """Return the real numbers that the ring elements stand for."""
    return words.view(np.int64).astype(np.float64) / 2.0**fraction_bits
