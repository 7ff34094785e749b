"""The steps from a request to a signed agreement, with files and real keys."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bank_node.consortium import Book, SignedAgreement, load_agreement, office, verify_agreement
from bank_node.consortium.errors import (
    AgreementError,
    AgreementFileError,
    JoinRequestError,
    MembersError,
    NoSuchMemberError,
    SignatureError,
    VersionError,
)
from bank_node.consortium.request import (
    Entry,
    JoinRequest,
    entry_of,
    load_request,
    make_request,
    request_text,
)
from bank_node.identity import (
    Authority,
    AuthorityError,
    MissingKeyError,
    SigningKey,
    create_signing_key,
    create_tls_key,
    find_credentials,
)

TERM = ("2026-11-01", "2027-11-01")


def entry(name: str, port: int = 0, consortium: str = "nordic") -> Entry:
    """What a bank says of itself."""
    first = port or 9400 + 10 * ord(name)
    return entry_of(consortium, name, "bank", f"BANK{name}{name}22", "127.0.0.1", (first, 4))


@dataclass(frozen=True)
class Desk:
    """A folder with the founder's authority, a draft, and the keys of three banks."""

    folder: Path
    authority: Authority

    @property
    def draft(self) -> Path:
        return self.folder / "consortium.toml"

    def keys(self, name: str) -> Path:
        return self.folder / name

    def join(self, name: str) -> Path:
        path = self.folder / f"request-{name}.toml"
        office.ask_to_join(entry(name), self.keys(name), path)
        return path

    def add(self, name: str) -> office.Added:
        return office.add(self.join(name), self.draft, self.authority, 800)

    def sign(
        self, name: str, path: Path, out: Path, previous: SignedAgreement | None = None
    ) -> None:
        signed = load_agreement(path)
        key = office.check_before_signing(signed, name, self.keys(name), previous)
        office.sign(path, signed, name, key, self.keys(name), out)

    def sign_all(self, path: Path, names: str = "ABC") -> Path:
        copies = [self.folder / f"signed-{name}.toml" for name in names]
        for name, copy in zip(names, copies, strict=True):
            self.sign(name, path, copy, self.previous(path))
        out = self.folder / f"full-{path.name}"
        office.merge(copies[0], copies[1:], out)
        return out

    def previous(self, path: Path) -> SignedAgreement | None:
        version = load_agreement(path).agreement.version
        return None if version == 1 else load_agreement(self.folder / "full-consortium.toml")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """The founder A has a draft and has added B and C."""
    desk = Desk(tmp_path, office.open_authority(tmp_path / "authority", "nordic"))
    own = office.own_request(entry("A"), desk.keys("A"))
    office.begin(desk.authority, own, *TERM, 800, desk.draft)
    desk.add("B")
    desk.add("C")
    return desk


def test_from_requests_to_an_agreement_in_force(desk: Desk, tmp_path: Path) -> None:
    """Founder and two banks end with a file that all signed, and with credentials for it."""
    full = desk.sign_all(desk.draft)
    signed = load_agreement(full)
    verify_agreement(signed)
    for member in signed.agreement.members:
        paths = find_credentials(desk.keys(member.id), member.certificate)
        assert paths.authority.read_text() == signed.agreement.authority
    assert Book(tmp_path / "agreements").install(full).hash == signed.hash


def test_a_comment_of_the_founder_survives_all_steps(desk: Desk) -> None:
    """Adding, signing and merging touch only the part below the marked line."""
    noted = desk.draft.read_text().replace("[budgets]", "# reviewed by counsel\n[budgets]")
    desk.draft.write_text(noted)
    desk.add("D")
    full = desk.sign_all(desk.draft, "ABCD")
    assert "# reviewed by counsel\n[budgets]" in full.read_text()
    office.succeed(full, "2026-12-01", "2027-11-01", desk.folder / "second.toml")
    assert "# reviewed by counsel\n[budgets]" in (desk.folder / "second.toml").read_text()


