"""Certificates of the members: requests, fingerprints, and whom a certificate names.

A member is who the one URI in its certificate says it is,
``urn:undercurrent:<consortium>:party:<id>``; workers compare it, and the certificate's fingerprint,
with the agreement (``graph_mpc.session.tls``).
"""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bank_node.identity.errors import CertificateError, CertificateRequestError
from bank_node.identity.keys import load_tls_key
from graph_mpc.session import party_uri

__all__ = [
    "canonical_certificate",
    "certificate_request",
    "check_authority",
    "check_certificate",
    "check_request",
    "expiry",
    "fingerprint",
    "parse_certificate",
    "parse_request",
]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_REMEDY = "Ask for a certificate of the consortium's authority: undercurrent consortium join"
_REQUEST_REMEDY = "Let the member write its request again: undercurrent consortium join"


def certificate_request(tls_key: Path, consortium: str, party: str) -> str:
    """Return a request (PEM) for a certificate that names this party, signed with its TLS key."""
    uri = x509.UniformResourceIdentifier(party_uri(consortium, party))
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, party)]))
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .sign(load_tls_key(tls_key), hashes.SHA256())
    )
    return request.public_bytes(Encoding.PEM).decode()


def parse_request(request: str) -> x509.CertificateSigningRequest:
    """Return a request that was read from PEM."""
    try:
        return x509.load_pem_x509_csr(request.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateRequestError(
            "the certificate request is no PEM file of one", _REQUEST_REMEDY
        ) from None


def check_request(
    request: x509.CertificateSigningRequest, consortium: str, party: str
) -> ec.EllipticCurvePublicKey:
    """Return the key of a request that this party may make; all else in it is left unread.

    Raises:
        CertificateRequestError: it is not signed with its key, the key is no EC P-256 key, or it
            names anything but this party.
    """
    try:
        key = request.public_key()
        is_signed = request.is_signature_valid
        uris = _uris(request.extensions)
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        raise CertificateRequestError(
            "the certificate request cannot be read", _REQUEST_REMEDY
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRequestError(
            "the key of the certificate request is no EC P-256 key", _REQUEST_REMEDY
        )
    if not is_signed:
        raise CertificateRequestError(
            "the certificate request is not signed with its own key", _REQUEST_REMEDY
        )
    if uris != [party_uri(consortium, party)]:
        raise CertificateRequestError(
            f"the certificate request does not name {party} of {consortium}, and nobody else",
            _REQUEST_REMEDY,
        )
    return key


def parse_certificate(certificate: str) -> x509.Certificate:
    """Return the one certificate of a PEM text."""
    try:
        found = x509.load_pem_x509_certificates(certificate.encode())
    except (ValueError, UnsupportedAlgorithm):
        found = []
    if len(found) != 1:
        raise CertificateError("the certificate is no PEM file of exactly one", _REMEDY)
    return found[0]


def canonical_certificate(certificate: str) -> str:
    """Return a certificate as PEM in the one way in which this program writes it."""
    return parse_certificate(certificate).public_bytes(Encoding.PEM).decode()


def fingerprint(certificate: str) -> str:
    """Return the SHA-256 of a certificate's DER form, in hex."""
    return parse_certificate(certificate).fingerprint(hashes.SHA256()).hex()


def expiry(certificate: str) -> int:
    """Return the time in microseconds after which a certificate is not valid."""
    return microseconds(parse_certificate(certificate).not_valid_after_utc)


def microseconds(moment: datetime.datetime) -> int:
    """Return a time in microseconds since 1970 UTC."""
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def check_authority(authority: str) -> x509.Certificate:
    """Return the authority's certificate, or refuse one that can issue none."""
    certificate = parse_certificate(authority)
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(certificate)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise CertificateError("the authority's certificate is not self-signed", _REMEDY) from None
    if not basic.ca:
        raise CertificateError("the authority's certificate is no authority's", _REMEDY)
    return certificate


def check_certificate(certificate: str, authority: str, consortium: str, party: str) -> None:
    """Refuse a certificate that workers could not use, or not as this party's.

    Raises:
        CertificateError: it is not of this authority, names anything but this party, has no EC
            P-256 key, or is not for both ends of a connection.
    """
    found = parse_certificate(certificate)
    issuer = check_authority(authority)
    try:
        found.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise CertificateError(
            f"the certificate of {party} was not issued by the consortium's authority", _REMEDY
        ) from None
    try:
        uris, is_usable = _uris(found.extensions), _is_for_both_ends(found)
    except ValueError:
        raise CertificateError(f"the certificate of {party} cannot be read", _REMEDY) from None
    if uris != [party_uri(consortium, party)]:
        raise CertificateError(
            f"the certificate of {party} names another party or consortium", _REMEDY
        )
    if not is_usable:
        raise CertificateError(
            f"the certificate of {party} is not for both ends of a connection", _REMEDY
        )


def _is_for_both_ends(certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        return False
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    return both <= set(usages) and not basic.ca


def _uris(extensions: x509.Extensions) -> list[str]:
    """Return the URI names; a name of any other kind makes the list useless."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris if len(uris) == len(list(names)) else []
