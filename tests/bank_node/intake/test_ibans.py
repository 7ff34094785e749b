"""IBANs are judged as schwifty judges them."""

import random
import string

import pytest
from schwifty import IBAN

from bank_node.intake.ibans import _specifications, define_iban_check
from bank_node.sandbox import connect


def judge(texts: list[str]) -> dict[str, str | None]:
    """What is wrong with each of the ids that read as IBANs."""
    with connect() as con:
        define_iban_check(con)
        return dict(
            con.execute(
                "SELECT x, iban_fault(x) FROM (SELECT unnest(?) AS x) WHERE is_iban(x)", [texts]
            ).fetchall()
        )


def examples(seed: int) -> list[str]:
    """IBANs of all countries, right ones and ones with a changed, lost or added sign."""
    rng = random.Random(seed)
    found = []
    for country, length, _ in _specifications():
        digits = "".join(rng.choices(string.digits, k=length - 4))
        mixed = "".join(rng.choices(string.digits + string.ascii_uppercase, k=length - 4))
        for body in (digits, mixed):
            rest = int("".join(str(int(sign, 36)) for sign in body + country + "00")) % 97
            right = f"{country}{98 - rest:02}{body}"
            found += [right, right[:-1], right + "0", right[:6] + "7" + right[7:]]
            found += [f"{country}{check}{body}" for check in ("00", "01", "99")]
    real = ["GB82WEST12345698765432", "NL91ABNA0417164300", "MT84MALT011000012345MTLCAST001S"]
    return found + real + ["FR1420041010050500013M02606"]


@pytest.mark.parametrize("seed", range(3))
def test_the_rules_are_those_of_schwifty(seed: int) -> None:
    """Of every country, right and wrong, the answer is schwifty's."""
    texts = [text for text in set(examples(seed)) if 15 <= len(text) <= 34]
    found = judge(texts)
    assert set(found) == set(texts)
    assert {text for text in texts if found[text] is None} == {
        text for text in texts if IBAN(text, allow_invalid=True).is_valid
    }
    assert sum(fault is None for fault in found.values()) > 50


def test_each_fault_is_named() -> None:
    """Length, structure and check digits are told apart."""
    assert judge(["NL91ABNA041716430", "NL911BNA0417164300", "NL92ABNA0417164300"]) == {
        "NL91ABNA041716430": "wrong length",
        "NL911BNA0417164300": "wrong structure",
        "NL92ABNA0417164300": "wrong check digits",
    }


def test_what_is_no_iban_is_not_judged() -> None:
    """Other ids, and letters of no country with IBANs, are left alone."""
    assert judge(["A1", "1234567890123456", "ZZ91ABNA0417164300", "NLX1ABNA0417164300", ""]) == {}
