"""The agreement between the members: who they are, what they compute, how much it may disclose.

It is written as a TOML file, ``consortium.toml``, and counts in its canonical form
(``bank_node.consortium.canonical``), which each member signs.  The models here check the form of
each value; whether the whole makes sense is for ``bank_node.consortium.verification``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bank_node.consortium.canonical import (
    AGREEMENT,
    as_number,
    canonical_json,
    duration_us,
    moment_us,
    sha256,
)
from bank_node.consortium.fields import (
    BIC,
    HEX64,
    HOST,
    Duration,
    Moment,
    Name,
    OptionalDuration,
    ParameterName,
    Pem,
    Text,
    Whole,
)

__all__ = [
    "ENGINE",
    "SCHEDULE",
    "Agreement",
    "AnalysisRule",
    "Budgets",
    "Member",
    "ParameterRule",
    "Place",
    "Schedule",
    "Signature",
    "SignedAgreement",
    "Transition",
]

ENGINE = "1"
"""Version of the protocol between the nodes that this program speaks."""

SCHEDULE = "schedule"
"""Stands in a manifest as the proposer of a run that the agreement's schedule asks for."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(_Form):
    """Who a member is and where its workers are, as it says itself.

    Attributes:
        id: its name in this consortium.
        bic: business identifier code; may be empty.
        role: bank (has accounts) or compute (neutral, without data).
        host: where the others' workers reach its own.
        ports: first port of its workers, and how many there are.
    """

    id: Name
    bic: str = Field("", pattern=BIC)
    role: Literal["bank", "compute"]
    host: str = Field(pattern=HOST)
    ports: tuple[Whole, Whole]

    @model_validator(mode="after")
    def _ports(self) -> Self:
        first, count = self.ports
        if not (first >= 1 and 2 <= count <= 1000 and first + count <= 65536):
            raise ValueError("ports must be [first, count] with a count of 2 or more")
        return self


class Member(Place):
    """A member of the consortium.

    Attributes:
        key: its Ed25519 public key.
        certificate: fingerprint (SHA-256) of its certificate.
        certificate_pem: the certificate that its workers show.
    """

    key: str = Field(pattern=HEX64)
    certificate: str = Field(pattern=HEX64)
    certificate_pem: Pem


class ParameterRule(_Form):
    """What one public parameter of an analysis may be: a value, one of several, or a range.

    Attributes:
        value: the only value. one_of: the values. min, max: bounds, both included; of
        ``traces=A=1,B=2`` they bound the number of each bank.
    """

    value: Text | None = None
    one_of: tuple[Text, ...] | None = Field(None, min_length=1, max_length=100)
    min: Text | None = None
    max: Text | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        has_range = self.min is not None or self.max is not None
        if (self.value is not None) + (self.one_of is not None) + has_range != 1:
            raise ValueError(
                "must be one of {value = ...}, {one_of = [...]}, {min = ..., max = ...}"
            )
        if has_range:
            low, high = as_number(self.min or ""), as_number(self.max or "")
            if low is None or high is None or low > high:
                raise ValueError("must have a number min and a number max that is not below it")
        return self


class AnalysisRule(_Form):
    """An analysis that may be run.

    Attributes:
        name, version: of the analysis.
        policies: output policies; the first is used where none is asked for.
        parameters: what each public parameter may be; one without a rule keeps its default.
        max_window: longest time from since to until; empty for an analysis without a window.
        who: banks that may propose it, or ask in it; "all": every bank.
        prepare: for how many later runs columns may be prepared at once; 0: not at all.
    """

    name: Name
    version: str = Field(min_length=1, max_length=20)
    policies: tuple[Annotated[str, Field(max_length=400)], ...] = Field(min_length=1)
    parameters: dict[ParameterName, ParameterRule] = Field(default_factory=dict)
    max_window: OptionalDuration = ""
    who: Literal["all"] | tuple[Name, ...] = "all"
    prepare: Whole = Field(0, ge=0, le=10_000)


class Budgets(_Form):
    """How much may be disclosed to a bank in each period of the calendar (UTC).

    Attributes:
        period: day, week (from Monday) or month.
        bits: for each bank.
        banks: other numbers for some.
    """

    period: Literal["day", "week", "month"]
    bits: Whole = Field(ge=0, le=1 << 62)
    banks: dict[Name, Annotated[Whole, Field(ge=0, le=1 << 62)]] = Field(default_factory=dict)


