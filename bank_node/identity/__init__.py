"""Who a member is: its keys, its certificates, and the consortium's authority.

A member signs with an Ed25519 key and shows an X.509 certificate to the others' workers; the
agreement names both, so that neither can be changed without all members' signatures.
"""

from bank_node.identity.authority import Authority
from bank_node.identity.certificates import (
    canonical_certificate,
    certificate_request,
    check_authority,
    check_certificate,
    expiry,
    fingerprint,
)
from bank_node.identity.errors import (
    AuthorityError,
    BadKeyError,
    CertificateError,
    CertificateRequestError,
    IdentityError,
    MissingKeyError,
    ReadableKeyError,
)
from bank_node.identity.keyring import (
    find_credentials,
    find_signing_key,
    install_certificate,
    latest,
)
from bank_node.identity.keys import (
    SigningKey,
    create_signing_key,
    create_tls_key,
    is_public_key,
    verify,
)

__all__ = [
    "Authority",
    "AuthorityError",
    "BadKeyError",
    "CertificateError",
    "CertificateRequestError",
    "IdentityError",
    "MissingKeyError",
    "ReadableKeyError",
    "SigningKey",
    "canonical_certificate",
    "certificate_request",
    "check_authority",
    "check_certificate",
    "create_signing_key",
    "create_tls_key",
    "expiry",
    "find_credentials",
    "find_signing_key",
    "fingerprint",
    "install_certificate",
    "is_public_key",
    "latest",
    "verify",
]