def spoiled(path: Path, change: Callable[[JoinRequest], JoinRequest]) -> Path:
    """A request that was changed on its way."""
    path.write_text(request_text(change(load_request(path))))
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "evil.example"},
        {"ports": (9999, 4)},
        {"bic": "EVILDE22"},
        {"role": "compute"},
        {"id": "E"},
        {"consortium": "baltic"},
        {"signature": "00" * 64},
        {"signature": ""},
    ],
)
def test_a_request_that_was_changed_is_refused(desk: Desk, changes: dict[str, object]) -> None:
    """Every field of a request is under its signature, and nothing is added."""
    path = spoiled(desk.join("D"), lambda r: r.model_copy(update=changes))
    before = desk.draft.read_text()
    with pytest.raises(JoinRequestError, match="not signed with the key that it names"):
        office.add(path, desk.draft, desk.authority, 800)
    assert desk.draft.read_text() == before


def test_a_request_with_anothers_certificate_request_is_refused(desk: Desk) -> None:
    """Signed by its sender, but with the certificate request of another id."""
    keys = desk.keys("D")
    other = make_request(
        entry("E"), SigningKey.load(create_signing_key(keys)), create_tls_key(keys)
    )
    key = SigningKey.load(create_signing_key(keys))
    mixed = make_request(entry("D"), key, create_tls_key(keys)).model_copy(
        update={"csr": other.csr}
    )
    mixed = mixed.model_copy(update={"signature": key.sign(mixed.signed_bytes()).hex()})
    path = desk.folder / "mixed.toml"
    path.write_text(request_text(mixed))
    with pytest.raises(JoinRequestError, match="does not name D of nordic"):
        office.add(path, desk.draft, desk.authority, 800)


def test_a_request_for_another_consortium_is_refused(desk: Desk) -> None:
    """The founder's authority names members of its own consortium only."""
    path = desk.folder / "baltic.toml"
    office.ask_to_join(entry("D", consortium="baltic"), desk.keys("D"), path)
    with pytest.raises(JoinRequestError, match="for consortium baltic, not for nordic"):
        office.add(path, desk.draft, desk.authority, 800)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "consortium"),
        ("id = [", "request"),
        ("id = 'D'\nextra = 1", "extra|role|consortium"),
    ],
)
def test_what_is_no_request_is_refused(desk: Desk, text: str, said: str) -> None:
    """No TOML, missing or unknown fields: told with the field."""
    path = desk.folder / "request.toml"
    path.write_text(text)
    with pytest.raises((JoinRequestError, AgreementFileError), match=said):
        office.add(path, desk.draft, desk.authority, 800)


def test_a_weak_key_in_a_request_is_refused(desk: Desk) -> None:
    """A key under which anybody could sign gets no entry, whatever its signature."""
    path = spoiled(desk.join("D"), lambda r: r.model_copy(update={"key": "00" * 32}))
    with pytest.raises(JoinRequestError):
        office.add(path, desk.draft, desk.authority, 800)


def test_an_entry_that_cannot_stand_in_an_agreement_is_refused() -> None:
    """A wrong host or port is told when the request is made, not when all sign."""
    with pytest.raises(JoinRequestError, match="host"):
        entry_of("nordic", "D", "bank", "", "no host", (9400, 4))
    with pytest.raises(JoinRequestError, match="ports"):
        entry_of("nordic", "D", "bank", "", "d.example", (9400, 1))


def test_nobody_takes_the_place_of_a_member(desk: Desk) -> None:
    """Another key under the id of a member is refused; the member itself may correct its entry."""
    thief = desk.folder / "thief.toml"
    office.ask_to_join(entry("B"), desk.folder / "thief", thief)
    with pytest.raises(JoinRequestError, match="that key has not signed the request"):
        office.add(thief, desk.draft, desk.authority, 800)
    moved = desk.folder / "moved.toml"
    office.ask_to_join(entry("B", 9999), desk.keys("B"), moved)
    added = office.add(moved, desk.draft, desk.authority, 800)
    assert added.replaced is not None
    agreement = load_agreement(desk.draft).agreement
    assert [m.id for m in agreement.members] == ["A", "B", "C"]
    assert agreement.members[1].ports == (9999, 4)


