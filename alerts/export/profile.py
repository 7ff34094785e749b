"""A country's profile for goAML: who reports, and the code lists, which differ by country.

::

    country = "NL"
    entity_id = 4711
    institution_name = "…"
    report_code = "STR"
    location = { address_type = "B", address = "…", city = "…", country_code = "NL" }
    reporting_person = { first_name = "…", last_name = "…" }
    indicators = ["AML01"]
    rule_indicators = { "risk-and-round-trip" = ["AML07"] }
    transmission = { default = "E", cash = "C" }

Nothing here is guessed: the codes are those that the country's financial intelligence unit gave to
the bank.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from alerts.errors import ProfileError
from alerts.rules import checked

__all__ = ["CountryProfile", "Location", "ReportingPerson", "load_profile", "parse_profile"]

_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
_Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,20}$")]
_Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReportingPerson(_Strict):
    """Who answers for the report at the bank."""

    first_name: _Name
    last_name: _Name
    occupation: _Name | None = None
    email: _Name | None = None


class Location(_Strict):
    """Where the reporting entity is."""

    address_type: _Code
    address: _Name
    city: _Name
    zip: _Code | None = None
    country_code: _Country


class CountryProfile(_Strict):
    """What a country wants in a report.

    Attributes:
        country: of the financial intelligence unit. entity_id, branch: of the reporting entity.
        submission_code: E (electronic) or M (manual). report_code: kind of report.
        indicators: of every report; rule_indicators: further ones by rule.
        transmission: channel → transmode_code; ``default`` for the others.
        funds: funds code of both sides. account_type: personal_account_type of own accounts.
        institution_name: of the bank. banks, countries: names and countries of other banks by id.
        unknown_country: where neither countries nor an IBAN or BIC tells; without it the report is
        refused.
    """

    country: _Country
    entity_id: int = Field(ge=0)
    branch: _Name | None = None
    institution_name: _Name
    submission_code: Literal["E", "M"] = "E"
    report_code: _Code = "STR"
    reporting_person: ReportingPerson
    location: Location
    indicators: tuple[_Code, ...] = Field(min_length=1)
    rule_indicators: Mapping[str, tuple[_Code, ...]] = {}
    transmission: Mapping[str, _Code] = Field(default_factory=lambda: {"default": "E"})
    funds: _Code = "E"
    account_type: _Code | None = None
    banks: Mapping[str, _Name] = {}
    countries: Mapping[str, _Country] = {}
    unknown_country: _Country | None = None

    def transmode(self, channel: str | None) -> str:
        """Return the code of a payment's channel."""
        named = self.transmission.get(channel or "default")
        if named is None:
            named = self.transmission.get("default")
        if named is None:
            raise ProfileError(
                f"the profile of {self.country} has no transmission code for channel {channel!r}",
                "add it, or a default, under transmission",
            )
        return named


def parse_profile(raw: Mapping[str, Any]) -> CountryProfile:
    """Return a checked profile; the error names what is missing or wrong."""
    return checked(CountryProfile, raw, ProfileError, "country profile", "correct the profile")


def load_profile(path: Path) -> CountryProfile:
    """Read a profile from a TOML file."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(
            f"{path}: the profile cannot be read ({error})", "name a readable TOML file in UTF-8"
        ) from error
    return parse_profile(raw)
