"""What can be set about simulated payments, read from TOML.

Every setting has a default, and a file names only what it changes.  ``preset = "medium"`` at the
top of a file says which preset it changes; without that line it is ``small``.  Amounts are whole
euros.
"""

import math
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bank_node.errors import MissingFileError, ParameterError, UnreadableFileError
from simdata.generator.typologies import TYPOLOGIES

__all__ = [
    "Behaviour",
    "GeneratorConfig",
    "Laundering",
    "LookAlikes",
    "Risk",
    "Size",
    "check_config",
    "config_toml",
    "merged",
    "read_toml",
]

_LEAST_PER_BANK = 10
_LEAST_PER_SCHEME = 12
_MOST_LIMITS = 1000


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Range(_Section):
    """A number drawn evenly from ``low`` to ``high``."""

    low: float = Field(ge=0)
    high: float = Field(ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


class Size(_Section):
    """``[size]``: how much of everything.

    Attributes:
        banks: number of banks; bank1 is the largest.
        bank_skew: the size of bank k falls as k to the power of minus this.
        accounts: accounts of all banks together, at least 10 for each bank.
        days: length of the window.
        start: its first day.
        payments_per_account: payments that launder nothing, on average.
    """

    banks: int = Field(3, ge=1, le=1000)
    bank_skew: float = Field(0.6, ge=0, le=3)
    accounts: int = Field(3000, ge=1, le=20_000_000)
    days: int = Field(30, ge=1, le=10_000)
    start: date = date(2026, 1, 1)
    payments_per_account: float = Field(10.0, gt=0, le=10_000)

    @model_validator(mode="after")
    def _ends(self) -> "Size":
        if self.start.toordinal() + self.days > date.max.toordinal():
            raise ValueError(f"{self.days} days from {self.start} end after {date.max}")
        return self


class Behaviour(_Section):
    """``[behaviour]``: what people and companies do.

    Attributes:
        companies: share of the accounts that belong to companies.
        employed: share of the people who are paid a salary each month.
        renting: share of the people who pay rent each month.
        bills: share of the people whose bills are collected each month.
        home: share of lasting relations that stay inside one bank.
        shopping, transfers, suppliers, cash, large: how the payments that have no fixed day divide
            into people at shops, people to people, companies to companies, deposits and
            withdrawals, and single payments as large as a launderer's.
    """

    companies: float = Field(0.15, ge=0, le=0.9)
    employed: float = Field(0.7, ge=0, le=1)
    renting: float = Field(0.45, ge=0, le=1)
    bills: float = Field(0.8, ge=0, le=1)
    home: float = Field(0.5, ge=0, le=1)
    shopping: float = Field(0.52, ge=0)
    transfers: float = Field(0.16, ge=0)
    suppliers: float = Field(0.22, ge=0)
    cash: float = Field(0.095, ge=0)
    large: float = Field(0.005, ge=0)

    @model_validator(mode="after")
    def _something(self) -> "Behaviour":
        if self.shopping + self.transfers + self.suppliers + self.cash + self.large <= 0:
            raise ValueError("shopping, transfers, suppliers, cash and large are all zero")
        return self


class Amount(_Section):
    """A log-normal amount in whole euros: half of them below ``median``."""

    median: float = Field(15_000.0, ge=1, le=1e9)
    sigma: float = Field(0.4, ge=0, le=3)

    @property
    def mean(self) -> float:
        """The amount on average, in euros."""
        return self.median * math.exp(self.sigma**2 / 2)


class Laundering(_Section):
    """``[laundering]``: the schemes.

    Attributes:
        illicit: share of the accounts that take part in a scheme, about.
        schemes: number of schemes instead of ``illicit``; fewer if a bank runs out of accounts.
        cross_bank: share of the steps that lead to another bank.
        placement: share of the schemes that begin with cash deposits.
        amount: money of each account that a scheme begins with.
        cut: part that each account keeps of what it passes on.
        delay_hours: time between the last money in and the money on.
        parts: payments of one step.
        limit: amount from which cash must be reported.
        typologies: how often each typology is used, relative to the others.
        members: numbers that a typology draws from instead of its own, as [low, high].
    """

    illicit: float = Field(0.05, ge=0, le=0.3)
    schemes: int | None = Field(None, ge=0)
    cross_bank: float = Field(0.9, ge=0, le=1)
    placement: float = Field(0.7, ge=0, le=1)
    amount: Amount = Amount()
    cut: Range = Range(low=0.03, high=0.10)
    delay_hours: Range = Range(low=2, high=60)
    parts: Range = Range(low=1, high=3)
    limit: float = Field(10_000.0, ge=10, le=1e9)
    typologies: dict[str, float] = Field(default_factory=lambda: dict.fromkeys(TYPOLOGIES, 1.0))
    members: dict[str, tuple[int, int]] = Field(default_factory=dict)

    @field_validator("typologies", "members")
    @classmethod
    def _known(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name in values:
            if name not in TYPOLOGIES:
                raise ValueError(f"{name} is none of {', '.join(TYPOLOGIES)}")
        return values

    @model_validator(mode="after")
    def _sensible(self) -> "Laundering":
        weights = self.typologies.values()
        if any(not 0 <= weight <= 1e6 for weight in weights) or not sum(weights) > 0:
            raise ValueError("typologies: give weights of 0 or more, one of them above 0")
        for name, (low, high) in self.members.items():
            if not TYPOLOGIES[name].least <= low <= high <= 200:
                raise ValueError(f"members: {name} needs {TYPOLOGIES[name].least} to 200")
        if self.cut.high >= 1:
            raise ValueError("cut: a mule cannot keep everything")
        if not 1 <= self.parts.low <= self.parts.high <= 20:
            raise ValueError("parts: give 1 to 20 payments")
        return self

    @model_validator(mode="after")
    def _divisible(self) -> "Laundering":
        """Refuse a limit under which an amount would be scattered over countless payments."""
        below = any(TYPOLOGIES[n].below_limit and w > 0 for n, w in self.typologies.items())
        least = self.amount.mean / _MOST_LIMITS
        if below and self.limit < least:
            raise ValueError(
                f"limit: {self.limit:g} is too small for amounts of {self.amount.mean:.0f} on"
                f" average; give {math.ceil(least)} or more"
            )
        return self


class LookAlikes(_Section):
    """``[lookalikes]``: innocent accounts whose payments look like schemes, as share of accounts.

    Attributes:
        landlords: many tenants pay one account (fan-in).
        payroll: one account pays many on one day (fan-out).
        marketplaces: many buyers, many sellers, a fee between (gather-scatter).
        cash_shops: daily takings paid in, some just below the limit (structuring).
        savings_circles: each member pays the next, month by month (cycle).
        treasuries: companies of one group pass money on within a day (chain).
    """

    landlords: float = Field(0.002, ge=0, le=0.05)
    payroll: float = Field(0.001, ge=0, le=0.05)
    marketplaces: float = Field(0.001, ge=0, le=0.05)
    cash_shops: float = Field(0.012, ge=0, le=0.05)
    savings_circles: float = Field(0.004, ge=0, le=0.05)
    treasuries: float = Field(0.004, ge=0, le=0.05)


class Risk(_Section):
    """``[risk]``: the score that an account's own bank gives it, and how it errs.

    Attributes:
        cash: weight of the share of cash in the money received.
        velocity: weight of the share of the money received that leaves within a day.
        structuring: weight of repeated deposits just below the limit.
        missed: share of the accounts whose signals the bank overlooks.
        false_alarms: share of the accounts with a high score for no reason in the data.
        noise: standard deviation of the error added to each score.
    """

    cash: float = Field(0.9, ge=0, le=1)
    velocity: float = Field(0.25, ge=0, le=1)
    structuring: float = Field(0.6, ge=0, le=1)
    missed: float = Field(0.15, ge=0, le=1)
    false_alarms: float = Field(0.01, ge=0, le=1)
    noise: float = Field(0.04, ge=0, le=1)


class GeneratorConfig(_Section):
    """All settings of the generator; see the sections."""

    size: Size = Size()
    behaviour: Behaviour = Behaviour()
    laundering: Laundering = Laundering()
    lookalikes: LookAlikes = LookAlikes()
    risk: Risk = Risk()

    @model_validator(mode="after")
    def _fits(self) -> "GeneratorConfig":
        banks, accounts, schemes = self.size.banks, self.size.accounts, self.laundering.schemes
        if accounts < _LEAST_PER_BANK * banks:
            raise ValueError(
                f"{accounts} accounts are too few for {banks} banks: at least {_LEAST_PER_BANK}"
                " for each bank"
            )
        if schemes is not None and schemes > accounts // _LEAST_PER_SCHEME:
            raise ValueError(
                f"{schemes} schemes do not fit {accounts} accounts: at most"
                f" {accounts // _LEAST_PER_SCHEME}"
            )
        return self


def check_config(values: Mapping[str, Any], source: str = "") -> GeneratorConfig:
    """Check settings, given as sections.

    Args:
        values: sections with their settings.
        source: where they come from, for the error.

    Raises:
        ParameterError: a setting is unknown or out of its range.
    """
    try:
        return GeneratorConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        before = f"{source}: " if source else ""
        raise ParameterError(
            f"{before}{place + ': ' if place else ''}{text}",
            "Correct the setting; docs/data-sets.md lists all of them",
        ) from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        DataError: it is not there, or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: there is no such file", "Check the path") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnreadableFileError(f"{path}: {error}", "Correct it") from error


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of ``base`` with those of ``change`` in their place, section by section.

    The tables ``typologies`` and ``members`` are replaced whole: a file names all it wants.
    """
    whole = {"typologies", "members"}
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        deep = isinstance(old, Mapping) and isinstance(value, Mapping) and key not in whole
        result[key] = merged(old, value) if deep else value  # type: ignore[arg-type]
    return result


def config_toml(config: GeneratorConfig) -> str:
    """All settings as TOML, to be read by :func:`simdata.generator.read_config`."""
    return tomli_w.dumps(config.model_dump(exclude_none=True))
