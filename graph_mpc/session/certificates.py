"""A certificate authority that lives for one run: used by the lab and by tests.

A real consortium has its own authority; what counts is the name in the certificate, exactly one URI
``urn:undercurrent:<consortium>:party:<id>``.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from graph_mpc.session.config import check_name

_LIFETIME = datetime.timedelta(days=1)
# Clocks of two parties differ a little; a certificate must be valid at once on both.
_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Credentials:
    """Paths of a party's certificate, its key (mode 0600), and the authority's certificate."""

    certificate: Path
    private_key: Path
    authority: Path


def party_uri(consortium: str, party: str) -> str:
    """Return the name of a party in its certificate."""
    return f"urn:undercurrent:{consortium}:party:{party}"


class ThrowawayAuthority:
    """Issues EC P-256 certificates that are valid for a day; its own key is never written."""

    def __init__(self, consortium: str) -> None:
        check_name("consortium", consortium)
        self.consortium = consortium
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"{consortium} throwaway authority")
        self._certificate = self._self_signed()

    def issue(self, party: str, folder: Path) -> Credentials:
        """Write the credentials of a party into the folder and return their paths."""
        check_name("party id", party)
        return self.issue_with_uris(party, [party_uri(self.consortium, party)], folder)

    def issue_with_uris(self, label: str, uris: list[str], folder: Path) -> Credentials:
        """Write credentials with these URI names: for tests of what must be refused."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(label, uris, key.public_key())
        folder.mkdir(parents=True, exist_ok=True)
        credentials = Credentials(
            folder / f"{label}.crt", folder / f"{label}.key", folder / f"{label}-authority.crt"
        )
        credentials.certificate.write_bytes(_pem(certificate))
        credentials.authority.write_bytes(_pem(self._certificate))
        _write_private(credentials.private_key, key)
        return credentials

    def _self_signed(self) -> x509.Certificate:
        builder = _builder(self._name, self._name, self._key.public_key())
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _signed(
        self, label: str, uris: list[str], key: ec.EllipticCurvePublicKey
    ) -> x509.Certificate:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = _builder(_name(label), self._name, key)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    data = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.unlink(missing_ok=True)
    # Mode at creation: a key must not be readable by others even for a moment.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
