"""A member's request to be taken into the agreement, or to have its keys replaced there.

It holds the member's entry and a certificate request, and is signed with the key that it names, so
that nobody can enter another's key or change the entry on its way.  When keys are replaced the old
key signs too: whoever adds the request sees that it comes from the same member.  A request says
nothing about *who* the sender is: the founder compares the key's first digits by telephone.
"""

from pathlib import Path
from typing import Literal

import tomli_w
from pydantic import Field, ValidationError

from bank_node.consortium.agreement import Member, Place
from bank_node.consortium.canonical import REQUEST, canonical_json
from bank_node.consortium.errors import JoinRequestError
from bank_node.consortium.fields import HEX64, NAME
from bank_node.consortium.reading import read_text, read_toml, where_wrong
from bank_node.identity import (
    Authority,
    CertificateRequestError,
    SigningKey,
    certificate_request,
    fingerprint,
    verify,
)

__all__ = [
    "Entry",
    "JoinRequest",
    "entry_of",
    "load_request",
    "make_request",
    "member_of",
    "request_text",
]

_HEX128 = r"^(?:[0-9a-f]{128})?$"
_AGAIN = "Let the member write it again: undercurrent consortium join"
_HEAD = """\
# Request to take a member into a consortium: send it to the founder.
# It holds no secret, but whoever adds it should compare the first digits of "key" with the sender
# by another way, for example by telephone.
"""


class Entry(Place):
    """What a member says of itself, and to which consortium."""

    consortium: str = Field(pattern=NAME)


class JoinRequest(Entry):
    """A request.

    Attributes:
        format: of the request.
        key: the member's Ed25519 public key.
        csr: certificate request (PEM).
        replaces: the public key that ``key`` takes the place of; empty when joining.
        signature: by ``key``. continuity: by the key that is replaced; empty when joining.
    """

    format: Literal[1] = 1
    key: str = Field(pattern=HEX64)
    csr: str = Field(max_length=10_000)
    replaces: str = Field("", pattern=r"^(?:[0-9a-f]{64})?$")
    signature: str = Field("", pattern=_HEX128)
    continuity: str = Field("", pattern=_HEX128)

    def signed_bytes(self) -> bytes:
        """Return what is signed."""
        value = self.model_dump(mode="json", exclude={"signature", "continuity"})
        return REQUEST + canonical_json(value)


def entry_of(
    consortium: str,
    member: str,
    role: Literal["bank", "compute"],
    bic: str,
    host: str,
    ports: tuple[int, int],
) -> Entry:
    """Return a member's entry, or refuse what could not stand in an agreement."""
    try:
        return Entry(consortium=consortium, id=member, role=role, bic=bic, host=host, ports=ports)
    except ValidationError as error:
        where, why = where_wrong(error)
        raise JoinRequestError(f"{where}: {why}", "Correct the option, or node.toml") from None


def make_request(
    entry: Entry, key: SigningKey, tls_key: Path, replaced: SigningKey | None = None
) -> JoinRequest:
    """Return a signed request.

    Args:
        entry: what the member says of itself.
        key: its signing key.
        tls_key: path of its TLS key.
        replaced: the signing key that is replaced; None when joining.
    """
    request = JoinRequest(
        **entry.model_dump(),
        key=key.public,
        csr=certificate_request(tls_key, entry.consortium, entry.id),
        replaces="" if replaced is None else replaced.public,
    )
    told = request.signed_bytes()
    signatures = {"signature": key.sign(told).hex()}
    if replaced is not None:
        signatures["continuity"] = replaced.sign(told).hex()
    return request.model_copy(update=signatures)


def request_text(request: JoinRequest) -> str:
    """Return a request as a TOML file."""
    value = {k: v for k, v in request.model_dump(mode="json").items() if v != ""}
    return _HEAD + tomli_w.dumps(value, multiline_strings=True)


def load_request(path: Path) -> JoinRequest:
    """Read a request and check that the keys it names have signed it.

    Raises:
        JoinRequestError: it is broken, or not signed by them.
    """
    raw = read_toml(read_text(path), str(path))
    try:
        request = JoinRequest.model_validate(raw)
    except ValidationError as error:
        where, why = where_wrong(error)
        raise JoinRequestError(f"{path}: {where}: {why}", _AGAIN) from None
    told = request.signed_bytes()
    if not verify(request.key, told, bytes.fromhex(request.signature)):
        raise JoinRequestError(f"{path} is not signed with the key that it names", _AGAIN)
    if request.replaces and not verify(request.replaces, told, bytes.fromhex(request.continuity)):
        raise JoinRequestError(
            f"{path} is not signed with the key that it replaces",
            "Without the old key: undercurrent consortium remove, then join anew",
        )
    return request


def member_of(request: JoinRequest, authority: Authority, days: int) -> Member:
    """Return the member's entry with a new certificate.

    Raises:
        JoinRequestError: the request is for another consortium, or its certificate request is not
            the member's own.
    """
    if request.consortium != authority.consortium:
        raise JoinRequestError(
            f"the request of {request.id} is for consortium {request.consortium}, not for"
            f" {authority.consortium}",
            "Let the member set consortium in its node.toml and write it again",
        )
    try:
        certificate = authority.issue_member(request.csr, request.id, days)
    except CertificateRequestError as error:
        raise JoinRequestError(error.message, error.remedy) from error
    return _member(request, certificate)


def _member(request: JoinRequest, certificate: str) -> Member:
    return Member(
        id=request.id,
        bic=request.bic,
        role=request.role,
        key=request.key,
        certificate=fingerprint(certificate),
        certificate_pem=certificate,
        host=request.host,
        ports=request.ports,
    )
