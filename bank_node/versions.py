"""Versions of everything that a result depends on."""

import platform
import ssl
from importlib.metadata import version

__all__ = ["versions"]

_PACKAGES = ("undercurrent", "mpyc", "numpy", "numba", "cryptography", "duckdb", "pyarrow")


def versions() -> dict[str, str]:
    """Return the version of Python, OpenSSL and the packages that compute."""
    found = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
    return found | {name: version(name) for name in _PACKAGES}
