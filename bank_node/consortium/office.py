"""What founder and members do with the files of an agreement, one function for each step.

The founder makes a draft (``begin``) and adds the members' requests (``add``); each member signs
the draft (``sign``); the signatures are put together (``merge``); each node installs the result.
Every file is written whole or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bank_node.consortium.agreement import Agreement, Member, Signature, SignedAgreement
from bank_node.consortium.book import Book
from bank_node.consortium.drafting import draft, next_version, render, rewrite
from bank_node.consortium.errors import (
    AgreementError,
    AgreementFileError,
    JoinRequestError,
    NoSuchMemberError,
    SignatureError,
)
from bank_node.consortium.reading import load_agreement, parse_text, read_text
from bank_node.consortium.request import (
    Entry,
    JoinRequest,
    load_request,
    make_request,
    member_of,
    request_text,
)
from bank_node.consortium.terms import check_terms
from bank_node.consortium.verification import check_members, check_version
from bank_node.files import PUBLIC, replace_file
from bank_node.identity import (
    Authority,
    AuthorityError,
    SigningKey,
    create_signing_key,
    create_tls_key,
    find_signing_key,
    install_certificate,
    latest,
    verify,
)
from bank_node.job import CredentialPaths

__all__ = [
    "Added",
    "add",
    "ask_to_join",
    "begin",
    "check_before_signing",
    "merge",
    "open_authority",
    "own_request",
    "remove",
    "rotate_keys",
    "sign",
    "succeed",
]


@dataclass(frozen=True)
class Added:
    """A member that was added, and the entry it took the place of, if any."""

    member: Member
    replaced: Member | None


def ask_to_join(entry: Entry, keys: Path, out: Path) -> JoinRequest:
    """Write a member's request to join."""
    request = own_request(entry, keys)
    _write(out, request_text(request))
    return request


def own_request(entry: Entry, keys: Path) -> JoinRequest:
    """Return a member's request to join; keys are made if there are none."""
    signing = latest(keys, "signing") or create_signing_key(keys)
    tls = latest(keys, "tls") or create_tls_key(keys)
    return make_request(entry, SigningKey.load(signing), tls)


def rotate_keys(entry: Entry, keys: Path, book: Book, out: Path) -> JoinRequest:
    """Make new keys and write the request that has them take the place of the old ones.

    The old keys stay until the agreement that names them has ended.
    """
    old = _present_key(entry.id, keys, book)
    new = SigningKey.load(create_signing_key(keys))
    request = make_request(entry, new, create_tls_key(keys), old)
    _write(out, request_text(request))
    return request


def _present_key(member: str, keys: Path, book: Book) -> SigningKey:
    """Return the key that the latest installed agreement names, else the latest of the folder."""
    versions = book.versions()
    own = versions[-1].agreement.member(member) if versions else None
    if own is not None:
        return find_signing_key(keys, own.key)
    path = latest(keys, "signing")
    if path is None:
        raise JoinRequestError(
            f"{member} has no key that could be replaced",
            "Join first: undercurrent consortium join",
        )
    return SigningKey.load(path)


def open_authority(folder: Path, consortium: str | None = None) -> Authority:
    """Return the authority in a folder; with a consortium, made if there is none.

    Raises:
        AuthorityError: there is none, or it is another consortium's.
    """
    if consortium is not None and not folder.exists():
        return Authority.create(folder, consortium)
    if not folder.is_dir():
        raise AuthorityError(
            f"there is no authority in {folder}", "Only the founder has it: name it by --authority"
        )
    authority = Authority.load(folder)
    if consortium is not None and authority.consortium != consortium:
        raise AuthorityError(
            f"the authority in {folder} is of consortium {authority.consortium}",
            "Name another folder: --authority",
        )
    return authority


def begin(
    authority: Authority, own: JoinRequest, effective: str, expires: str, days: int, out: Path
) -> Agreement:
    """Write the draft of a new agreement with the founder as its first member."""
    agreement = draft(own.consortium, authority.certificate_pem, effective, expires)
    members = (member_of(own, authority, days),)
    agreement = agreement.model_copy(update={"members": members})
    _write(out, render(SignedAgreement(agreement)))
    return agreement


def succeed(before: Path, effective: str, expires: str, out: Path) -> SignedAgreement:
    """Write the draft of the version that follows an agreement."""
    text = next_version(read_text(before), effective, expires)
    _write(out, text)
    return parse_text(text, str(out))


def add(request_path: Path, path: Path, authority: Authority, days: int) -> Added:
    """Add the member of a request to a draft, or replace its entry; signatures are dropped.

    Raises:
        JoinRequestError: the request is not the member's own, or the id is taken.
    """
    request = load_request(request_path)
    text = read_text(path)
    agreement = parse_text(text, str(path)).agreement
    old = agreement.member(request.id)
    _check_place(request, old)
    member = member_of(request, authority, days)
    members = tuple(member if m.id == member.id else m for m in agreement.members)
    _write(path, rewrite(text, members if old is not None else (*members, member), ()))
    return Added(member, old)


