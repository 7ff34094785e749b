"""The canonical form: the way of writing does not count, and everything else does."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bank_node.consortium import SignedAgreement
from bank_node.consortium.agreement import Agreement, parse_agreement
from bank_node.consortium.canonical import as_moment, as_number, as_text, moment_text, moment_us
from bank_node.consortium.drafting import draft, render, rewrite
from bank_node.consortium.errors import AgreementFileError
from bank_node.consortium.reading import parse_text
from bank_node.identity import canonical_certificate
from tests.bank_node.consortium.consortium import Consortium

RELAXED = settings(deadline=None)
COMMON = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def shuffled(value: Any, draw: st.DataObject) -> Any:
    """The same value with the keys of every table in another order."""
    if isinstance(value, dict):
        order = draw.draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in order}
    if isinstance(value, list):
        return [shuffled(item, draw) for item in value]
    return value


@COMMON
@given(data=st.data())
def test_the_order_of_keys_does_not_count(consortium: Consortium, data: st.DataObject) -> None:
    """Tables with their keys in any order, written as TOML and read again, have one hash."""
    text = tomli_w.dumps(
        shuffled(consortium.raw(), data), multiline_strings=data.draw(st.booleans())
    )
    assert parse_text(text, "x").hash == consortium.unsigned().hash


@COMMON
@given(
    blanks=st.lists(st.sampled_from(["", "   ", "# by the lawyers: §7 applies", "\t"]), max_size=9),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_comments_blanks_and_line_ends_do_not_count(
    consortium: Consortium, blanks: list[str], ending: str
) -> None:
    """A file with other comments and line ends keeps its hash, and so its signatures."""
    signed = consortium.signed()
    out: list[str] = []
    is_quoted = False
    for i, line in enumerate(render(signed).splitlines()):
        if not is_quoted and blanks and i % 7 == 0:
            out.append(blanks[i // 7 % len(blanks)])
        out.append(line)
        is_quoted ^= line.count('"""') == 1
    found = parse_text(ending.join(out), "x")
    assert found.hash == signed.hash
    assert found.signatures == signed.signatures


@RELAXED
@given(
    digits=st.integers(-(10**12), 10**12),
    places=st.integers(0, 12),
    zeros=st.integers(0, 5),
    shift=st.integers(-6, 6),
)
def test_the_spelling_of_a_number_does_not_count(
    digits: int, places: int, zeros: int, shift: int
) -> None:
    """0.85, 0.850, 8.5e-1 and 85E-2 are one value, and its text is read back as it."""
    number = Decimal(digits).scaleb(-places)
    spelled = Decimal(f"{format(number, 'f')}{'' if places else '.'}{'0' * zeros}")
    moved = Decimal(f"{format(number.scaleb(shift), 'f')}e{-shift}")
    assert as_text(number) == as_text(spelled) == as_text(moved)
    assert as_number(as_text(number)) == number
    assert "e" not in as_text(number).lower()


@RELAXED
@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_are_one_value_with_or_without_a_point(number: int) -> None:
    """2, 2.0 and the text "2" are one value of a parameter."""
    assert as_text(number) == as_text(Decimal(f"{number}.000")) == str(number)


@RELAXED
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30))
def test_a_float_is_the_number_that_python_writes(number: float) -> None:
    """A float given by a program is exactly the decimal that it shows, down to a size."""
    if number and abs(number) < 1e-30:
        return
    assert Decimal(as_text(number)) == Decimal(repr(number))


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-inf", "1e400", "1e99999", "1e99999999999999999999"]
)
def test_numbers_that_are_none_are_refused(consortium: Consortium, text: str) -> None:
    """Infinite, undefined and absurdly large numbers are told, never hashed."""
    raw = render(SignedAgreement(consortium.unsigned())).replace("max = 0.3 ", f"max = {text} ")
    with pytest.raises(AgreementFileError):
        parse_text(raw, "x")


