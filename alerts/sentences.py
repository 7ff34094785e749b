"""The sentences that say why there is an alert: what is said, apart from how a reader writes it.

A sentence is a key and values with their kinds.  ``str`` gives it in plain English, with times as
ISO 8601 and amounts as decimal text, as the API and the command line show it; a page has words of
its own for each key, and writes times and amounts as its reader does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alerts.words import amount_text, iso_time, number_text, plural

__all__ = ["SENTENCES", "Sentence", "Value"]

Kind = Literal["text", "count", "number", "time", "money"]

SENTENCES: Mapping[str, str] = {
    "about_customer": "About customer {name}: {reason}",
    "about_account": "About account {name}: {reason}",
    "run": "The joint analysis {analysis} (run {run}, {at}, released as {policy}) ran under the"
    " agreement {agreement}.",
    "lab": "The joint analysis {analysis} (run {run}, {at}, released as {policy}) ran under no"
    " agreement: it was a run of the lab.",
    "value": "Account {account}: {analysis} {value}, before {previous}.",
    "seen": "Seen in {runs}, from {first} to {last}.",
    "payments": "Between {since} and {until} {accounts} of the customer received {received} and"
    " paid {paid} in {payments}.",
    "counterparty": "The largest counterparty is {account} at bank {bank}: {received} received,"
    " {paid} paid.",
    "own_counterparty": "The largest counterparty is {account} at this bank: {received} received,"
    " {paid} paid.",
}
"""All sentences in English; ``{name}`` is a value."""

_PLURAL = {"runs": "run", "accounts": "account", "payments": "payment"}


@dataclass(frozen=True)
class Value:
    """A value in a sentence.

    Attributes:
        kind: ``time`` is in microseconds, or None where the data begin or end; ``money`` in minor
            units; ``number`` is a band or score, or None where there was none before.
        value: the value.
        decimals: of money. currency: of money.
    """

    kind: Kind
    value: Any
    decimals: int = 0
    currency: str = ""

    def text(self, name: str) -> str:
        """Return it in plain English; a count comes with the word that belongs to its name."""
        match self.kind:
            case "count":
                return plural(self.value, _PLURAL[name])
            case "number":
                return number_text(self.value)
            case "time":
                return iso_time(self.value) or "the edge of the data"
            case "money":
                return f"{amount_text(self.value, self.decimals)} {self.currency}"
            case "text":
                return str(self.value)


@dataclass(frozen=True)
class Sentence:
    """One thing that is said about an alert.

    Attributes:
        key: one of :data:`SENTENCES`. values: name → value, all that the sentence has.
    """

    key: str
    values: Mapping[str, Value]

    def __str__(self) -> str:
        shown = {name: value.text(name) for name, value in self.values.items()}
        return SENTENCES[self.key].format_map(shown)
