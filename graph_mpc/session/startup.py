"""Connecting the parties: an acceptor, a dialler per peer, and what to say of one missing."""

from __future__ import annotations

import socket

from graph_mpc.session.accept import AcceptCallbacks, Acceptor
from graph_mpc.session.config import SessionConfig
from graph_mpc.session.dial import DialCallbacks, Dialler
from graph_mpc.session.errors import PeerUnreachable
from graph_mpc.session.hello import make_hello
from graph_mpc.session.peer import Peer
from graph_mpc.session.runtime import HardenedRuntime
from graph_mpc.session.sockets import OpenSockets
from graph_mpc.session.tls import check_own_certificate, client_context, server_context


class Startup:
    """The threads that connect the parties."""

    def __init__(
        self,
        config: SessionConfig,
        listener: socket.socket,
        runtime: HardenedRuntime,
        peers: dict[int, Peer],
        accepting: AcceptCallbacks,
        dialling: DialCallbacks,
    ) -> None:
        check_own_certificate(config)
        server, client = server_context(config), client_context(config)
        self._config = config
        self._sockets = OpenSockets()
        self._acceptor = Acceptor(config, listener, server, self._sockets, accepting)
        self._diallers = {
            pid: Dialler(
                config,
                pid,
                client,
                make_hello(config, pid, peer.contribution, runtime.prss_keys_for(pid)),
                self._sockets,
                dialling,
            )
            for pid, peer in peers.items()
        }

    @property
    def refused(self) -> int:
        """Number of connections refused so far."""
        return self._acceptor.refused

    def unreachable(self, peers: dict[int, Peer]) -> PeerUnreachable:
        """Return the error that names all parties that are not there, with the last reasons."""
        missing = [peer for peer in peers.values() if not peer.is_connected]
        reasons = "; ".join(f"{peer.member.id}: {self._reason(peer)}" for peer in missing)
        text = f"not connected within {self._config.deadlines.start:g} s: {reasons}"
        if self.refused:
            text += (
                f" ({self.refused} connections refused here, last: {self._acceptor.last_refusal})"
            )
        return PeerUnreachable(text, peer=missing[0].member.id)

    def _reason(self, peer: Peer) -> str:
        if peer.outgoing is None:
            return self._diallers[peer.pid].last_reason
        return "answers, but has not dialled this party"

    def stop(self) -> None:
        """Tell all threads to end."""
        self._acceptor.stop()
        for dialler in self._diallers.values():
            dialler.stop()
        self._sockets.stop()

    @property
    def is_running(self) -> bool:
        """Whether any of the threads still runs."""
        return self._acceptor.is_running or any(d.is_running for d in self._diallers.values())

    def close(self) -> None:
        """Close the listening socket, after the threads have ended."""
        self._acceptor.close()