@RELAXED
@given(st.integers(-(10**15), 4 * 10**15), st.integers(-14, 14))
def test_the_spelling_of_a_time_does_not_count(moment: int, offset: int) -> None:
    """A time in any zone, with T or a blank, is one text, which is read back as the same time."""
    text = moment_text(moment)
    assert text.endswith("Z")
    assert moment_us(text) == moment
    local = moment_text(moment + offset * 3_600_000_000).removesuffix("Z")
    zone = f"{'-' if offset < 0 else '+'}{abs(offset):02}:00"
    assert as_moment(local + zone) == text
    assert as_moment(text.replace("T", " ")) == text


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in nested tables and lists."""
    if isinstance(value, dict):
        return [p for key in value for p in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [p for i in range(len(value)) for p in leaves(value[i], (*path, i))]
    return [path]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """What stands at a path."""
    for step in path:
        value = value[step]
    return value


def changed(old: Any, draw: st.DataObject) -> Any:
    """Another value of the same type."""
    if isinstance(old, int):
        return draw.draw(st.integers(0, 100).filter(lambda n: n != old))
    values = [f"{old}x", "", "1", "0.07", "2028-01-01", old[::-1]]
    return draw.draw(st.sampled_from([value for value in values if value != old]))


@settings(parent=COMMON, max_examples=150)
@given(data=st.data())
def test_any_other_value_is_another_agreement(consortium: Consortium, data: st.DataObject) -> None:
    """Whatever value is changed, the agreement has another hash or is refused."""
    raw = json.loads(consortium.unsigned().canonical())
    path = data.draw(st.sampled_from(leaves(raw)))
    new = copy.deepcopy(raw)
    old = at(raw, path)
    at(new, path[:-1])[path[-1]] = changed(old, data)
    before = Agreement.model_validate(raw)
    try:
        after = Agreement.model_validate(new)
    except ValidationError:
        return
    assert (after.hash == before.hash) == (after == before)
    assert after.hash != before.hash or _means_the_same(at(new, path), old)


def _means_the_same(one: Any, other: Any) -> bool:
    """Whether two texts are one time, or one certificate with words around it."""
    spell = canonical_certificate if "CERTIFICATE" in other else as_moment
    return spell(one) == spell(other)


@settings(parent=COMMON, max_examples=100)
@given(data=st.data())
def test_the_order_of_members_and_what_is_left_out_count(
    consortium: Consortium, data: st.DataObject
) -> None:
    """Members in another order, or any list with an item less, are another agreement."""
    raw = consortium.raw()
    order = data.draw(st.permutations(raw["members"]))
    again = parse_agreement(raw | {"members": order}).agreement
    assert (again.hash == consortium.unsigned().hash) == (list(order) == raw["members"])
    name = data.draw(st.sampled_from(["members", "analyses", "schedules"]))
    fewer = list(raw[name])
    fewer.pop(data.draw(st.integers(0, len(fewer) - 1)))
    assert parse_agreement(raw | {name: fewer}).agreement.hash != consortium.unsigned().hash


def test_a_canonical_form_has_no_floats_and_no_blanks(consortium: Consortium) -> None:
    """It is JSON in UTF-8 with sorted keys, which gives itself back."""
    text = consortium.unsigned(scope="Über die Grenze").canonical()
    value = json.loads(text, parse_float=pytest.fail)
    again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again.encode() == text
    assert "Über" in text.decode()


def test_a_signed_file_keeps_its_signatures_with_another_comment_only(
    consortium: Consortium,
) -> None:
    """A changed comment leaves the hash alone; a changed value does not."""
    signed = consortium.signed()
    text = render(signed)
    assert "# Whose accounts" in text
    assert parse_text(text.replace("# Whose accounts", "# Which"), "x").hash == signed.hash
    assert parse_text(text.replace("higher risk.", "any risk."), "x").hash != signed.hash
    assert parse_text(text.replace("max = 0.3 ", "max = 0.4 "), "x").hash != signed.hash
    assert parse_text(text.replace("max = 0.3 ", "max = 3.0e-1 "), "x").hash == signed.hash


@settings(parent=COMMON, max_examples=100)
@given(
    scope=st.text(
        st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=200
    ),
    value=st.one_of(
        st.text(max_size=20), st.decimals(allow_nan=False, allow_infinity=False, places=3)
    ),
    banks=st.dictionaries(st.sampled_from("ABC"), st.integers(0, 2**40)),
)
def test_a_rendered_agreement_is_read_as_itself(
    consortium: Consortium, scope: str, value: Any, banks: dict[str, int]
) -> None:
    """Whatever its values are, the commented file that is written has the same hash."""
    raw = consortium.raw(scope=scope, budgets={"period": "day", "bits": 7, "banks": banks})
    raw["analyses"] = copy.deepcopy(raw["analyses"])
    raw["analyses"][0]["parameters"]["slice"] = {"value": value}
    try:
        agreement = parse_agreement(raw).agreement
    except ValidationError:
        return
    signed = consortium.sign(agreement)
    found = parse_text(render(signed), "x")
    assert found.agreement == agreement
    assert found.signatures == signed.signatures


def test_the_draft_is_commented_and_read_as_itself(consortium: Consortium) -> None:
    """The draft that new writes has a comment before each part, and sane terms."""
    pem = consortium.authority.certificate_pem
    agreement = draft("nordic", pem, "2026-12-01", "2027-12-01")
    text = render(SignedAgreement(agreement))
    assert parse_text(text, "x").agreement == agreement
    assert max(map(len, text.splitlines())) <= 100
    full = agreement.model_copy(update={"members": consortium.unsigned().members})
    assert rewrite(text, full.members, ()).startswith(text.partition("\n# ====")[0])


def test_a_file_without_the_marked_line_is_written_anew(consortium: Consortium) -> None:
    """A file written by hand keeps its values when members or signatures are put in."""
    signed = consortium.signed()
    text = tomli_w.dumps(consortium.raw())
    found = parse_text(rewrite(text, signed.agreement.members, signed.signatures), "x")
    assert found.hash == signed.hash
    assert found.signatures == signed.signatures


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unknown": 1}, "unknown"),
        ({"version": True}, "version"),
        ({"version": 0}, "version"),
        ({"consortium": "a b"}, "consortium"),
        ({"effective": "soon"}, "effective"),
        ({"expires": 7}, "expires"),
        ({"authority": "none"}, "authority"),
        ({"engine": "one"}, "engine"),
        ({"previous": "AB"}, "previous"),
        ({"budgets": {"period": "year", "bits": 1}}, r"budgets\.period"),
        ({"budgets": {"period": "day", "bits": -1}}, r"budgets\.bits"),
        ({"signatures": [{"member": "A", "signature": "ab"}]}, r"signatures\[1\]\.signature"),
    ],
)
def test_a_value_of_the_wrong_form_is_named(
    consortium: Consortium, changes: dict[str, Any], said: str
) -> None:
    """The error says which value is wrong."""
    with pytest.raises(AgreementFileError, match=said):
        parse_text(tomli_w.dumps(consortium.raw(**changes)), "consortium.toml")


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"value": 1, "min": 0, "max": 2},
        {"value": 1, "one_of": [1]},
        {"min": 1},
        {"max": 1},
        {"min": 2, "max": 1},
        {"min": "a", "max": "b"},
        {"one_of": []},
        {"value": [1]},
    ],
)
def test_a_rule_has_exactly_one_kind(consortium: Consortium, rule: dict[str, Any]) -> None:
    """A rule is a value, a list of values, or a range with both ends in order."""
    raw = copy.deepcopy(consortium.raw())
    raw["analyses"][0]["parameters"]["delta"] = rule
    with pytest.raises(ValidationError):
        parse_agreement(raw)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "a b"),
        ("host", ""),
        ("ports", [0, 4]),
        ("ports", [9400, 1]),
        ("ports", [65534, 4]),
        ("bic", "bank"),
        ("role", "auditor"),
        ("key", "ab"),
        ("certificate_pem", "none"),
        ("id", "-A"),
    ],
)
def test_a_members_entry_of_the_wrong_form_is_refused(
    consortium: Consortium, name: str, value: Any
) -> None:
    """Each field of a member has its form."""
    raw = copy.deepcopy(consortium.raw())
    raw["members"][1][name] = value
    with pytest.raises(ValidationError, match=f"members.1.{name}|ports"):
        parse_agreement(raw)