def test_a_member_rotates_its_keys(desk: Desk, tmp_path: Path) -> None:
    """Both keys sign the request; old and new credentials are found by what each version names."""
    full = desk.sign_all(desk.draft)
    book = Book(tmp_path / "agreements")
    book.install(full)
    request = desk.folder / "rotate-B.toml"
    made = office.rotate_keys(entry("B"), desk.keys("B"), book, request)
    first = load_agreement(full)
    old = first.agreement.members[1]
    assert made.replaces == old.key
    second = desk.folder / "second.toml"
    office.succeed(full, "2026-12-01", "2027-11-01", second)
    added = office.add(request, second, desk.authority, 800)
    assert added.replaced == old
    assert added.member.key == made.key != old.key
    done = desk.sign_all(second)
    verify_agreement(load_agreement(done), previous=first)
    book.install(done)
    for member in (old, added.member):
        paths = find_credentials(desk.keys("B"), member.certificate)
        assert paths.private_key.name == ("tls-1.pem" if member is old else "tls-2.pem")


def test_a_rotation_without_the_old_key_is_refused(desk: Desk) -> None:
    """The continuity must be signed by the key that is replaced, over the same request."""
    book = Book(desk.folder / "none")
    path = desk.folder / "rotate-B.toml"
    office.rotate_keys(entry("B"), desk.keys("B"), book, path)
    good = path.read_text()
    for changes in ({"continuity": ""}, {"continuity": "00" * 64}):
        path.write_text(good)
        spoiled(path, lambda r, c=changes: r.model_copy(update=c))  # type: ignore[misc]
        with pytest.raises(JoinRequestError, match="not signed with the key that it replaces"):
            office.add(path, desk.draft, desk.authority, 800)
    path.write_text(good)
    office.remove("B", desk.draft)
    with pytest.raises(JoinRequestError, match="is no member of this draft"):
        office.add(path, desk.draft, desk.authority, 800)
    with pytest.raises(JoinRequestError, match="no key that could be replaced"):
        office.rotate_keys(entry("Z"), desk.keys("Z"), book, path)


def test_a_member_with_another_role_does_not_take_its_own_place(desk: Desk) -> None:
    """A role is not changed by a request."""
    path = desk.folder / "role.toml"
    own = entry("B").model_copy(update={"role": "compute"})
    office.ask_to_join(own, desk.keys("B"), path)
    with pytest.raises(JoinRequestError, match="member with role bank"):
        office.add(path, desk.draft, desk.authority, 800)


def test_a_change_of_the_draft_drops_its_signatures(desk: Desk) -> None:
    """A signature is of the text as it was; after add or remove nobody has signed."""
    desk.sign("A", desk.draft, desk.draft)
    assert [s.member for s in load_agreement(desk.draft).signatures] == ["A"]
    desk.add("D")
    assert load_agreement(desk.draft).signatures == ()
    desk.sign("A", desk.draft, desk.draft)
    office.remove("D", desk.draft)
    assert load_agreement(desk.draft).signatures == ()


def test_a_member_that_is_named_in_the_terms_is_not_removed(desk: Desk) -> None:
    """The terms that name it are told; without them it goes."""
    text = desk.draft.read_text()
    desk.draft.write_text(
        text.replace("banks = {}", "banks = { C = 5 }").replace(
            'who = "all"', 'who = ["A", "C"]', 1
        )
    )
    with pytest.raises(AgreementError, match="C stands in who of risk-propagation and in the bud"):
        office.remove("C", desk.draft)
    with pytest.raises(NoSuchMemberError, match="Z is no member"):
        office.remove("Z", desk.draft)
    desk.draft.write_text(text)
    assert [m.id for m in office.remove("C", desk.draft).members] == ["A", "B"]


