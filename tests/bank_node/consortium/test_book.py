"""The installed versions: verified, whole, one in effect at a time; and what a change brings."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bank_node.consortium import (
    AgreementError,
    Book,
    SignedAgreement,
    budget_of,
    change,
    check_manifest,
    load_agreement,
    period_of,
    proposed_manifest,
    scheduled_manifest,
)
from bank_node.consortium.canonical import moment_text, moment_us
from bank_node.consortium.drafting import render
from bank_node.consortium.errors import (
    AgreementFileError,
    OtherAgreement,
    SignatureError,
    VersionError,
)
from tests.bank_node.consortium.consortium import HOUR, Consortium
from tests.bank_node.consortium.test_verification import follow

RELAXED = settings(deadline=None, max_examples=60)


def written(folder: Path, signed: SignedAgreement, name: str = "agreement.toml") -> Path:
    """The agreement as a file."""
    path = folder / name
    path.write_text(render(signed))
    return path


def installed(book: Book, folder: Path, *versions: SignedAgreement) -> Book:
    """The book with these versions in it."""
    for signed in versions:
        book.install(written(folder, signed))
    return book


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """An empty book."""
    return Book(tmp_path / "agreements")


def test_an_installed_agreement_is_private_and_read_back(
    consortium: Consortium, book: Book, tmp_path: Path
) -> None:
    """It is kept word for word with mode 0600; to install it again changes nothing."""
    signed = consortium.signed()
    assert book.versions() == ()
    path = written(tmp_path, signed)
    assert book.install(path).hash == signed.hash
    kept = book.folder / "consortium-1.toml"
    assert kept.read_bytes() == path.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(book.folder.stat().st_mode) == 0o700
    book.install(path)
    assert [s.hash for s in book.versions()] == [signed.hash]
    assert [p.name for p in book.folder.iterdir()] == ["consortium-1.toml"]
    again = book.version(1)
    assert again is not None
    assert again.signatures == signed.signatures
    assert book.version(2) is None


def test_what_must_not_be_used_is_not_installed(
    consortium: Consortium, book: Book, tmp_path: Path
) -> None:
    """With a signature missing, no TOML, or not there at all: nothing is left in the book."""
    signed = consortium.signed()
    half = replace(signed, signatures=signed.signatures[:2])
    with pytest.raises(SignatureError, match="C has not signed"):
        book.install(written(tmp_path, half))
    (tmp_path / "bad.toml").write_text("members = [")
    for path in (tmp_path / "bad.toml", tmp_path / "none.toml", tmp_path):
        with pytest.raises(AgreementFileError):
            book.install(path)
    assert not book.folder.exists()


def test_versions_are_installed_in_order(
    consortium: Consortium, book: Book, tmp_path: Path
) -> None:
    """None left out, none replaced, none older; a new member may begin with a later one."""
    first = consortium.signed()
    second = follow(consortium, first)
    third = follow(consortium, second, effective="2026-12-10")
    installed(book, tmp_path, first)
    with pytest.raises(VersionError, match="version 2 is not installed here"):
        book.install(written(tmp_path, third))
    with pytest.raises(VersionError, match="another agreement is installed as version 1"):
        book.install(written(tmp_path, consortium.signed(scope="Others.")))
    installed(book, tmp_path, second, third)
    assert [s.agreement.version for s in book.versions()] == [1, 2, 3]
    late = Book(tmp_path / "late")
    installed(late, tmp_path, second, third)
    with pytest.raises(VersionError, match="version 3 is installed here, and 1 is older"):
        late.install(written(tmp_path, first))
    book.install(written(tmp_path, first))


def test_one_version_is_in_effect_at_a_time(
    consortium: Consortium, book: Book, tmp_path: Path
) -> None:
    """From its date of effect a version takes the place of the one before; at its end all stops."""
    first = consortium.signed()
    second = follow(consortium, first, expires="2027-01-15")
    installed(book, tmp_path, first, second)
    for time, in_effect, coming in (
        ("2026-10-31T23:59:59Z", None, first),
        ("2026-11-01", first, second),
        ("2026-11-30T23:59:59Z", first, second),
        ("2026-12-01", second, None),
        ("2027-01-14T23:59:59Z", second, None),
        ("2027-01-15", None, None),
    ):
        now = moment_us(time)
        for found, expected in ((book.in_effect(now), in_effect), (book.coming(now), coming)):
            assert (found and found.hash) == (expected and expected.hash), time


def test_an_agreement_that_was_changed_on_disk_is_not_followed(
    consortium: Consortium, book: Book, tmp_path: Path
) -> None:
    """A value edited in the node's folder is found at the next look; a comment is not minded."""
    signed = consortium.signed()
    installed(book, tmp_path, signed)
    now = signed.agreement.effective_us
    assert book.in_effect(now) is book.in_effect(now)
    kept = book.folder / "consortium-1.toml"
    kept.write_text(f"# ours\n{kept.read_text()}")
    found = book.in_effect(now)
    assert found is not None
    assert found.hash == signed.hash
    kept.write_text(kept.read_text().replace("bits = 1_000_000", "bits = 9_000_000"))
    with pytest.raises(SignatureError, match=r"consortium-1\.toml: the signature of A"):
        book.in_effect(now)
    kept.write_text(render(signed))
    kept.rename(book.folder / "consortium-7.toml")
    with pytest.raises(VersionError, match=r"consortium-7\.toml: its name"):
        book.in_effect(now)


