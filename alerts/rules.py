"""Rules: when does a result become an alert, as configuration.

A rule holds for an account if enough of its *joint* conditions (on results of joint analyses) and
all of its *local* conditions (on the bank's own payments) hold.  A joint condition asks that an
account reached a band or score, that it rose since the run before, or both::

    [[rule]]
    name = "risk-and-round-trip"
    severity = "high"
    needed = 2
    reason = "{analysis} came to {value} (before: {previous}) for {account}"
    joint = [
        { analysis = "risk-propagation", reached = 2, rise = 1 },
        { analysis = "round-trip", reached = 1 },
    ]
    local = [ { metric = "outflow", min = 10000.0 } ]

Conditions are on released values: band numbers (0 = lowest) under the policy ``bands``, scores
under ``threshold`` and ``exact``.  A reason may hold the placeholders of :data:`PLACEHOLDERS` and
nothing else of Python's format language, so that a configuration cannot reach into the program.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from alerts.errors import AlertsError, RuleError

__all__ = [
    "METRICS",
    "PLACEHOLDERS",
    "Joint",
    "Local",
    "Rule",
    "RuleSet",
    "Sampling",
    "Severity",
    "load_rules",
    "parse_rules",
]

Metric = Literal["inflow", "outflow", "payments", "counterparties", "pass_through", "cross_bank"]
METRICS: tuple[Metric, ...] = (
    "inflow",
    "outflow",
    "payments",
    "counterparties",
    "pass_through",
    "cross_bank",
)
"""What a local condition can be on: amounts in base currency, counts, min(in, out)/max(in, out),
and the share of the money moved that went to or came from other banks."""

PLACEHOLDERS = frozenset(
    {
        "rule",
        "severity",
        "customer",
        "account",
        "accounts",
        "analysis",
        "value",
        "percent",
        "previous",
        "rise",
    }
)
"""What a reason may hold; ``percent`` is the value as a share."""
_Model = TypeVar("_Model", bound=BaseModel)


class Severity(IntEnum):
    """How urgent an alert is."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Joint(_Strict):
    """A condition on the result of one joint analysis: all that is given must hold.

    Attributes:
        analysis: name of the analysis. reached: smallest band or score.
        rise: smallest rise since the run before under the same policy; an account that had no
        result then counts as 0, and without such a run nothing has risen.
    """

    analysis: str = Field(min_length=1, max_length=64)
    reached: float | None = Field(None, ge=0, allow_inf_nan=False)
    rise: float | None = Field(None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.reached is None and self.rise is None:
            raise ValueError("a joint condition needs reached, rise or both")
        return self


class Local(_Strict):
    """A condition on the bank's own payments in the run's window; ends belong to it."""

    metric: Metric
    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a local condition needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is larger than max")
        return self


class Rule(_Strict):
    """One rule.

    Attributes:
        name: lower-case letters, digits and hyphens. severity: of its alerts.
        reason: why, in words; see :data:`PLACEHOLDERS`.
        joint: conditions on joint results, the most telling first: the first that holds gives the
        figures of the reason. needed: how many of them must hold; all, unless given.
        local: conditions on own payments, all of which must hold.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    severity: Severity = Severity.MEDIUM
    reason: str = Field("{analysis} came to {value} (before: {previous})", max_length=500)
    joint: tuple[Joint, ...] = Field(min_length=1, max_length=16)
    needed: int | None = Field(None, ge=1)
    local: tuple[Local, ...] = Field((), max_length=16)

    @field_validator("severity", mode="before")
    @classmethod
    def _severity(cls, value: object) -> object:
        if isinstance(value, str):
            if value.upper() not in Severity.__members__:
                raise ValueError("severity is low, medium, high or critical")
            return Severity[value.upper()]
        return value

    @field_validator("reason")
    @classmethod
    def _reason(cls, value: str) -> str:
        try:
            parts = list(Formatter().parse(value))
        except ValueError as error:
            raise ValueError(f"the reason is no template ({error})") from error
        for _text, name, spec, conversion in parts:
            if name is not None and (name not in PLACEHOLDERS or spec or conversion):
                names = ", ".join(sorted(PLACEHOLDERS))
                raise ValueError(f"the reason may hold only {names} in braces")
        return value

    @model_validator(mode="after")
    def _needed_of_joint(self) -> Self:
        if self.needed is not None and self.needed > len(self.joint):
            raise ValueError(f"needed is {self.needed}, but there are {len(self.joint)} conditions")
        return self

    @property
    def enough(self) -> int:
        """How many joint conditions must hold."""
        return len(self.joint) if self.needed is None else self.needed

    def relaxed(self, bands: float, share: float) -> "Rule":
        """Return the rule with its line lowered: what lies just below the line of this one.

        Args:
            bands: taken off whole numbers (bands). share: share taken off other numbers (scores).
        """
        joint = tuple(
            Joint.model_construct(
                analysis=c.analysis,
                reached=_lowered(c.reached, bands, share),
                rise=_lowered(c.rise, bands, share),
            )
            for c in self.joint
        )
        return self.model_copy(update={"joint": joint})


def _lowered(value: float | None, bands: float, share: float) -> float | None:
    if value is None:
        return None
    return max(value - bands, 0.0) if float(value).is_integer() else value * (1 - share)


class Sampling(_Strict):
    """How many accounts of each rule and run are drawn for people to judge; 0: none.

    Attributes:
        above: of those that the rule found. below: of those just below its line.
        bands, share: how far below the line reaches, in bands or as a share of a score.
    """

    above: int = Field(0, ge=0, le=10_000)
    below: int = Field(0, ge=0, le=10_000)
    bands: int = Field(1, ge=1, le=8)
    share: float = Field(0.2, gt=0, lt=1)


class RuleSet(_Strict):
    """All rules of a bank."""

    rule: tuple[Rule, ...] = Field(max_length=256)
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rule]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {twice[0]}")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the rules, to tell by which rules a run was evaluated."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def named(self, name: str) -> Rule:
        """Return the rule of this name."""
        for rule in self.rule:
            if rule.name == name:
                return rule
        raise RuleError(f"there is no rule {name!r}", "look at the rules file for its names")


def parse_rules(raw: Mapping[str, Any]) -> RuleSet:
    """Return checked rules; the error names the rule's place and what is wrong."""
    return checked(RuleSet, raw, RuleError, "rules", "correct the rules file")


def load_rules(path: Path) -> RuleSet:
    """Read the rules of a TOML file."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RuleError(
            f"{path}: the rules cannot be read ({error})", "name a readable TOML file in UTF-8"
        ) from error
    return parse_rules(raw)


def checked(
    model: type[_Model], raw: Mapping[str, Any], kind: type[AlertsError], what: str, remedy: str
) -> _Model:
    """Return ``raw`` as ``model``, or raise ``kind`` with the first thing that is wrong."""
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        where = f"{what}, {place}" if place else what
        raise kind(f"{where}: {reason[:1].lower()}{reason[1:]}", remedy) from error
