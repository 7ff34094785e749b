"""One other party of the session: its inbox, its two links, and the pair's seed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

from graph_mpc.session.config import Member
from graph_mpc.session.hello import CONTRIBUTION
from graph_mpc.session.inbox import Inbox
from graph_mpc.session.link_in import LinkIn
from graph_mpc.session.link_out import LinkOut


@dataclass(frozen=True)
class PeerStatistics:
    """Traffic with one party; messages are data only, bytes include headers and heartbeats.

    ``early_high_water`` and ``queue_high_water`` are the most bytes that ever waited: received
    before they were awaited, and posted before they were sent.
    """

    peer: str
    bytes_sent: int
    bytes_received: int
    messages_sent: int
    messages_received: int
    early_high_water: int
    queue_high_water: int


@dataclass
class Peer:
    """State of the session with one other party; changed on the event loop only."""

    pid: int
    member: Member
    inbox: Inbox
    contribution: bytes = field(default_factory=lambda: secrets.token_bytes(CONTRIBUTION))
    outgoing: LinkOut | None = None
    incoming: LinkIn | None = None
    seed: bytes | None = None
    said_bye: bool = False

    @property
    def is_connected(self) -> bool:
        """Whether both directions are up."""
        return self.outgoing is not None and self.incoming is not None

    def links(self) -> Iterator[LinkIn | LinkOut]:
        """Yield the links that there are."""
        if self.outgoing is not None:
            yield self.outgoing
        if self.incoming is not None:
            yield self.incoming

    def statistics(self) -> PeerStatistics:
        """Return the traffic so far."""
        outgoing, incoming = self.outgoing, self.incoming
        return PeerStatistics(
            peer=self.member.id,
            bytes_sent=outgoing.sent.bytes if outgoing else 0,
            bytes_received=incoming.received.bytes if incoming else 0,
            messages_sent=outgoing.sent.messages if outgoing else 0,
            messages_received=incoming.received.messages if incoming else 0,
            early_high_water=self.inbox.early_high_water,
            queue_high_water=outgoing.sent.queue_high_water if outgoing else 0,
        )
