"""What a session needs to know: the parties of the run, this party's keys, deadlines and limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from graph_mpc.session.errors import ConfigError, TooFewParties

ENGINE_VERSION = "undercurrent-engine/1"

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_MAX_PARTIES = 64


@dataclass(frozen=True)
class Member:
    """A party of the run and the address where its worker listens.

    ``certificate`` is the SHA-256 (hex) of its certificate's DER form, if that was agreed: then no
    other certificate will do, whoever issued it.
    """

    id: str
    host: str
    port: int
    certificate: str = ""


@dataclass(frozen=True)
class Deadlines:
    """Seconds after which waiting ends with an error that names a party.

    start: until all parties are connected. receive: for each awaited message. silence: without
    any byte, heartbeats included. shutdown: for the farewells of all. linger: to get the news of
    a failure out before the links close.
    """

    start: float = 30.0
    handshake: float = 10.0
    receive: float = 600.0
    silence: float = 10.0
    heartbeat: float = 1.0
    shutdown: float = 120.0
    linger: float = 2.0


@dataclass(frozen=True)
class Limits:
    """Bounds in bytes.

    message: one engine message. mpyc: one MPyC message. early: messages of one party that nobody
    awaits yet; beyond it the link is held back. queue: bytes waiting to be sent to one party.
    """

    message: int = 1 << 30
    mpyc: int = 16 << 20
    early: int = 1 << 30
    queue: int = 4 << 30


@dataclass(frozen=True)
class SessionConfig:
    """Configuration of this party's session; checked when it is made.

    ``me`` is this party's index in ``members``, whose order all parties share. ``listen_fd`` is an
    already bound (and possibly listening) socket that the session takes over and closes.
    """

    run_id: str
    consortium: str
    me: int
    members: tuple[Member, ...]
    certificate: Path
    private_key: Path
    authority: Path
    bind: str = "127.0.0.1"
    port: int | None = None
    listen_fd: int | None = None
    engine_version: str = ENGINE_VERSION
    deadlines: Deadlines = field(default_factory=Deadlines)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _check_members(self.members)
        if not 0 <= self.me < len(self.members):
            raise ConfigError(f"this party's index {self.me} is not one of the members")
        check_name("run id", self.run_id)
        check_name("consortium", self.consortium)
        for path in (self.certificate, self.private_key, self.authority):
            if not path.is_file():
                raise ConfigError(f"file {path.name} of the credentials does not exist")
        _check_deadlines(self.deadlines)
        _check_limits(self.limits)

    @property
    def my_id(self) -> str:
        """This party's id."""
        return self.members[self.me].id

    @property
    def listen_port(self) -> int:
        """The port to listen on: ``port``, else the one the others dial."""
        return self.members[self.me].port if self.port is None else self.port

    def pid_of(self, party: str) -> int | None:
        """Return the index of the party with this id, or None for a stranger."""
        return next((i for i, member in enumerate(self.members) if member.id == party), None)


def check_name(what: str, name: str) -> None:
    """Raise unless the name can stand in a certificate's URI and in a log line."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{what} must be 1 to 64 letters, digits, '.', '_' or '-'")


def _check_members(members: tuple[Member, ...]) -> None:
    if len(members) < 3:
        raise TooFewParties(
            f"{len(members)} parties are too few:"
            " with 2 there is no honest majority and so no privacy"
        )
    if len(members) > _MAX_PARTIES:
        raise ConfigError(f"more than {_MAX_PARTIES} parties are not supported")
    for member in members:
        check_name("party id", member.id)
        if not 0 < member.port < 65536:
            raise ConfigError(f"party {member.id} has no valid port")
    if len({member.id for member in members}) != len(members):
        raise ConfigError("two members have the same id")
    if len({(member.host, member.port) for member in members}) != len(members):
        raise ConfigError("two members have the same address")


def _check_deadlines(deadlines: Deadlines) -> None:
    for name, seconds in vars(deadlines).items():
        if not 0 < seconds < float("inf"):
            raise ConfigError(f"deadline {name} must be a positive number of seconds")
    if deadlines.silence < 2 * deadlines.heartbeat:
        raise ConfigError("deadline silence must be at least two heartbeats")


def _check_limits(limits: Limits) -> None:
    for name, size in vars(limits).items():
        if size <= 0:
            raise ConfigError(f"limit {name} must be positive")
    if limits.early < max(limits.message, limits.mpyc):
        raise ConfigError("limit early must hold at least one message of the largest size")
    if limits.queue < max(limits.message, limits.mpyc):
        raise ConfigError("limit queue must hold at least one message of the largest size")
