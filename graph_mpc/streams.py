r"""Pseudorandom streams that two parties share, each used once.

Parties i and j hold a 256-bit seed that they agreed for this run (``graph_mpc.session``).  The
stream of label L is AES-256 in counter mode under the key HMAC-SHA256(seed_ij, L): different labels
give independent streams, and no message is needed.  A label drawn twice by a party raises
``LabelReused``: a mask used twice would show the difference of two secrets.

A party's own secret randomness (shuffles, input shares) comes from a seed that only it has.

Source: protocol design, section 2; the key separation is the usual PRF-then-CTR construction.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from graph_mpc.errors import LabelReused
from graph_mpc.labels import Label, encode_label
from graph_mpc.ring import RING64, Ring, Words

__all__ = ["Mask", "SeededStreams", "Streams", "sort_to_permutation", "word_type"]

_BLOCK = 1 << 18
_ZEROS = memoryview(bytes(_BLOCK))


@dataclass(frozen=True)
class Mask:
    """Words drawn from the stream of two parties.

    Attributes:
        pair: the two parties, lower number first.
        label: where in the program it was drawn.
        values: words of any shape: uint64 ring elements, or narrower words of bits.
        piece: name of the part if this is a part of what was drawn; None: all of it.
    """

    pair: tuple[int, int]
    label: Label
    values: NDArray[Any]
    piece: str | int | None = None

    def part(self, name: str | int, values: NDArray[Any]) -> "Mask":
        """Return a named part (a column, a slice), to be used once instead of the whole."""
        if self.piece is not None:
            raise ValueError("a part of a mask has no parts")
        return Mask(self.pair, self.label, values, name)


class Streams(Protocol):
    """Where shared and own randomness comes from; the tests put an enumerated tape here."""

    def draw(self, peer: int, label: Label, shape: tuple[int, ...]) -> Mask:
        """Return fresh words that only this party and ``peer`` know."""
        ...

    def draw_bits(self, peer: int, label: Label, shape: tuple[int, ...], width: int) -> Mask:
        """Return fresh words below 2^width that only this party and ``peer`` know."""
        ...

    def permutation(self, peer: int, label: Label, size: int) -> NDArray[np.uint32]:
        """Return a fresh uniform permutation that only this party and ``peer`` know."""
        ...

    def key(self, peer: int, label: Label) -> bytes:
        """Return a fresh 32-byte key that only this party and ``peer`` know."""
        ...

    def own(self, label: Label, shape: tuple[int, ...]) -> Words:
        """Return fresh words that only this party knows."""
        ...


class SeededStreams:
    """Streams from pairwise seeds.

    Args:
        me: number of this party.
        seeds: for each other party the 32-byte seed shared with it.
        run: bound into every key, so that one seed cannot serve two runs.
        ring: ring of the words.
    """

    def __init__(
        self, me: int, seeds: Mapping[int, bytes], run: str = "", ring: Ring = RING64
    ) -> None:
        self.me = me
        self._seeds = {**seeds, me: secrets.token_bytes(32)}
        self._run = run.encode()
        self._ring = ring
        self._used: set[tuple[int, bytes]] = set()

    def key(self, peer: int, label: Label) -> bytes:
        """See ``Streams``; a label used before raises ``LabelReused``."""
        encoded = encode_label(label)
        if (peer, encoded) in self._used:
            raise LabelReused(
                f"stream {label} with party {peer} was drawn before",
                "this is a fault of the program: report it; the run is ended",
            )
        self._used.add((peer, encoded))
        return hmac.digest(self._seeds[peer], self._run + b"\x00" + encoded, "sha256")

    def draw(self, peer: int, label: Label, shape: tuple[int, ...]) -> Mask:
        """See ``Streams``."""
        pair = (min(self.me, peer), max(self.me, peer))
        return Mask(pair, label, self._words(peer, label, shape))

    def draw_bits(self, peer: int, label: Label, shape: tuple[int, ...], width: int) -> Mask:
        """See ``Streams``."""
        dtype = word_type(width)
        words = np.empty(shape, dtype)
        fill_stream(self.key(peer, label), words)
        if width < 8 * dtype.itemsize:
            words &= dtype.type((1 << width) - 1)
        return Mask((min(self.me, peer), max(self.me, peer)), label, words)

    def own(self, label: Label, shape: tuple[int, ...]) -> Words:
        """See ``Streams``."""
        return self._words(self.me, label, shape)

    def permutation(self, peer: int, label: Label, size: int) -> NDArray[np.uint32]:
        """See ``Streams``; keys are drawn again in the rare case of a tie."""
        for attempt in range(16):
            keys = self._words(peer, (*label, "keys", attempt), (size,))
            permutation = sort_to_permutation(keys)
            if permutation is not None:
                return permutation
        raise LabelReused(
            "sixteen draws of permutation keys all had ties",
            "the random generator of this machine is broken: do not use it",
        )

    def _words(self, peer: int, label: Label, shape: tuple[int, ...]) -> Words:
        words: Words = np.empty(shape, np.uint64)
        fill_stream(self.key(peer, label), words)
        return self._ring.reduce(words)


def word_type(width: int) -> "np.dtype[Any]":
    """Return the smallest unsigned type that holds ``width`` bits, 1 to 64."""
    return np.dtype(f"u{max(1, 1 << (width - 1).bit_length() >> 3)}")


def fill_stream(key: bytes, words: NDArray[Any]) -> None:
    """Fill ``words`` (contiguous) with the AES-256-CTR stream of ``key``, counter from 0."""
    # A constant nonce is right: each key serves one stream only.
    encryptor = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
    out = memoryview(words.reshape(-1).view(np.uint8).data)
    for start in range(0, len(out), _BLOCK):
        piece = out[start : start + _BLOCK]
        encryptor.update_into(_ZEROS[: len(piece)], piece)


def sort_to_permutation(keys: Words) -> NDArray[np.uint32] | None:
    """Return the permutation that sorts uniform keys, or None if two keys are equal."""
    order = np.argsort(keys)
    ordered = keys[order]
    if len(keys) > 1 and bool(np.any(ordered[1:] == ordered[:-1])):
        return None
    return order.astype(np.uint32)
