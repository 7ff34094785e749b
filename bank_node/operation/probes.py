"""Looking at the other end of a line: does the name resolve, is there a way, what answers.

No probe shows this member's certificate: a worker takes whoever shows one and then says nothing for
a party that breaks the protocol.  A TLS 1.3 server shows its own before it asks for the other's.
"""

import socket
import ssl
from dataclasses import dataclass
from typing import Literal

__all__ = ["Answer", "Outcome", "probe"]

Outcome = Literal["certificate", "plain", "closed", "silent", "no-route", "no-name"]


@dataclass(frozen=True)
class Answer:
    """What a probe found.

    Attributes:
        outcome: ``certificate``: it speaks TLS; ``plain``: it listens, but does not; ``closed``:
            the host answers that nothing listens; ``silent``: nothing answers; ``no-route`` and
            ``no-name``: there is no way to it, or no such name.
        certificate: PEM of the certificate that it shows; else empty.
        address: the address that was tried; empty without one.
    """

    outcome: Outcome
    certificate: str = ""
    address: str = ""


def probe(host: str, port: int, *, tls: bool, seconds: float = 3.0) -> Answer:
    """Return what answers at a host and port.

    Args:
        host: name or address.
        port: TCP port.
        tls: whether to ask for its certificate.
        seconds: how long to wait for each step.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Answer("no-name")
    answer = Answer("no-route")
    for family, kind, protocol, _name, address in found[:4]:
        answer = _probe_address((family, kind, protocol), address, tls=tls, seconds=seconds)
        if answer.outcome in ("certificate", "plain"):
            break
    return answer


def _probe_address(
    kind: tuple[int, int, int], address: tuple[object, ...], *, tls: bool, seconds: float
) -> Answer:
    where = str(address[0])
    with socket.socket(*kind) as line:
        line.settimeout(seconds)
        try:
            line.connect(address)
        except ConnectionRefusedError:
            return Answer("closed", address=where)
        except TimeoutError:
            return Answer("silent", address=where)
        except OSError:
            return Answer("no-route", address=where)
        if not tls:
            return Answer("plain", address=where)
        shown = _certificate_of(line)
    return Answer("certificate" if shown else "plain", shown, where)


def _certificate_of(line: socket.socket) -> str:
    """Return the certificate that the other end shows, whatever it is; empty: none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    # What is shown is compared with what was agreed, by the caller.
    context.verify_mode = ssl.CERT_NONE
    try:
        with context.wrap_socket(line) as secured:
            encoded = secured.getpeercert(binary_form=True)
    except OSError:
        return ""
    return ssl.DER_cert_to_PEM_cert(encoded) if encoded else ""
