"""Names of currencies in the data sets of others, as ISO 4217 codes."""

from collections.abc import Mapping

from simdata.staging import quoted

__all__ = ["CURRENCIES", "code_of"]

CURRENCIES: Mapping[str, str] = {
    "us dollar": "USD",
    "euro": "EUR",
    "uk pound": "GBP",
    "uk pounds": "GBP",
    "yen": "JPY",
    "yuan": "CNY",
    "rupee": "INR",
    "indian rupee": "INR",
    "pakistani rupee": "PKR",
    "ruble": "RUB",
    "australian dollar": "AUD",
    "canadian dollar": "CAD",
    "swiss franc": "CHF",
    "shekel": "ILS",
    "mexican peso": "MXN",
    "brazil real": "BRL",
    "saudi riyal": "SAR",
    "bitcoin": "XBT",
    "dirham": "AED",
    "moroccan dirham": "MAD",
    "naira": "NGN",
    "turkish lira": "TRY",
    "albanian lek": "ALL",
}
"""Codes by name in lower case; XBT is the usual code of bitcoin, which is in no standard."""


def code_of(column: str) -> str:
    """SQL for the code of a currency's name; a name that is not known stays as it is."""
    pairs = " ".join(
        f"WHEN {quoted(name)} THEN {quoted(code)}" for name, code in CURRENCIES.items()
    )
    return f"CASE lower({column}) {pairs} ELSE {column} END"
