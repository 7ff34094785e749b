"""The words of the pages, and dates, numbers and amounts as the reader's country writes them.

All strings stand in ``catalogue/<language>.toml``; a key is section and name, ``alerts.title``.  A
string may hold ``{name}`` for values, and be a table of plural forms (``one``, ``other``), of which
the value ``n`` chooses.  Templates get ``t``, ``label`` and the formats of :class:`Words`.
"""

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from babel import Locale, dates, numbers

from alerts.sentences import Sentence, Value

__all__ = ["LANGUAGES", "Words", "catalogue", "words_for"]

_FOLDER = Path(__file__).parent / "catalogue"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SMALL = 1e-4
"""Numbers below are written with a power of ten, as so many zeros are easily miscounted."""
LANGUAGES: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("[a-z][a-z].toml")))
"""Languages that there is a catalogue of."""


class _Named(string.Formatter):
    """Fills in plain names only: a value is never asked for its attributes or items."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        return kwargs[field_name], field_name


_FILL = _Named()


@lru_cache
def catalogue(language: str) -> Mapping[str, Any]:
    """Return all strings of a language: key → text, or plural form → text."""
    raw = tomllib.loads((_FOLDER / f"{language}.toml").read_text("utf-8"))
    return {
        f"{section}.{name}": text
        for section, strings in raw.items()
        for name, text in strings.items()
    }


@lru_cache
def _tongue(language: str) -> Locale:
    """Return a language without a country: plural forms go by it, however numbers are written."""
    return Locale(language)


@dataclass(frozen=True)
class Words:
    """One language and one country's way to write dates and numbers.

    Attributes:
        language: of the catalogue. locale: for dates and numbers. decimals: of the base currency.
        currency: the base currency.
    """

    language: str
    locale: Locale
    currency: str
    decimals: int

    def t(self, key: str, **values: Any) -> str:
        """Return a string of the catalogue with its values filled in."""
        text = catalogue(self.language)[key]
        if not isinstance(text, str):
            form = _tongue(self.language).plural_form(values["n"])
            text = text.get(form, text["other"])
        if not values:
            return str(text)
        shown = {n: self.number(v) if type(v) is int else v for n, v in values.items()}
        return str(_FILL.vformat(text, (), shown))

    def sentence(self, said: Sentence) -> str:
        """Return a reason of an alert in this language, its times and amounts as it writes them."""
        shown = {name: self._value(value) for name, value in said.values.items()}
        return self.t(f"why.{said.key}", **shown)

    def _value(self, value: Value) -> str:
        match value.kind:
            case "count" | "number":
                return self.number(value.value)
            case "money":
                return self.money(value.value)
            case "time":
                return self.t("why.edge") if value.value is None else self.time(value.value)
            case "text":
                return str(value.value)

    def label(self, section: str, value: object) -> str:
        """Return the word for one of a few values; what has no word stands for itself."""
        return str(catalogue(self.language).get(f"{section}.{value}", value))

    def known(self, section: str, value: object) -> bool:
        """Say whether there is a word for a value."""
        return f"{section}.{value}" in catalogue(self.language)

    def number(self, value: float | int | None) -> str:
        """Return a count, band or score."""
        if value is None:
            return "–"
        if isinstance(value, int) or float(value).is_integer():
            return numbers.format_decimal(int(value), locale=self.locale)
        digits = Decimal(f"{value:.4g}")
        pattern = "0.###E0" if 0 < abs(value) < _SMALL else "#,##0.########"
        return numbers.format_decimal(digits, format=pattern, locale=self.locale)

    def percent(self, share: float | None) -> str:
        """Return a share of 0 to 1 in per cent."""
        if share is None:
            return "–"
        return numbers.format_percent(round(share, 3), format="#,##0.#%", locale=self.locale)

    def amount(self, minor: int | None) -> str:
        """Return an amount in minor units without its currency."""
        if minor is None:
            return "–"
        pattern = "#,##0." + "0" * self.decimals if self.decimals else "#,##0"
        exact = Decimal(minor).scaleb(-self.decimals)
        return numbers.format_decimal(exact, format=pattern, locale=self.locale)

    def money(self, minor: int | None) -> str:
        """Return an amount in minor units with its currency."""
        return f"{self.amount(minor)} {self.currency}"

    def day(self, moment: int | None) -> str:
        """Return the day of a time in microseconds, UTC."""
        return "–" if moment is None else self._day(_moment(moment).date())

    def time(self, moment: int | None) -> str:
        """Return a time in microseconds to the minute, UTC."""
        if moment is None:
            return "–"
        at = _moment(moment)
        return f"{self._day(at.date())} {at:%H:%M}"

    def _day(self, day: date) -> str:
        return _written_day(day, str(self.locale))


def iso(moment: int | None) -> str:
    """Return a time in microseconds for a ``datetime`` attribute."""
    return "" if moment is None else _moment(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(moment: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(moment))


@lru_cache(4096)
def _written_day(day: date, locale: str) -> str:
    return dates.format_date(day, "medium", locale=locale)


@lru_cache(64)
def words_for(language: str, own: tuple[str, str], currency: str, decimals: int) -> Words:
    """Return the words for a language.

    Args:
        language: one of :data:`LANGUAGES`.
        own: language and locale that the node is set to; another language comes with the
            locale that its catalogue names.
        currency, decimals: of the bank.
    """
    name = own[1] if language == own[0] else str(catalogue(language)["language.locale"])
    return Words(language, Locale.parse(name), currency, decimals)
