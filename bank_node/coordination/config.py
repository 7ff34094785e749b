"""Where the broker is, and how a node proves to it who it is."""

import ipaddress
import ssl
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bank_node.coordination.errors import BrokerConfigError
from bank_node.coordination.messages import MAX_BYTES

__all__ = ["BrokerConfig", "is_loopback"]

_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}


class BrokerConfig(BaseModel):
    """The broker of the consortium.

    Attributes:
        url: mqtts://host:port; or mqtt://host:port, on loopback only.
        certificate: this member's certificate, for mqtts.
        private_key: its key.
        authority: authority of the broker's certificate.
        keepalive: seconds after which a silent connection is given up.
        refresh: seconds after which all that the broker keeps is read again: a broker may drop
            messages for a node that is slow, and tells nobody.
        max_message: bytes; larger messages are refused unread.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    certificate: Path | None = None
    private_key: Path | None = None
    authority: Path | None = None
    keepalive: int = Field(15, ge=1, le=600)
    refresh: int = Field(60, ge=1, le=3600)
    max_message: int = Field(MAX_BYTES, ge=1024, le=MAX_BYTES)

    @property
    def host(self) -> str:
        """Host name or address of the broker."""
        return _split(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Port of the broker."""
        parts = _split(self.url)
        return parts.port or _DEFAULT_PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return _split(self.url).scheme == "mqtts"

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the context for a connection; read anew, so that renewed files count.

        Raises:
            BrokerConfigError: certificate, key or authority cannot be used.
        """
        if not self.tls or self.certificate is None or self.private_key is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.authority)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(self.certificate, self.private_key, _no_password)
        except OSError as error:
            why = error.strerror or "not a certificate or key, or they do not belong together"
            raise BrokerConfigError(
                f"the credentials for the broker cannot be used: {why}",
                "Check certificate, private_key and authority of [broker]",
            ) from None
        return context

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = _split(self.url)
        if parts.scheme == "mqtt" and not is_loopback(parts.hostname or ""):
            raise BrokerConfigError(
                f"{self.url} is not encrypted, and not on this machine",
                "Use mqtts:// with the member's certificate",
            )
        given = (self.certificate, self.private_key, self.authority)
        if parts.scheme == "mqtts" and None in given:
            raise BrokerConfigError(
                "mqtts:// needs certificate, private_key and authority",
                "Set them under [broker]; the node's own do",
            )
        return self


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        right = parts.port != 0 and parts.scheme in _DEFAULT_PORTS and bool(parts.hostname)
    except ValueError:
        right = False
    if not right or parts.path or parts.query or parts.username is not None:
        raise BrokerConfigError(
            "the broker's url is not mqtts://host:port or mqtt://host:port", "Correct it"
        )
    return parts


def _no_password() -> str:
    # Without this OpenSSL would ask for it on the terminal, and wait.
    raise BrokerConfigError(
        "the private key for the broker is encrypted", "Keep it in the clear, mode 0600"
    )
