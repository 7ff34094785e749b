"""What one member says of one joint run: the only message that runs are coordinated with.

A statement is the member's whole standing in the run, so the latest one replaces all before it and
a lost or repeated one does no harm.  Its phases, in the order in which a member passes them::

    judging ──► consented ──► ready ──► running ──► computed ──► stored
       │            ▲           │          │            │
       ▼            │           ▼          ▼            ▼
    refused         └─────── failed ◄──────┴────────────┘      abandoned: given up for good

``consented`` carries the member's signature of the manifest.  ``ready``, ``running``, ``computed``
and ``failed`` belong to an attempt; attempts only rise.  ``computed`` is a durable vote: who has
given it stores the result when all have, and drops it only when another member has failed the same
attempt, so either all store a run's result or none does.

It holds no account and no amount: only names of members, phases and codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["FINAL", "Phase", "Progress", "Statement", "StatementError", "parse_statement"]

Phase = Literal[
    "judging",
    "consented",
    "ready",
    "running",
    "computed",
    "failed",
    "stored",
    "refused",
    "abandoned",
]
FINAL: frozenset[str] = frozenset({"stored", "refused", "abandoned"})
"""Phases that are never left."""

_PHASES: tuple[str, ...] = get_args(Phase)
_MOST_ATTEMPTS = 200


class StatementError(ValueError):
    """A peer's statement has the wrong form; the text holds nothing that it sent."""


@dataclass(frozen=True)
class Progress:
    """How far a member's worker is: ``done`` of ``total`` steps of a phase of the analysis."""

    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class Statement:
    """A member's standing in a run.

    Attributes:
        phase: see the module.
        attempt: from 1; 0 before the first.
        signature: of the manifest, hex; empty until consented.
        port: where its worker listens, from ``ready`` to ``running``; else 0.
        code: why it refused, failed or gave up: a stable code; else empty.
        reason: the same in words.
        started: whether the attempt got as far as a worker.
        progress: of its worker, while running.
    """

    phase: Phase = "judging"
    attempt: int = 0
    signature: str = ""
    port: int = 0
    code: str = ""
    reason: str = ""
    started: bool = False
    progress: Progress | None = None

    @property
    def is_final(self) -> bool:
        """Whether the member is done with the run."""
        return self.phase in FINAL

    def moved(self, phase: Phase, **changes: Any) -> "Statement":
        """Return the statement in another phase, without what belonged to the old one."""
        cleared: dict[str, Any] = {"port": 0, "code": "", "reason": "", "progress": None}
        return replace(self, phase=phase, **(cleared | changes))

    def content(self) -> dict[str, Any]:
        """Return it as it is sent and kept."""
        told: dict[str, Any] = {"phase": self.phase, "attempt": self.attempt}
        for name in ("signature", "port", "code", "reason", "started"):
            if getattr(self, name):
                told[name] = getattr(self, name)
        if self.progress is not None:
            told["progress"] = vars(self.progress)
        return told


class _ProgressForm(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    phase: str = Field(max_length=40, pattern=r"^[a-z_-]*$")
    done: int = Field(ge=0, le=10**9)
    total: int = Field(ge=0, le=10**9)


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    phase: Phase
    attempt: int = Field(0, ge=0, le=_MOST_ATTEMPTS)
    signature: str = Field("", pattern=r"^(?:[0-9a-f]{128})?$")
    port: int = Field(0, ge=0, le=65535)
    code: str = Field("", max_length=80, pattern=r"^[a-z0-9.-]*$")
    reason: str = Field("", max_length=500)
    started: bool = False
    progress: _ProgressForm | None = None


def parse_statement(content: Mapping[str, Any]) -> Statement:
    """Return a peer's statement, with each field checked for type and size."""
    try:
        form = _Form.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][:1]) or "content"
        raise StatementError(f"{where} is not as it should be") from None
    progress = None if form.progress is None else Progress(**form.progress.model_dump())
    fields = form.model_dump(exclude={"progress", "reason"})
    # Words of a peer are shown to people: one line of printable characters.
    reason = "".join(c if c.isprintable() else " " for c in form.reason)
    return Statement(**fields, reason=reason, progress=progress)