class Schedule(_Form):
    """A run that all nodes begin by themselves.

    Attributes:
        name: of the schedule.
        analysis, policy, parameters: of the run; the window is added.
        cron: when (UTC): minute, hour, day of month, month, day of week.
        window: length of the window, which ends at the midnight before the slot.
        valid: how long after its slot the run may still begin.
        prepare: for how many later runs columns are prepared, instead of a result.
    """

    name: Name
    analysis: Name
    cron: str = Field(max_length=100)
    policy: str = Field(max_length=400)
    parameters: dict[ParameterName, Text] = Field(default_factory=dict)
    window: OptionalDuration = ""
    valid: Duration
    prepare: Whole = Field(0, ge=0, le=10_000)


class Transition(_Form):
    """What becomes of what the version before has left.

    Attributes:
        schedules: continue (those that are the same go on) or restart (all begin anew).
        columns: keep the prepared columns where that is safe, or discard them.
        budgets: carry (what was spent in the period stays spent) or reset.
    """

    schedules: Literal["continue", "restart"] = "continue"
    columns: Literal["discard", "keep"] = "discard"
    budgets: Literal["carry", "reset"] = "carry"


class Agreement(_Form):
    """All that the members sign.

    Attributes:
        consortium: its name, as in the certificates.
        version: 1, 2, ...
        previous: hash of the version before; empty for the first.
        effective, expires: from when, and until when (not included).
        engine: version of the protocol between the nodes.
        authority: certificate of the authority.
        scope: in words: which accounts each bank lets be scored and asked about.
        members, analyses, budgets, schedules, transition: see there.
    """

    consortium: Name
    version: Whole = Field(ge=1, le=1_000_000)
    previous: str = Field("", pattern=r"^(?:[0-9a-f]{64})?$")
    effective: Moment
    expires: Moment
    engine: str = Field(pattern=r"^[0-9]{1,9}$")
    authority: Pem
    scope: str = Field(max_length=20_000)
    analyses: tuple[AnalysisRule, ...]
    budgets: Budgets
    schedules: tuple[Schedule, ...] = ()
    transition: Transition = Transition()
    members: tuple[Member, ...] = ()

    @property
    def effective_us(self) -> int:
        """First microsecond in which it is in effect."""
        return moment_us(self.effective)

    @property
    def expires_us(self) -> int:
        """First microsecond in which it is in effect no longer."""
        return moment_us(self.expires)

    @property
    def banks(self) -> tuple[str, ...]:
        """Ids of the banks, in the agreement's order."""
        return tuple(member.id for member in self.members if member.role == "bank")

    def member(self, name: str) -> Member | None:
        """Return the member of that id."""
        return next((member for member in self.members if member.id == name), None)

    def analysis(self, name: str) -> AnalysisRule | None:
        """Return the rule for an analysis."""
        return next((rule for rule in self.analyses if rule.name == name), None)

    def schedule(self, name: str) -> Schedule | None:
        """Return the schedule of that name."""
        return next((schedule for schedule in self.schedules if schedule.name == name), None)

    def canonical(self) -> bytes:
        """Return the canonical form."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the canonical form."""
        return sha256(self.canonical())


class Signature(_Form):
    """A member's signature of the canonical form."""

    member: Name
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")


@dataclass(frozen=True)
class SignedAgreement:
    """An agreement with the signatures that it has so far; see ``verify_agreement``."""

    agreement: Agreement
    signatures: tuple[Signature, ...] = ()

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical form."""
        return self.agreement.hash

    @cached_property
    def signed_bytes(self) -> bytes:
        """What the members sign."""
        return AGREEMENT + self.agreement.canonical()


def parse_agreement(raw: Mapping[str, Any]) -> SignedAgreement:
    """Return an agreement from plain data.

    Raises:
        ValidationError: of pydantic.
    """
    rest = dict(raw)
    signatures = _Signatures.model_validate({"signatures": rest.pop("signatures", ())})
    return SignedAgreement(Agreement.model_validate(rest), signatures.signatures)


class _Signatures(_Form):
    signatures: tuple[Signature, ...] = ()


def window_us(length: str) -> int | None:
    """Return the length of a window in microseconds; None: there is none."""
    return duration_us(length) if length else None
