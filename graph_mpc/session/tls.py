"""TLS between workers: contexts, and who is at the other end.

TLS 1.3 only, a certificate from the consortium's authority on both sides. The host name plays no
part: a party is who the one URI in its certificate says it is. A certificate with extended key
usages needs both server and client authentication, as each party dials and is dialled.
"""

from __future__ import annotations

import hashlib
import ssl

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from graph_mpc.session.certificates import party_uri
from graph_mpc.session.config import Member, SessionConfig
from graph_mpc.session.errors import ConfigError


class StrangerError(Exception):
    """Whoever is at the other end is not a party of this consortium; the text holds no secret."""


def server_context(config: SessionConfig) -> ssl.SSLContext:
    """Return the context for connections that this party accepts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A ticket would be unread data on a socket that its client only writes to: closing it would
    # then reset the connection and could destroy an abort notice on its way.
    context.num_tickets = 0
    return _with_credentials(context, config)


def client_context(config: SessionConfig) -> ssl.SSLContext:
    """Return the context for connections that this party dials."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _with_credentials(context, config)


def _with_credentials(context: ssl.SSLContext, config: SessionConfig) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(config.certificate, config.private_key, _no_password)
        context.load_verify_locations(cafile=config.authority)
    except (ssl.SSLError, OSError) as exc:
        raise ConfigError(f"certificate, key or authority cannot be used: {reason(exc)}") from exc
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask for it on the terminal, and wait.
    raise ConfigError("the private key is encrypted; a worker needs it in the clear, mode 0600")


def check_own_certificate(config: SessionConfig) -> None:
    """Raise unless this party's certificate names this party: others would refuse it."""
    try:
        certificate = x509.load_pem_x509_certificate(config.certificate.read_bytes())
        party = _party_of(certificate, config.consortium)
        if party != config.my_id:
            raise ConfigError(
                f"this party is {config.my_id} but its certificate is party {party}'s"
            )
        _check_pin(certificate.public_bytes(Encoding.DER), party, config.members)
    except (StrangerError, ValueError) as exc:
        raise ConfigError(f"this party's certificate cannot be used: {exc}") from exc


def peer_party(connection: ssl.SSLSocket, config: SessionConfig) -> str:
    """Return the party id in the verified certificate of the other end.

    A party whose certificate was agreed must show that one: an authority alone cannot make a new
    member, or a second certificate for an old one.
    """
    encoded = connection.getpeercert(binary_form=True)
    if not encoded:
        raise StrangerError("no certificate")
    try:
        certificate = x509.load_der_x509_certificate(encoded)
    except ValueError as exc:
        raise StrangerError("certificate cannot be parsed") from exc
    party = _party_of(certificate, config.consortium)
    _check_pin(encoded, party, config.members)
    return party


def _check_pin(encoded: bytes, party: str, members: tuple[Member, ...]) -> None:
    agreed = next((m.certificate for m in members if m.id == party), "")
    if agreed and hashlib.sha256(encoded).hexdigest() != agreed:
        raise StrangerError(f"not the certificate that was agreed for party {party}")


def _party_of(certificate: x509.Certificate, consortium: str) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError) as exc:
        raise StrangerError("certificate without a party name") from exc
    if len(uris) != 1:
        raise StrangerError(f"certificate with {len(uris)} party names instead of one")
    prefix = party_uri(consortium, "")
    if not uris[0].startswith(prefix):
        raise StrangerError("certificate of another consortium")
    return uris[0].removeprefix(prefix)


def reason(exc: BaseException) -> str:
    """Return a short text for a log or an error: never the bytes that a stranger sent."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"TLS refused: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS refused: {(exc.reason or 'connection ended').lower().replace('_', ' ')}"
    if isinstance(exc, TimeoutError):
        return "no answer"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    if isinstance(exc, OSError):
        return (exc.strerror or type(exc).__name__).lower()
    return str(exc) if isinstance(exc, StrangerError) else type(exc).__name__
