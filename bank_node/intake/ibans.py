"""IBANs among account ids: length, structure and check digits, once for each distinct account.

The rules of each country are schwifty's; they are applied by DuckDB, since a bank may have millions
of accounts.  An id counts as an IBAN if it has the shape of one and the letters of a country that
has IBANs.  A wrong one is a warning and not rejected: a domestic id may look like one.

The check digits are ISO 7064 mod 97-10: the BBAN, then country and check digits, letters as 10 to
35, read as one number, leaves 1 when divided by 97; and they lie between 02 and 98.
"""

from contextlib import suppress
from functools import cache, reduce
from itertools import product
from string import ascii_uppercase

import duckdb
from schwifty import registry
from schwifty.exceptions import SchwiftyException

from bank_node.sandbox import quoted

__all__ = ["define_iban_check"]

_SHAPE = "[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}"


def define_iban_check(con: duckdb.DuckDBPyConnection) -> None:
    """Macros ``is_iban(x)``, and ``iban_fault(x)``: what is wrong with an IBAN, or NULL."""
    countries = ", ".join(quoted(country) for country, _, _ in _specifications())
    lengths = " ".join(f"WHEN {quoted(c)} THEN {n}" for c, n, _ in _specifications())
    structures = " ".join(
        f"WHEN {quoted(c)} THEN regexp_full_match(substr(x, 5), {quoted(pattern)})"
        for c, _, pattern in _specifications()
    )
    digits = reduce(
        lambda text, letter: f"replace({text}, '{letter}', '{ord(letter) - 55}')",
        ascii_uppercase,
        "substr(x, 5) || substr(x, 1, 4)",
    )
    con.execute(f"""
        CREATE TEMP MACRO is_iban(x) AS
            regexp_full_match(x, '{_SHAPE}') AND substr(x, 1, 2) IN ({countries});
        CREATE TEMP MACRO iban_digits(x) AS {digits};
        CREATE TEMP MACRO rest_97(d) AS CAST(
            CAST(CAST(substr(d, 1, 36) AS HUGEINT) % 97 AS VARCHAR) || substr(d, 37)
            AS HUGEINT) % 97;
        CREATE TEMP MACRO iban_fault(x) AS CASE
            WHEN length(x) <> CASE substr(x, 1, 2) {lengths} END THEN 'wrong length'
            WHEN NOT CASE substr(x, 1, 2) {structures} END THEN 'wrong structure'
            WHEN substr(x, 3, 2) IN ('00', '01', '99') OR rest_97(iban_digits(x)) <> 1
                THEN 'wrong check digits'
        END
    """)


@cache
def _specifications() -> tuple[tuple[str, int, str], ...]:
    """Country, length, and pattern of the BBAN."""
    found = []
    for pair in product(ascii_uppercase, repeat=2):
        with suppress(SchwiftyException):
            spec = registry.get_iban_spec("".join(pair))
            found.append(("".join(pair), spec.iban_length, spec.regex.pattern))
    return tuple(found)
