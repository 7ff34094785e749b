"""The consortium's certificate authority: one folder with a key of mode 0600, kept by the founder.

It issues certificates for the members' workers and for the broker.  It alone can make nobody a
member: what counts is the fingerprint in the agreement that all members signed.
"""

import datetime
import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from bank_node.files import PUBLIC, create_file, make_private_folder, replace_file
from bank_node.identity.certificates import check_authority, check_request, parse_request
from bank_node.identity.errors import AuthorityError, CertificateError
from bank_node.identity.keys import load_tls_key
from bank_node.job import CredentialPaths
from graph_mpc.session import party_uri
from graph_mpc.session.config import check_name

__all__ = ["Authority"]

_KEY = "authority.pem"
_CERTIFICATE = "authority.crt"
_YEARS = 20
_BROKER_DAYS = 800
# Clocks of two members differ a little; a certificate must be valid at once at both.
_SKEW = datetime.timedelta(minutes=5)
_BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def _now() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Authority:
    """A certificate authority.

    Attributes:
        consortium: whose members it names.
        certificate_pem: its own certificate.
        clock: microseconds since 1970.
    """

    consortium: str
    certificate_pem: str
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    clock: Callable[[], int] = field(default=_now, repr=False)

    @classmethod
    def create(cls, folder: Path, consortium: str, clock: Callable[[], int] = _now) -> "Authority":
        """Make a new authority in a folder that has none.

        Raises:
            AuthorityError: there is one.
        """
        check_name("consortium", consortium)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(key, consortium, _moment(clock()))
        make_private_folder(folder)
        if (folder / _CERTIFICATE).exists():
            raise AuthorityError(f"there is an authority in {folder}", "Name another folder")
        try:
            create_file(folder / _KEY, _pem_of_key(key))
        except FileExistsError:
            raise AuthorityError(
                f"there is an authority's key in {folder}, without its certificate",
                "Put the certificate back, or name another folder",
            ) from None
        create_file(folder / _CERTIFICATE, _pem(certificate), PUBLIC)
        return cls(consortium, _pem(certificate).decode(), key, clock)

    @classmethod
    def load(cls, folder: Path, clock: Callable[[], int] = _now) -> "Authority":
        """Read the authority of a folder."""
        key = load_tls_key(folder / _KEY)
        try:
            text = (folder / _CERTIFICATE).read_text("ascii")
            certificate = check_authority(text)
        except (OSError, UnicodeDecodeError, CertificateError) as error:
            raise AuthorityError(
                f"{folder / _CERTIFICATE} is no authority's certificate", "Put it back"
            ) from error
        if certificate.public_key() != key.public_key():
            raise AuthorityError(
                f"key and certificate in {folder} do not belong together", "Put the right ones back"
            )
        names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if len(names) != 1:
            raise AuthorityError(f"the authority in {folder} names no consortium", "Make a new one")
        return cls(str(names[0].value), _pem(certificate).decode(), key, clock)

    def issue_member(self, csr_pem: str, party: str, days: int) -> str:
        """Return a certificate (PEM) for a party's request; all but its key is set here.

        Raises:
            CertificateRequestError: the request is not this party's own.
        """
        check_name("party id", party)
        key = check_request(parse_request(csr_pem), self.consortium, party)
        name = x509.UniformResourceIdentifier(party_uri(self.consortium, party))
        certificate = self._issue(_common(party), key, [name], _BOTH, days)
        return _pem(certificate).decode()

    def issue_server(self, names: Sequence[str], folder: Path) -> CredentialPaths:
        """Write a key and a certificate for a broker that is reached by these names or addresses.

        They replace what is there under the same names: ``broker.crt``, ``broker.pem`` (0600) and
        ``authority.crt``.
        """
        alternatives = [_alternative(name) for name in names]
        if not alternatives:
            raise AuthorityError("no name of the broker is given", "Name the host of the broker")
        key = ec.generate_private_key(ec.SECP256R1())
        usages = (ExtendedKeyUsageOID.SERVER_AUTH,)
        certificate = self._issue(
            _common("broker"), key.public_key(), alternatives, usages, _BROKER_DAYS
        )
        paths = CredentialPaths(
            certificate=folder / "broker.crt",
            private_key=folder / "broker.pem",
            authority=folder / "authority.crt",
        )
        make_private_folder(folder)
        replace_file(paths.authority, self.certificate_pem.encode(), PUBLIC)
        replace_file(paths.private_key, _pem_of_key(key))
        replace_file(paths.certificate, _pem(certificate), PUBLIC)
        return paths

    def _issue(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: Sequence[x509.GeneralName],
        usages: Sequence[ObjectIdentifier],
        days: int,
    ) -> x509.Certificate:
        own = x509.load_pem_x509_certificate(self.certificate_pem.encode())
        now = _moment(self.clock())
        end = now + datetime.timedelta(days=days)
        if days < 1 or end > own.not_valid_after_utc:
            raise AuthorityError(
                f"a certificate for {days} days ends after the authority's own",
                f"Give 1 to {(own.not_valid_after_utc - now).days} days",
            )
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        return (
            _builder(subject, own.subject, key, now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _self_signed(
    key: ec.EllipticCurvePrivateKey, consortium: str, now: datetime.datetime
) -> x509.Certificate:
    public = key.public_key()
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, consortium),
            x509.NameAttribute(NameOID.COMMON_NAME, "authority of the consortium"),
        ]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    return (
        _builder(name, name, public, now, now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(end)
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


def _common(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError:
        raise AuthorityError(f"{name} is no host name", "Write it in ASCII") from None


def _moment(now: int) -> datetime.datetime:
    seconds = datetime.timedelta(microseconds=now - now % 1_000_000)
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + seconds


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
