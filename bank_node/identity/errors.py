"""Errors of keys and certificates.

::

    UndercurrentError
    └── IdentityError               keys or certificates cannot be used (exit code 2)
        ├── MissingKeyError         no key or certificate of that kind is there
        ├── ReadableKeyError        a private key that others can read
        ├── BadKeyError             a file that is no key, or no key of the kind needed
        ├── CertificateError        a certificate that is broken or names somebody else
        ├── CertificateRequestError a request for a certificate that must not be granted
        └── AuthorityError          the authority's folder is missing, broken or another's

No message holds any part of a private key.
"""

from bank_node.errors import UndercurrentError

__all__ = [
    "AuthorityError",
    "BadKeyError",
    "CertificateError",
    "CertificateRequestError",
    "IdentityError",
    "MissingKeyError",
    "ReadableKeyError",
]


class IdentityError(UndercurrentError):
    """Keys or certificates cannot be used."""

    code = "identity.error"
    exit_code = 2


class MissingKeyError(IdentityError):
    """No key or certificate of that kind is there."""

    code = "identity.missing-key"


class ReadableKeyError(IdentityError):
    """A private key that others than its owner can read."""

    code = "identity.readable-key"


class BadKeyError(IdentityError):
    """A file that is no private key, or not of the kind that is needed."""

    code = "identity.bad-key"


class CertificateError(IdentityError):
    """A certificate that is broken, of another authority, or names somebody else."""

    code = "identity.certificate"


class CertificateRequestError(IdentityError):
    """A request for a certificate that must not be granted."""

    code = "identity.request"


class AuthorityError(IdentityError):
    """The folder of the certificate authority is missing, broken, or of another consortium."""

    code = "identity.authority"