def _check_place(request: JoinRequest, old: Member | None) -> None:
    """Refuse to put anybody in the place of a member who has not signed for it."""
    if old is None:
        if request.replaces:
            raise JoinRequestError(
                f"{request.id} would replace a key, but is no member of this draft",
                "Let it join: undercurrent consortium join",
            )
        return
    if old.key not in (request.key, request.replaces):
        raise JoinRequestError(
            f"{request.id} is a member with another key, and that key has not signed the request",
            "Let it replace its keys (undercurrent consortium rotate-key), or choose another id",
        )
    if old.role != request.role:
        raise JoinRequestError(
            f"{request.id} is a member with role {old.role}", "Remove it first, then add it"
        )


def remove(name: str, path: Path) -> Agreement:
    """Remove a member from a draft; signatures are dropped.

    Raises:
        NoSuchMemberError: there is no such member.
        AgreementError: a term of the agreement names it.
    """
    text = read_text(path)
    agreement = parse_text(text, str(path)).agreement
    if agreement.member(name) is None:
        raise NoSuchMemberError(
            f"{name} is no member", f"Members are {', '.join(m.id for m in agreement.members)}"
        )
    named = _terms_that_name(name, agreement)
    if named:
        raise AgreementError(
            f"{name} stands in {' and in '.join(named)}", f"Take it out there first, in {path}"
        )
    members = tuple(member for member in agreement.members if member.id != name)
    _write(path, rewrite(text, members, ()))
    return agreement.model_copy(update={"members": members})


def _terms_that_name(name: str, agreement: Agreement) -> list[str]:
    named = [f"who of {r.name}" for r in agreement.analyses if r.who != "all" and name in r.who]
    if name in agreement.budgets.banks:
        named.append("the budgets")
    for schedule in agreement.schedules:
        asking = schedule.parameters.get("traces", "").split(",")
        if any(part.rpartition("=")[0] == name for part in asking):
            named.append(f"traces of schedule {schedule.name}")
    return named


def check_before_signing(
    signed: SignedAgreement, me: str, keys: Path, previous: SignedAgreement | None
) -> SigningKey:
    """Return the key with which this member signs, after everything but signatures is verified.

    Raises:
        NoSuchMemberError: the agreement does not name this member.
        AgreementError: it must not be used.
    """
    member = signed.agreement.member(me)
    if member is None:
        raise NoSuchMemberError(
            f"{me} is no member of this agreement",
            "Send the founder a request: undercurrent consortium join",
        )
    check_members(signed.agreement)
    check_terms(signed.agreement)
    check_version(signed, previous)
    return find_signing_key(keys, member.key)


def sign(
    path: Path, shown: SignedAgreement, me: str, key: SigningKey, keys: Path, out: Path
) -> CredentialPaths:
    """Add this member's signature, and put its certificate and the authority's into its keys.

    Args:
        path: file of the agreement.
        shown: what was checked and shown: nothing else is signed.
        me: id of this member.
        key: as from ``check_before_signing``.
        keys: folder of this member's keys.
        out: file for the signed copy.
    """
    text = read_text(path)
    signed = parse_text(text, str(path))
    member = signed.agreement.member(me)
    if signed.hash != shown.hash or member is None:
        raise AgreementFileError(f"{path} was changed after it was shown", "Sign it again")
    paths = install_certificate(keys, member.certificate_pem, signed.agreement.authority)
    own = Signature(member=me, signature=key.sign(signed.signed_bytes).hex())
    others = [s for s in signed.signatures if s.member != me]
    _write(out, rewrite(text, signed.agreement.members, _ordered(signed, [*others, own])))
    return paths


def merge(path: Path, others: Sequence[Path], out: Path) -> SignedAgreement:
    """Put the signatures of several copies of one agreement together.

    Raises:
        AgreementFileError: a copy says something else.
        SignatureError: a signature is not of this text.
    """
    text = read_text(path)
    signed = parse_text(text, str(path))
    found: dict[str, Signature] = {}
    for copy in (path, *others):
        other = signed if copy == path else load_agreement(copy)
        if other.hash != signed.hash:
            raise AgreementFileError(
                f"{copy} has other values than {path}", "Let its member sign the same text"
            )
        for signature in other.signatures:
            _check_signature(signature, signed, copy)
            found[signature.member] = signature
    signatures = _ordered(signed, list(found.values()))
    _write(out, rewrite(text, signed.agreement.members, signatures))
    return replace(signed, signatures=tuple(signatures))


def _check_signature(signature: Signature, signed: SignedAgreement, path: Path) -> None:
    member = signed.agreement.member(signature.member)
    raw = bytes.fromhex(signature.signature)
    if member is None or not verify(member.key, signed.signed_bytes, raw):
        raise SignatureError(
            f"the signature of {signature.member} in {path} is not of this text",
            f"{signature.member} has to sign it: undercurrent consortium sign",
        )


def _ordered(signed: SignedAgreement, signatures: list[Signature]) -> list[Signature]:
    order = {member.id: i for i, member in enumerate(signed.agreement.members)}
    return sorted(signatures, key=lambda s: order.get(s.member, len(order)))


def _write(path: Path, text: str) -> None:
    replace_file(path, text.encode(), PUBLIC)
