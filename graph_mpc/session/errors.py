"""Errors of a session, each named by the state that causes it.

::

    SessionError                    code, peer, message, remedy
    ├── ConfigError                 session.config
    │   └── TooFewParties           session.too-few-parties
    ├── AddressInUse                session.address-in-use
    ├── SessionReused               session.reused
    ├── SendQueueFull               session.send-queue-full
    ├── ComputationFailed           session.computation-failed
    ├── Aborted                     session.aborted (this party ended the run)
    └── PeerError                   another party is named
        ├── PeerLost                session.peer-lost
        ├── PeerSilent              session.peer-silent
        ├── PeerStalled             session.peer-stalled
        ├── PeerUnreachable         session.peer-unreachable
        ├── PeerIdentity            session.peer-identity
        ├── PeerAborted             session.peer-aborted
        └── PeerProtocol            session.peer-protocol
            ├── FrameLengthError    session.frame-length
            ├── PayloadRefused      session.payload-refused
            └── RunMismatch         session.run-mismatch

``peer`` is the id of the party to name, ``reporter`` the party that told us when we did not see it
ourselves; ``word`` is what the others are told. Only words and ids travel, never a message.
"""

# Errors are named by the state that causes them.

from __future__ import annotations

from typing import ClassVar


class SessionError(Exception):
    """Base of all errors of a session."""

    code: ClassVar[str] = "session.error"
    exit_code: ClassVar[int] = 1
    default_remedy: ClassVar[str] = "See the log of this party's worker."

    def __init__(
        self,
        message: str,
        *,
        peer: str | None = None,
        remedy: str | None = None,
        reporter: str | None = None,
        word: str | None = None,
    ) -> None:
        self.message = " ".join(message.split())
        self.peer = peer
        self.remedy = remedy if remedy is not None else self.default_remedy
        self.reporter = reporter
        self.word = word if word is not None else self.code
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}] {self.remedy}"


class ConfigError(SessionError):
    """The session's configuration cannot work."""

    code = "session.config"
    default_remedy = "Correct the configuration of this run."


class TooFewParties(ConfigError):
    """Fewer than three parties."""

    code = "session.too-few-parties"
    default_remedy = "Add a third party, for example a compute party that holds no data."


class AddressInUse(SessionError):
    """The address to listen on is taken or not ours."""

    code = "session.address-in-use"
    default_remedy = "Configure a free port, or end the process that holds it."


class SessionReused(SessionError):
    """A second session in one process: MPyC has one runtime per process."""

    code = "session.reused"
    default_remedy = "Start a worker process for each run."


class SendQueueFull(SessionError):
    """More bytes wait to be sent to a party than the limit allows."""

    code = "session.send-queue-full"
    default_remedy = "Await session.drain() between large messages, or raise max_queue_bytes."


class ComputationFailed(SessionError):
    """The program of this party raised inside an MPyC coroutine or a callback."""

    code = "session.computation-failed"


class Aborted(SessionError):
    """This party ended the run by its own decision."""

    code = "session.aborted"
    default_remedy = "The reason is in the log of this party."


class PeerError(SessionError):
    """A failure for which another party is named."""

    default_remedy = "Ask that party, then start the run again."
    exit_code = 4


class PeerLost(PeerError):
    """The connection ended without a farewell: the process or its network died."""

    code = "session.peer-lost"
    default_remedy = "Check that party's worker and network, then start the run again."


class PeerSilent(PeerError):
    """The connection stands but not even heartbeats arrive."""

    code = "session.peer-silent"
    default_remedy = "That party's process is stopped or its network drops packets; start again."


class PeerStalled(PeerError):
    """The party is alive but did not send what is awaited within the deadline."""

    code = "session.peer-stalled"
    default_remedy = "Check that party's log, or raise receive_deadline for larger runs."


class PeerUnreachable(PeerError):
    """Parties that were not there within the start deadline."""

    code = "session.peer-unreachable"
    default_remedy = "Check that each named party has started, its address, and the firewalls."


class PeerIdentity(PeerError):
    """A party's certificate names another party than the one claimed or dialled."""

    code = "session.peer-identity"
    default_remedy = "Check certificates and addresses of both parties; nothing was exchanged."


class PeerAborted(PeerError):
    """A party ended the run."""

    code = "session.peer-aborted"
    default_remedy = "The reason is in that party's log."


class PeerProtocol(PeerError):
    """A party sent what the protocol does not allow at that point."""

    code = "session.peer-protocol"
    default_remedy = "Check that all parties run the same version; else treat it as an attack."


class FrameLengthError(PeerProtocol):
    """A message has another length than the protocol expects at that point."""

    code = "session.frame-length"


class PayloadRefused(PeerProtocol):
    """A payload is not the plain data it must be (for example a pickle)."""

    code = "session.payload-refused"


class RunMismatch(PeerProtocol):
    """A party is in another run, or has another version or list of members."""

    code = "session.run-mismatch"
    default_remedy = "All parties need the same run id, the same members in order, one version."


_REPORTED: dict[str, type[PeerError]] = {
    kind.code: kind
    for kind in (
        PeerLost,
        PeerSilent,
        PeerStalled,
        PeerUnreachable,
        PeerIdentity,
        PeerProtocol,
        FrameLengthError,
        PayloadRefused,
        RunMismatch,
    )
}


def reported_failure(reporter: str, culprit: str, code: str, me: str) -> PeerError:
    """Return the error to raise when ``reporter`` told that ``culprit`` failed with ``code``."""
    if culprit == me:
        return PeerAborted(
            f"party {reporter} ended the run and names this party as the cause: {code}",
            peer=me,
            reporter=reporter,
            word=code,
            remedy="Check this party's log and network.",
        )
    kind = _REPORTED.get(code)
    if kind is None:
        return PeerAborted(
            f"party {culprit} ended the run: {code}", peer=culprit, reporter=reporter, word=code
        )
    # The culprit itself passes on what it is accused of, and may be faster than its accuser.
    return kind(
        f"party {culprit} failed, as party {reporter} reports: {code}",
        peer=culprit,
        reporter=reporter,
    )
