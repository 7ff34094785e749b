"""What may stand in the details of an audit entry.

An account id may stand under the key ``account`` and nowhere else.  Whatever stands under a name of
private inputs is blanked unless it is a number (a count), and so is every IBAN in a text, however
deep it stands: words and parameters of other members get into the details, and nothing that they
send may keep an entry from being written.  Account ids of other forms cannot be told from names:
not to pass them is the caller's part.
"""

import re
from collections.abc import Mapping
from typing import Any

from bank_node.store.canonical import canonical
from bank_node.store.errors import AuditDetailError

__all__ = ["ACCOUNT", "BLANK", "details_text"]

ACCOUNT = "account"
"""The one key under which a detail may name an account."""
BLANK = "[removed]"
"""What stands in the place of what may not be told."""

_PRIVATE = frozenset(
    {
        ACCOUNT,
        "accounts",
        "customer",
        "customers",
        "from_account",
        "iban",
        "source",
        "sources",
        "to_account",
    }
)
_CANDIDATE = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}")
_SHORTEST = 15


def details_text(details: Mapping[str, Any]) -> str:
    """Return the canonical form of an entry's details, without what may not stand there.

    Raises:
        AuditDetailError: they hold what JSON does not know.
    """
    try:
        named = {name: value for name, value in details.items() if name == ACCOUNT}
        rest = {name: value for name, value in details.items() if name != ACCOUNT}
        return canonical(_cleaned(rest) | named)
    except (ValueError, TypeError):
        raise AuditDetailError(
            "The details of an audit entry are no JSON", "Report this: it is a fault of the program"
        ) from None


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _CANDIDATE.sub(_blanked, value)
    if isinstance(value, Mapping):
        return {_cleaned(str(name)): _named(name, part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(part) for part in value]
    return value


def _named(name: str, value: Any) -> Any:
    is_count = value is None or isinstance(value, int | float)
    return BLANK if name in _PRIVATE and not is_count else _cleaned(value)


def _blanked(found: re.Match[str]) -> str:
    """Return a blank for a text that begins with an IBAN, by its check digits (ISO 13616)."""
    text = found.group().replace(" ", "")
    lengths = range(_SHORTEST, len(text) + 1)
    return BLANK if any(_checks(text[:length]) for length in lengths) else found.group()


def _checks(iban: str) -> bool:
    digits = "".join(str(int(c, 36)) for c in iban[4:] + iban[:4])
    return int(digits) % 97 == 1
