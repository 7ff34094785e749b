"""The hardened MPyC session: authenticated links between the workers of one run.

``open_session`` connects the parties over mutual TLS and gives a ``Session``, on which the engine
sends arrays and MPyC's secure types compute. Errors: ``errors``.
"""

from graph_mpc.session.certificates import Credentials, ThrowawayAuthority, party_uri
from graph_mpc.session.config import Deadlines, Limits, Member, SessionConfig
from graph_mpc.session.errors import (
    Aborted,
    AddressInUse,
    ComputationFailed,
    ConfigError,
    FrameLengthError,
    PayloadRefused,
    PeerAborted,
    PeerError,
    PeerIdentity,
    PeerLost,
    PeerProtocol,
    PeerSilent,
    PeerStalled,
    PeerUnreachable,
    RunMismatch,
    SendQueueFull,
    SessionError,
    SessionReused,
    TooFewParties,
)
from graph_mpc.session.opening import open_session
from graph_mpc.session.peer import PeerStatistics
from graph_mpc.session.session import Session

__all__ = [
    "Aborted",
    "AddressInUse",
    "ComputationFailed",
    "ConfigError",
    "Credentials",
    "Deadlines",
    "FrameLengthError",
    "Limits",
    "Member",
    "PayloadRefused",
    "PeerAborted",
    "PeerError",
    "PeerIdentity",
    "PeerLost",
    "PeerProtocol",
    "PeerSilent",
    "PeerStalled",
    "PeerStatistics",
    "PeerUnreachable",
    "RunMismatch",
    "SendQueueFull",
    "Session",
    "SessionConfig",
    "SessionError",
    "SessionReused",
    "ThrowawayAuthority",
    "TooFewParties",
    "open_session",
    "party_uri",
]
