"""Messages between the parties of a run, and the rule that keeps each of them private.

The mask rule (protocol design, section 3): every message i -> j contains a term from a stream of i
and some k != j that no other message to j contains.  ``Network.send`` and ``Network.send_bits``
assert it for each message.  Whatever does not carry such a mask has a method of its own, so that a
reader can list the exceptions:

- ``send_permutation``: a permutation composed with a uniform one, uniform by itself;
- ``release``, ``release_bits``: a share of a result, to the owner that may have the result;
- ``publish``: a size that all parties may know;
- ``open_masked_sum``: a share of an opened sum, after a fresh zero sharing (``graph_mpc.sums``);
- ``send_tags``, ``answer_tags``: tags under a key that the receiver does not have, and which of an
  owner's own tags matched (``graph_mpc.reconcile``).

Source: protocol design, sections 3 and 7.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graph_mpc.errors import LabelReused, MaskRuleViolation
from graph_mpc.labels import Label, encode_label, message_tag
from graph_mpc.ring import RING64, Ring, Words
from graph_mpc.streams import Mask

__all__ = ["Network", "Sent", "Transport"]

_REPORT = "this is a fault of the program: report it; the run is ended"


class Transport(Protocol):
    """What carries the messages: a session over TLS, or memory in the tests."""

    def post(self, peer: int, tag: int, payload: NDArray[Any]) -> None:
        """Queue a message; the payload is not changed afterwards."""
        ...

    def fetch(self, peer: int, tag: int, nbytes: int) -> Awaitable[NDArray[np.uint8]]:
        """Wait for a message of exactly ``nbytes`` bytes."""
        ...


@dataclass(frozen=True)
class Sent:
    """One message sent, as it counts in the transcript: no content, only its shape."""

    phase: str
    to: int
    label: Label
    nbytes: int


class Network:
    """The sending and receiving side of one party.

    Args:
        me: number of this party.
        parties: number of all parties.
        transport: what carries the messages.
        ring: every word is reduced to this ring before it leaves.
    """

    def __init__(self, me: int, parties: int, transport: Transport, ring: Ring = RING64) -> None:
        self.me = me
        self.parties = parties
        self.phase = "setup"
        self.transcript: list[Sent] = []
        self._transport = transport
        self._ring = ring
        self._masks_used: dict[tuple[int, tuple[int, int], bytes], set[str | int | None]] = {}
        self._labels_used: set[tuple[int, bytes]] = set()

    def send(self, to: int, label: Label, words: Words, mask: Mask) -> None:
        """Send masked words; raise ``MaskRuleViolation`` unless the mask hides all of them."""
        self._check_mask(to, label, words, mask)
        self._post(to, label, self._ring.reduce(words))

    def send_bits(self, to: int, label: Label, bits: NDArray[Any], mask: Mask) -> None:
        """Send XOR-masked words of any width, under the same rule."""
        self._check_mask(to, label, bits, mask)
        self._post(to, label, bits)

    def send_permutation(self, to: int, label: Label, indices: NDArray[np.uint32]) -> None:
        """Send one factor of a private permutation (uniform to a receiver without the other)."""
        self._post(to, label, indices)

    def release(self, owner: int, label: Label, words: Words) -> None:
        """Send a share of a result to the owner that the policy lets have it."""
        self._post(owner, label, self._ring.reduce(words))

    def release_bits(self, owner: int, label: Label, bits: NDArray[np.uint8]) -> None:
        """Send XOR shares of bits that the policy lets the owner have."""
        self._post(owner, label, bits)

    def publish(self, label: Label, words: NDArray[np.int64]) -> None:
        """Send public sizes to every other party."""
        for peer in self._others():
            self._post(peer, label, words)

    def open_masked_sum(self, label: Label, words: Words) -> None:
        """Send a share of a sum that is being opened to every other party."""
        for peer in self._others():
            self._post(peer, label, self._ring.reduce(words))

    def send_tags(self, to: int, label: Label, tags: NDArray[np.uint8]) -> None:
        """Send keyed tags to a party without the key."""
        self._post(to, label, tags)

    def answer_tags(self, to: int, label: Label, matched: NDArray[np.uint8]) -> None:
        """Tell an owner which of the tags it sent have a partner."""
        self._post(to, label, matched)

    async def receive(self, sender: int, label: Label, shape: tuple[int, ...]) -> Words:
        """Wait for words of a known shape."""
        return await self._fetch(sender, label, shape, np.dtype(np.uint64))

    async def receive_as(
        self, sender: int, label: Label, shape: tuple[int, ...], dtype: Any
    ) -> NDArray[Any]:
        """Wait for an array of a known shape and type."""
        return await self._fetch(sender, label, shape, np.dtype(dtype))

    async def gather_published(
        self, label: Label, own: NDArray[np.int64]
    ) -> dict[int, NDArray[np.int64]]:
        """Publish ``own`` and return the arrays of the same shape from all parties."""
        self.publish(label, own)
        values = {self.me: own}
        for peer in self._others():
            values[peer] = await self.receive_as(peer, label, own.shape, np.int64)
        return values

    def count(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return (bytes, messages) sent so far, each per phase."""
        nbytes: dict[str, int] = {}
        messages: dict[str, int] = {}
        for sent in self.transcript:
            nbytes[sent.phase] = nbytes.get(sent.phase, 0) + sent.nbytes
            messages[sent.phase] = messages.get(sent.phase, 0) + 1
        return nbytes, messages

    def _others(self) -> list[int]:
        return [party for party in range(self.parties) if party != self.me]

    def _check_mask(self, to: int, label: Label, words: NDArray[Any], mask: Mask) -> None:
        if self.me not in mask.pair or to in mask.pair:
            raise MaskRuleViolation(
                f"message {label} to party {to} is masked by the stream of {mask.pair}", _REPORT
            )
        if mask.values.shape != words.shape:
            raise MaskRuleViolation(
                f"message {label} has shape {words.shape}, its mask {mask.values.shape}", _REPORT
            )
        pieces = self._masks_used.setdefault((to, mask.pair, encode_label(mask.label)), set())
        # A whole and its parts are one mask: after either, only other parts are fresh.
        if mask.piece in pieces or None in pieces or (mask.piece is None and pieces):
            raise MaskRuleViolation(
                f"mask {mask.label} was in another message to party {to}", _REPORT
            )
        pieces.add(mask.piece)

    def _post(self, to: int, label: Label, payload: NDArray[Any]) -> None:
        use = (to, encode_label(label))
        if use in self._labels_used:
            raise LabelReused(f"message {label} was sent to party {to} before", _REPORT)
        self._labels_used.add(use)
        payload = np.ascontiguousarray(payload)
        self.transcript.append(Sent(self.phase, to, label, payload.nbytes))
        self._transport.post(to, message_tag(label), payload)

    async def _fetch(
        self, sender: int, label: Label, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        payload = await self._transport.fetch(sender, message_tag(label), nbytes)
        return payload.view(dtype).reshape(shape)
