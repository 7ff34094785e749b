"""Every string of the application stands in the catalogue, in each language, and is used."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import bank_node.web
from alerts import Action, Outcome, Role, Severity, State
from alerts.queries import Order
from alerts.rules import METRICS
from alerts.sentences import SENTENCES
from alerts.states import STEPS
from bank_node.desk import KINDS
from bank_node.web.case_pages import SCOPES
from bank_node.web.links import links_for
from bank_node.web.visit import THEMES
from bank_node.web.words import LANGUAGES, Words, catalogue, words_for

ROOT = Path(bank_node.web.__file__).parent
SOURCES = [*ROOT.glob("*.py"), *ROOT.glob("templates/**/*.html")]
TEXT = {path: path.read_text("utf-8") for path in SOURCES}
KEY = re.compile(r"""\bt\(\s*["']([\w.-]+)["']""")
LABEL = re.compile(r"""\b(?:label|known)\(\s*["']([\w-]+)["']""")
LITERAL = re.compile(r"""["']([a-z_]+\.[\w.-]+)["']""")
WORDS_BETWEEN_TAGS = re.compile(r">([^<>{}%]*[A-Za-z]{3,}[^<>{}%]*)<")
EXACT = {
    "severity": [s.name.lower() for s in Severity],
    "state": [s.value for s in State],
    "outcome": [o.value for o in Outcome],
    "role": [r.value for r in Role],
    "order": [o.value for o in Order],
    "journal": [a.value for a in STEPS],
    "metric": list(METRICS),
    "export_kind": list(KINDS),
    "scope": list(SCOPES),
    "theme": list(THEMES),
    "tongue": list(LANGUAGES),
    "nav": sorted({link.name for role in Role for link in links_for(role, "/")}),
    "status": ["open", "in-case", "closed"],
    "line": ["above", "below"],
    "subject": ["account", "customer"],
}
OFFERED = ("take", "assign", "begin", "note", "attach", "add-alert", "escalate", "snooze", "wake",
           "submit", "approve", "send-back", "reopen")  # fmt: skip


def used(pattern: re.Pattern[str]) -> set[str]:
    """Return what a pattern finds in templates and modules."""
    return {found for text in TEXT.values() for found in pattern.findall(text)}


def forms(text: Any) -> list[str]:
    """Return the plural forms of a string."""
    return [text] if isinstance(text, str) else list(text.values())


def fields(text: str) -> set[str]:
    """Return the names that are filled in."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_each_key_that_is_used_exists() -> None:
    """A key in a template or module stands in the English catalogue."""
    assert used(KEY) - set(catalogue("en")) == set()


def test_each_key_that_exists_is_used() -> None:
    """No string stands in the catalogue that no page shows."""
    sections = used(LABEL)
    named = used(KEY) | used(LITERAL) | {"language.locale"}
    named |= {f"why.{key}" for key in SENTENCES}
    left = [k for k in catalogue("en") if k not in named and k.partition(".")[0] not in sections]
    assert left == []


@pytest.mark.parametrize("section", sorted(EXACT))
def test_labels_cover_exactly_the_values_that_there_are(section: str) -> None:
    """Each value that a page can show has a word, and no word is left over."""
    there = [k.partition(".")[2] for k in catalogue("en") if k.startswith(f"{section}.")]
    assert sorted(there) == sorted(EXACT[section])


def test_each_action_that_is_offered_has_a_name_and_says_when_it_is_done() -> None:
    """What a person can do with a case has a word on the button, and one afterwards."""
    keys = set(catalogue("en"))
    assert {f"action.{a}" for a in OFFERED} == {k for k in keys if k.startswith("action.")}
    assert {f"done.{a}" for a in OFFERED} <= keys
    assert set(OFFERED) <= {a.value for a in Action}


@pytest.mark.parametrize("key", SENTENCES)
def test_each_reason_of_an_alert_has_words_that_say_all_of_it(key: str) -> None:
    """A page says the same as the API: each value of the sentence stands in its own words."""
    assert fields(catalogue("en")[f"why.{key}"]) == fields(SENTENCES[key])


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_a_language_is_complete(language: str) -> None:
    """A language has the keys of English, and each string the same values to fill in."""
    english, other = catalogue("en"), catalogue(language)
    assert set(other) == set(english)
    for key, text in english.items():
        wanted = set().union(*map(fields, forms(text)))
        assert set().union(*map(fields, forms(other[key]))) == wanted, key


def test_there_is_a_second_language() -> None:
    """Dutch stands beside English, and is not English again."""
    assert LANGUAGES == ("en", "nl")
    english, dutch = catalogue("en"), catalogue("nl")
    same = [k for k, text in english.items() if dutch[k] == text]
    assert len(same) < len(english) / 10


def test_templates_hold_no_words_of_their_own() -> None:
    """Between two tags of a template stands nothing that a reader would read, but names."""
    allowed = {"Ctrl", "Enter"}
    for path, text in TEXT.items():
        if path.suffix != ".html":
            continue
        plain = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
        loose = {m.strip() for m in WORDS_BETWEEN_TAGS.findall(plain)} - allowed
        assert loose == set(), f"{path.name}: {loose}"


def made_words(language: str, locale: str) -> Words:
    """Return words of a language with a locale, in euros."""
    return words_for(language, (language, locale), "EUR", 2)


def test_dates_and_amounts_are_written_as_the_locale_does() -> None:
    """The same amount and day are written the British, the Dutch and the Swiss way."""
    day = 1_772_323_200_000_000
    assert made_words("en", "en_GB").amount(-123456789) == "-1,234,567.89"
    assert made_words("nl", "nl_NL").amount(-123456789) == "-1.234.567,89"
    assert made_words("en", "de_CH").money(123456789) == "1’234’567.89 EUR"
    assert made_words("en", "en_GB").time(day) == "1 Mar 2026 00:00"
    assert made_words("nl", "nl_NL").day(day) == "1 mrt 2026"


def test_amounts_are_exact() -> None:
    """The largest amount that the database holds is written to the last digit."""
    assert made_words("en", "en_GB").amount(2**63 - 1) == "92,233,720,368,547,758.07"
    assert words_for("en", ("en", "en_GB"), "JPY", 0).money(7) == "7 JPY"


def test_a_value_cannot_reach_into_the_program() -> None:
    """A string's place is filled by name only: attributes and items of a value are no names."""
    words = made_words("en", "en_GB")
    assert words.t("alerts.view_remove", name="{0.__class__}") == "Remove the view {0.__class__}"


def test_sections_of_labels_exist() -> None:
    """Each section that words are looked up in has words."""
    sections = {key.partition(".")[0] for key in catalogue("en")}
    assert used(LABEL) <= sections
