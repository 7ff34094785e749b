"""Whether an agreement may be used: the first fault of its members, terms, version or signatures.

The fingerprint in the agreement pins each member's certificate and the member's own signature
stands behind both, so an authority alone can neither add a member nor replace a certificate.
"""

from bank_node.analyses import find_analysis
from bank_node.consortium.agreement import SCHEDULE, Agreement, Member, SignedAgreement
from bank_node.consortium.bounds import Finder
from bank_node.consortium.canonical import first_twice, moment_text
from bank_node.consortium.errors import (
    MemberCertificateError,
    MembersError,
    SignatureError,
    VersionError,
)
from bank_node.consortium.terms import check_terms
from bank_node.identity import (
    CertificateError,
    check_authority,
    check_certificate,
    expiry,
    fingerprint,
    is_public_key,
    verify,
)

__all__ = ["check_members", "check_signatures", "check_version", "verify_agreement"]

_FEWEST, _MOST = 3, 64
_AGREE = "Correct the draft; all members sign it afterwards"


def verify_agreement(
    signed: SignedAgreement,
    *,
    previous: SignedAgreement | None = None,
    finder: Finder = find_analysis,
) -> None:
    """Refuse an agreement that must not be used.

    Args:
        signed: the agreement with its signatures.
        previous: the version before; None: this is the first, or the first that this member sees.
        finder: gives an analysis by its name.

    Raises:
        AgreementError: the first fault, with what to do about it.
    """
    check_members(signed.agreement)
    check_terms(signed.agreement, finder)
    check_version(signed, previous)
    check_signatures(signed)


def check_members(agreement: Agreement) -> None:
    """Refuse members that are too few, not distinct, or whose certificates are not their own."""
    members = agreement.members
    if not _FEWEST <= len(members) <= _MOST:
        raise MembersError(
            f"{len(members)} members are {'too few' if len(members) < _FEWEST else 'too many'}",
            f"There must be {_FEWEST} to {_MOST}; a compute party without data counts",
        )
    _check_distinct(members)
    try:
        check_authority(agreement.authority)
    except CertificateError as error:
        raise MemberCertificateError(error.message, error.remedy) from error
    for member in members:
        _check_certificate(member, agreement)


def _check_distinct(members: tuple[Member, ...]) -> None:
    for what, values in (
        ("id", [member.id for member in members]),
        ("key", [member.key for member in members]),
        ("certificate", [member.certificate for member in members]),
    ):
        twice = first_twice(values)
        if twice is not None:
            names = [m.id for m, value in zip(members, values, strict=True) if value == twice]
            raise MembersError(f"two members have the same {what}: {', '.join(names)}", _AGREE)
    for i, one in enumerate(members):
        for other in members[:i]:
            if one.host.lower() == other.host.lower() and _overlap(one.ports, other.ports):
                raise MembersError(
                    f"members {other.id} and {one.id} have ports in common at {one.host}", _AGREE
                )
    if any(member.id == SCHEDULE for member in members):
        raise MembersError(f"a member cannot be called {SCHEDULE}", "Give it another id")


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[0] + other[1] and other[0] < one[0] + one[1]


def _check_certificate(member: Member, agreement: Agreement) -> None:
    if not is_public_key(member.key):
        raise MembersError(
            f"the key of {member.id} is one under which anybody could sign",
            "The member has to make another: undercurrent consortium join",
        )
    if fingerprint(member.certificate_pem) != member.certificate:
        raise MemberCertificateError(
            f"the certificate of {member.id} has another fingerprint than the one named",
            "Add its request again: undercurrent consortium add",
        )
    try:
        check_certificate(
            member.certificate_pem, agreement.authority, agreement.consortium, member.id
        )
    except CertificateError as error:
        raise MemberCertificateError(error.message, error.remedy) from error
    end = expiry(member.certificate_pem)
    if end < agreement.expires_us:
        raise MemberCertificateError(
            f"the certificate of {member.id} ends at {moment_text(end)}, before the agreement does",
            "Add its request again (undercurrent consortium add --days), or let the agreement end"
            " earlier",
        )


def check_version(signed: SignedAgreement, previous: SignedAgreement | None) -> None:
    """Refuse what does not follow the version before."""
    new = signed.agreement
    if (new.version == 1) != (new.previous == ""):
        raise VersionError(
            f"version {new.version} {'names' if new.previous else 'does not name'} one before it",
            "Make the next version with undercurrent consortium new --from",
        )
    if previous is None:
        return
    old = previous.agreement
    if new.consortium != old.consortium:
        raise VersionError(
            f"it is an agreement of {new.consortium}, the one before is of {old.consortium}",
            "Name the agreement of the same consortium",
        )
    if new.version != old.version + 1 or new.previous != previous.hash:
        raise VersionError(
            f"version {new.version} does not follow version {old.version} as it was signed",
            "Make the next version from the one in effect: undercurrent consortium new --from",
        )
    if new.effective_us <= old.effective_us:
        raise VersionError(
            f"version {new.version} comes into effect no later than version {old.version}", _AGREE
        )
    if new.transition.budgets == "carry" and new.budgets.period != old.budgets.period:
        raise VersionError(
            "budgets of another period cannot carry what was spent", 'Write budgets = "reset"'
        )


def check_signatures(signed: SignedAgreement) -> None:
    """Refuse signatures that are missing, forged, doubled, or of somebody who is no member."""
    agreement = signed.agreement
    signers = [signature.member for signature in signed.signatures]
    for signature in signed.signatures:
        member = agreement.member(signature.member)
        if member is None:
            raise SignatureError(
                f"{signature.member} has signed but is no member", "Remove that signature"
            )
        if not verify(member.key, signed.signed_bytes, bytes.fromhex(signature.signature)):
            raise SignatureError(
                f"the signature of {member.id} is not of this text, or not by its key",
                f"{member.id} has to sign the file as it is: undercurrent consortium sign",
            )
    twice = first_twice(signers)
    if twice is not None:
        raise SignatureError(f"{twice} has signed twice", "Remove one of its signatures")
    missing = [member.id for member in agreement.members if member.id not in signers]
    if missing:
        raise SignatureError(
            f"{', '.join(missing)} {'has' if len(missing) == 1 else 'have'} not signed",
            "Let them sign (undercurrent consortium sign), then undercurrent consortium merge",
        )