def test_what_is_faulty_is_not_signed(desk: Desk) -> None:
    """Everything but the signatures is verified before a member signs."""
    office.remove("C", desk.draft)
    with pytest.raises(MembersError, match="2 members are too few"):
        desk.sign("A", desk.draft, desk.draft)
    assert load_agreement(desk.draft).signatures == ()


def test_only_a_member_with_its_key_signs(desk: Desk) -> None:
    """A stranger, or a member whose key is not in its folder, cannot."""
    with pytest.raises(NoSuchMemberError, match="Z is no member"):
        desk.sign("Z", desk.draft, desk.draft)
    shutil.rmtree(desk.keys("B"))
    with pytest.raises(MissingKeyError):
        desk.sign("B", desk.draft, desk.draft)


def test_what_was_not_shown_is_not_signed(desk: Desk) -> None:
    """A file that is changed between the look and the signature is refused."""
    shown = load_agreement(desk.draft)
    key = office.check_before_signing(shown, "A", desk.keys("A"), None)
    desk.draft.write_text(desk.draft.read_text().replace("max = 0.3 ", "max = 0.9 "))
    with pytest.raises(AgreementFileError, match="changed after it was shown"):
        office.sign(desk.draft, shown, "A", key, desk.keys("A"), desk.draft)


def test_a_version_that_does_not_follow_is_not_signed(desk: Desk) -> None:
    """The version before is checked before signing where it is known."""
    full = desk.sign_all(desk.draft)
    second = desk.folder / "second.toml"
    office.succeed(full, "2026-10-01", "2027-11-01", second)
    with pytest.raises(VersionError, match="no later than version 1"):
        desk.sign("A", second, second, load_agreement(full))


def test_signing_again_replaces_the_own_signature(desk: Desk) -> None:
    """A member stands once among the signatures, in the order of the members."""
    for name in "CABA":
        desk.sign(name, desk.draft, desk.draft)
    assert [s.member for s in load_agreement(desk.draft).signatures] == ["A", "B", "C"]
    verify_agreement(load_agreement(desk.draft))


def test_copies_of_other_texts_are_not_merged(desk: Desk) -> None:
    """Another value, or a signature that is not of this text, is refused by name."""
    one, two = desk.folder / "one.toml", desk.folder / "two.toml"
    desk.sign("A", desk.draft, one)
    desk.sign("B", desk.draft, two)
    good = two.read_text()
    two.write_text(good.replace("max = 0.3 ", "max = 0.2 "))
    before = one.read_text()
    with pytest.raises(AgreementFileError, match="other values"):
        office.merge(one, [two], one)
    signature = load_agreement(one).signatures[0].signature
    own = SignedAgreement(load_agreement(desk.draft).agreement)
    two.write_text(good.replace(_signature_of(two, good), signature))
    with pytest.raises(SignatureError, match="signature of B in"):
        office.merge(one, [two], one)
    assert one.read_text() == before
    two.write_text(good)
    assert [s.member for s in office.merge(one, [two], one).signatures] == ["A", "B"]
    assert load_agreement(one).hash == own.hash


def _signature_of(path: Path, text: str) -> str:
    path.write_text(text)
    return load_agreement(path).signatures[0].signature


def test_the_authority_is_the_consortiums_own(desk: Desk) -> None:
    """It is found again, and one of another consortium, or none, is refused."""
    folder = desk.folder / "authority"
    assert office.open_authority(folder, "nordic").certificate_pem == desk.authority.certificate_pem
    with pytest.raises(AuthorityError, match="of consortium nordic"):
        office.open_authority(folder, "baltic")
    with pytest.raises(AuthorityError, match="no authority"):
        office.open_authority(desk.folder / "elsewhere")
