"""The folder ``keys/`` of a node: its own keys, certificates, and the authorities it trusts.

``signing-N.pem`` and ``tls-N.pem`` are private (0600); ``tls-N.crt`` is the certificate of
``tls-N.pem``, ``tls-N-<fingerprint>.crt`` a later one of the same key; ``authority.crt`` is the
consortium's authority, ``authority-<fingerprint>.crt`` one that a later agreement names.  None is
ever replaced: old and new lie side by side until the agreement that names the old ones has ended.
"""

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from bank_node.files import PUBLIC, make_private_folder, replace_file
from bank_node.identity.certificates import fingerprint as fingerprint_of
from bank_node.identity.certificates import parse_certificate
from bank_node.identity.errors import CertificateError, MissingKeyError
from bank_node.identity.keys import SigningKey, load_tls_key, numbered
from bank_node.job import CredentialPaths

__all__ = ["find_credentials", "find_signing_key", "install_certificate", "latest"]

_JOIN = "Ask for one: undercurrent consortium join, or rotate-key, then sign the agreement"


def find_signing_key(keys: Path, public: str) -> SigningKey:
    """Return the signing key with this public key.

    Raises:
        MissingKeyError: it is not among them.
        ReadableKeyError: others can read one of them.
    """
    for path in numbered(keys, "signing"):
        key = SigningKey.load(path)
        if key.public == public:
            return key
    raise MissingKeyError(
        f"no key in {keys} is the one that the agreement names ({public[:16] or 'none'}...)",
        "Put that key back, or rotate: undercurrent consortium rotate-key",
    )


def find_credentials(keys: Path, fingerprint: str) -> CredentialPaths:
    """Return the paths of the certificate with this fingerprint, of its key and its authority.

    Raises:
        MissingKeyError: the certificate, its key or its authority is not there.
        CertificateError: key and certificate do not belong together.
    """
    for path in sorted(keys.glob("tls-*.crt")):
        text = _read(path)
        if fingerprint_of(text) != fingerprint:
            continue
        number = path.stem.split("-")[1]
        certificate, private = parse_certificate(text), keys / f"tls-{number}.pem"
        if load_tls_key(private).public_key() != certificate.public_key():
            raise CertificateError(f"{private} is not the key of {path.name}", _JOIN)
        return CredentialPaths(
            certificate=path, private_key=private, authority=_authority_of(keys, certificate)
        )
    raise MissingKeyError(
        f"no certificate in {keys} is the one that the agreement names ({fingerprint[:16]}...)",
        _JOIN,
    )


def install_certificate(keys: Path, certificate: str, authority: str) -> CredentialPaths:
    """Write a certificate beside the key it belongs to, and its authority's; return the paths.

    Raises:
        MissingKeyError: no key of this folder is the certificate's.
    """
    public = parse_certificate(certificate).public_key()
    make_private_folder(keys)
    for private in numbered(keys, "tls"):
        if load_tls_key(private).public_key() == public:
            _install(keys, f"{private.stem}[.-]*crt", private.stem, certificate)
            _install(keys, "authority*.crt", "authority", authority)
            return find_credentials(keys, fingerprint_of(certificate))
    raise MissingKeyError(f"the certificate is for none of the TLS keys in {keys}", _JOIN)


def latest(keys: Path, kind: str) -> Path | None:
    """Return the key of that kind (signing, tls) with the highest number; None: there is none."""
    found = numbered(keys, kind)
    return found[0] if found else None


def _install(keys: Path, pattern: str, name: str, certificate: str) -> None:
    """Write a certificate, unless it is there; another under the plain name stays."""
    digest = fingerprint_of(certificate)
    if digest in {fingerprint_of(_read(path)) for path in keys.glob(pattern)}:
        return
    plain = keys / f"{name}.crt"
    path = keys / f"{name}-{digest[:16]}.crt" if plain.exists() else plain
    replace_file(path, certificate.encode(), PUBLIC)


def _authority_of(keys: Path, certificate: x509.Certificate) -> Path:
    for path in sorted(keys.glob("authority*.crt")):
        try:
            certificate.verify_directly_issued_by(parse_certificate(_read(path)))
        except (ValueError, TypeError, InvalidSignature):
            continue
        return path
    raise MissingKeyError(f"the authority of the node's certificate is not in {keys}", _JOIN)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CertificateError(f"{path} cannot be read", _JOIN) from error
