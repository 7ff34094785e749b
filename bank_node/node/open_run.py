"""A joint run at this node, from the first word of it until it is over."""

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bank_node.consortium import RunManifest
from bank_node.node.machine import RunView
from bank_node.node.statement import FINAL, Statement, parse_statement

__all__ = ["OpenRun"]

_HOLDS_PLACE = frozenset({"ready", "running"})


@dataclass
class OpenRun:
    """What the node keeps of a run in memory; all but the last block is in the database too.

    Attributes:
        manifest: what is proposed, or agreed by now.
        own: this node's standing.
        since: when it took it, microseconds.
        peers: latest statement of each other member; None: nothing heard of it.
        tries: attempts that reached a worker.
        approved_by: person who consented, where the node asks one; empty: nobody yet.
        waiting_for: what a judgement waits for; empty: for nothing.
        has_private: whether the run has private inputs of this node.
        bits: what each bank could learn at most.
        trouble: words of the last failure here, for this node's own people only.
        measured: seconds, bytes sent, iterations and bits released of the own worker.
        private: the inputs themselves: in memory only, gone with the node.
        listener: socket of the next worker.
        task: its computation.
        report: of the worker that has ended well.
        not_before: a step that failed here is not tried again before that, microseconds.
        judged: when it was last judged, microseconds.
        told: when the standing was last published, microseconds.
    """

    manifest: RunManifest
    own: Statement
    since: int
    peers: dict[str, Statement | None]
    tries: int = 0
    approved_by: str = ""
    waiting_for: str = ""
    has_private: bool = False
    bits: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    trouble: str = ""

    private: Mapping[str, Any] = field(default_factory=dict, repr=False)
    listener: socket.socket | None = field(default=None, repr=False)
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)
    report: Mapping[str, Any] = field(default_factory=dict, repr=False)
    not_before: int = 0
    judged: int = 0
    told: int = 0

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.manifest.run_id

    @property
    def holds_place(self) -> bool:
        """Whether it takes one of the places for runs at a time."""
        return self.own.phase in _HOLDS_PLACE

    @property
    def is_over_for_all(self) -> bool:
        """Whether every member has stated that it is done."""
        peers = self.peers.values()
        return self.own.is_final and all(p is not None and p.phase in FINAL for p in peers)

    @property
    def order(self) -> tuple[bool, int, str]:
        """Place in the queue, the same at all nodes: what people wait for, then the oldest."""
        return self.manifest.proposer == "schedule", self.manifest.created, self.run_id

    def view(self, me: str, *, may_begin: bool) -> RunView:
        """Return what the next move depends on."""
        return RunView(
            me=me,
            own=self.own,
            peers=self.peers,
            expires=self.manifest.expires,
            since=self.since,
            tries=self.tries,
            may_begin=may_begin,
        )

    def details(self) -> str:
        """Return what is kept beside the manifest and the phase."""
        return json.dumps(
            {
                "own": self.own.content(),
                "since": self.since,
                "tries": self.tries,
                "approved_by": self.approved_by,
                "waiting_for": self.waiting_for,
                "has_private": self.has_private,
                "bits": dict(self.bits),
                "measured": dict(self.measured),
                "trouble": self.trouble,
            }
        )

    @classmethod
    def restored(
        cls, manifest: RunManifest, details: str, peers: dict[str, Statement | None]
    ) -> "OpenRun":
        """Return a run as it was kept."""
        kept = json.loads(details)
        own = parse_statement(kept.pop("own"))
        return cls(manifest=manifest, own=own, peers=peers, **kept)