def test_a_run_under_the_version_before_is_refused(consortium: Consortium) -> None:
    """On the date of effect the old version's runs, scheduled or not, are another agreement's."""
    first = consortium.signed()
    second = follow(consortium, first)
    now = moment_us("2026-12-01T02:00:00Z")
    old = scheduled_manifest(first, "nightly-risk", "2026-12-01T02:00:00Z")
    new = scheduled_manifest(second, "nightly-risk", "2026-12-01T02:00:00Z")
    assert old.run_id != new.run_id
    check_manifest(new, second, now)
    proposed = proposed_manifest(first, "A", "pagerank", {}, "bands:0.2,0.5,0.8", now)
    for manifest in (old, proposed):
        with pytest.raises(OtherAgreement):
            check_manifest(manifest, second, now)


# What a change brings.


def test_the_removal_of_a_member(other: Consortium) -> None:
    """Schedules go on, columns are discarded whatever was agreed, budgets carry."""
    first = other.signed()
    rest = [seat.entry for name, seat in other.seats.items() if name != "C"]
    second = follow(other, first, members=rest, transition={"columns": "keep"})
    found = change(first, second)
    assert (found.removed, found.added, found.keys_changed) == (("C",), (), ())
    assert found.columns == "discard"
    assert found.budgets == "carry"
    assert found.schedules_kept == ("nightly-risk", "weekly-columns")
    assert (found.schedules_dropped, found.schedules_new) == ((), ())


def test_the_removal_of_a_member_that_begins_anew(other: Consortium) -> None:
    """With restart and reset all schedules begin again, and so do the budgets."""
    first = other.signed()
    rest = [seat.entry for name, seat in other.seats.items() if name != "C"]
    transition = {"schedules": "restart", "columns": "discard", "budgets": "reset"}
    found = change(first, follow(other, first, members=rest, transition=transition))
    assert found.schedules_kept == ()
    assert found.schedules_dropped == found.schedules_new == ("nightly-risk", "weekly-columns")
    assert (found.columns, found.budgets) == ("discard", "reset")


@pytest.mark.parametrize(
    ("transition", "expected"),
    [({"columns": "keep"}, "keep"), ({"columns": "discard"}, "discard"), ({}, "discard")],
)
def test_columns_are_kept_only_if_agreed(
    consortium: Consortium, transition: dict[str, str], expected: str
) -> None:
    """With the same members in the same order the transition decides."""
    first = consortium.signed()
    assert change(first, follow(consortium, first, transition=transition)).columns == expected


def _changed_members(consortium: Consortium, case: str) -> dict[str, Any]:
    entries = [dict(seat.entry) for seat in consortium.seats.values()]
    if case == "order":
        return {"members": entries[::-1]}
    if case == "role":
        return {"members": [*entries[:2], entries[2] | {"role": "compute"}]}
    if case == "engine":
        return {"engine": "2"}
    return {"members": [*entries[:2], entries[2] | {"host": "c.example", "key": "ab" * 32}]}


@pytest.mark.parametrize(
    ("case", "expected"),
    [("order", "discard"), ("role", "discard"), ("engine", "discard"), ("key", "keep")],
)
def test_columns_are_bound_to_members_roles_order_and_engine(
    consortium: Consortium, case: str, expected: str
) -> None:
    """Any of these discards them; a member's new key or address does not."""
    first = consortium.signed()
    changes = _changed_members(consortium, case)
    second = follow(consortium, first, transition={"columns": "keep"}, **changes)
    found = change(first, second)
    assert found.columns == expected
    assert found.keys_changed == (("C",) if case == "key" else ())


def test_a_schedule_with_other_terms_is_dropped_and_new(consortium: Consortium) -> None:
    """One that is as it was goes on; one that changed or is gone is dropped; the rest is new."""
    first = consortium.signed()
    nightly, weekly = first.agreement.model_dump(mode="json")["schedules"]
    later = nightly | {"cron": "0 3 * * *"}
    extra = nightly | {"name": "second"}
    found = change(first, follow(consortium, first, schedules=[later, extra, weekly]))
    assert found.schedules_kept == ("weekly-columns",)
    assert found.schedules_dropped == ("nightly-risk",)
    assert found.schedules_new == ("nightly-risk", "second")


def test_a_new_member_is_told(consortium: Consortium, other: Consortium) -> None:
    """A member that joins is in added, and the columns are discarded."""
    wider = replace(consortium, seats=consortium.seats | {"D": other.seats["D"]})
    first = consortium.signed()
    found = change(first, follow(wider, first))
    assert (found.added, found.columns) == (("D",), "discard")


# Budgets.


def test_periods_follow_the_calendar(consortium: Consortium) -> None:
    """A day, a week from Monday, or a month, in UTC."""
    now = moment_us("2026-12-31T23:59:59Z")
    for period, label, begin, end in (
        ("day", "2026-12-31", "2026-12-31", "2027-01-01"),
        ("week", "2026-W53", "2026-12-28", "2027-01-04"),
        ("month", "2026-12", "2026-12-01", "2027-01-01"),
    ):
        agreement = consortium.unsigned(budgets={"period": period, "bits": 5, "banks": {"B": 3}})
        assert period_of(agreement, now) == (label, moment_us(begin), moment_us(end))
        assert [budget_of(agreement, bank) for bank in "ABC"] == [5, 3, 5]


@RELAXED
@given(st.integers(0, 4 * 10**15), st.sampled_from(["day", "week", "month"]))
def test_each_moment_is_in_exactly_one_period(
    consortium: Consortium, now: int, period: str
) -> None:
    """A period holds its moments, its label is theirs alone, and the next begins where it ends."""
    agreement = consortium.unsigned(budgets={"period": period, "bits": 1})
    label, begin, end = period_of(agreement, now)
    assert begin <= now < end
    assert period_of(agreement, begin) == period_of(agreement, end - 1) == (label, begin, end)
    after = period_of(agreement, end)
    assert after[0] != label
    assert after[1] == end
    assert moment_text(begin).endswith("T00:00:00Z")


def test_a_reset_begins_the_period_anew(consortium: Consortium, book: Book, tmp_path: Path) -> None:
    """Within the period of a reset its version is part of the label; a later carry leaves it so."""
    first = consortium.signed()
    second = follow(consortium, first, effective="2026-11-10", transition={"budgets": "reset"})
    third = follow(consortium, second, effective="2026-11-20")
    installed(book, tmp_path, first, second, third)
    for time, label in (
        ("2026-11-09", "2026-11"),
        ("2026-11-10", "2026-11/v2"),
        ("2026-11-25", "2026-11/v2"),
        ("2026-12-01", "2026-12"),
    ):
        assert book.period(moment_us(time))[0] == label
    with pytest.raises(AgreementError, match="no agreement is in effect"):
        book.period(moment_us("2028-01-01"))


def test_a_book_is_quick_to_ask(consortium: Consortium, book: Book, tmp_path: Path) -> None:
    """What was verified is not verified again while its file is the same."""
    installed(book, tmp_path, consortium.signed())
    now = moment_us("2026-11-24")
    first = book.in_effect(now)
    assert all(book.in_effect(now + i * HOUR) is first for i in range(200))
    assert load_agreement(book.folder / "consortium-1.toml") is not first
