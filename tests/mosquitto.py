"""A real Mosquitto for tests, with the very files in ``deploy/``: only ports and paths filled in.

::

    with mosquitto("consortium", tmp_path) as broker:
        config = broker.config("bank-a")      # a BrokerConfig with bank-a's certificate
        broker.kill()                         # SIGKILL
        broker.start()                        # the same port; state as persistence left it
"""

import contextlib
import datetime
import ipaddress
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bank_node.coordination import BrokerConfig
from graph_mpc.session.certificates import Credentials, ThrowawayAuthority

DEPLOY = Path(__file__).parent.parent / "deploy" / "mosquitto"
PROGRAM = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
_DEADLINE = 10.0


class BrokerAuthority(ThrowawayAuthority):
    """An authority that issues the broker's certificate as well."""

    def issue_server(self, folder: Path) -> tuple[Path, Path]:
        """Write certificate and key for a server on loopback; returns their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        names = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        paths = folder / "broker.crt", folder / "broker.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        paths[1].chmod(0o600)
        return paths


class Mosquitto:
    """A broker process on a loopback port that it keeps.

    Attributes:
        port: where it listens.
        authority: issues the members' certificates.
        log: path of its log.
    """

    def __init__(
        self,
        consortium: str,
        home: Path,
        credentials: Path,
        *,
        persistence: bool = False,
        authority: BrokerAuthority | None = None,
    ) -> None:
        self.authority = authority or BrokerAuthority(consortium)
        self.port = free_port()
        self.log = home / "mosquitto.log"
        self._home = home
        self._credentials = credentials
        self._process: subprocess.Popen[bytes] | None = None
        self._set_up(persistence)

    @property
    def url(self) -> str:
        """Address of the broker."""
        return f"mqtts://127.0.0.1:{self.port}"

    def credentials(self, member: str) -> Credentials:
        """Return paths of a member's certificate, key and authority."""
        return self.authority.issue(member, self._credentials)

    def config(self, member: str, *, keepalive: int = 15) -> BrokerConfig:
        """Return what a member needs to connect."""
        paths = self.credentials(member)
        return BrokerConfig(
            url=self.url,
            certificate=paths.certificate,
            private_key=paths.private_key,
            authority=paths.authority,
            keepalive=keepalive,
        )

    def start(self) -> None:
        """Start the broker and return when it listens."""
        assert PROGRAM is not None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-c", str(self._home / "mosquitto.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=_owner(),
            )
        deadline = time.monotonic() + _DEADLINE
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Mosquitto does not start: {self.log.read_text()[-1000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End the broker with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the broker with SIGTERM, as its service manager would."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            self._process.wait(_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _set_up(self, persistence: bool) -> None:
        """Fill ports and paths into the files of ``deploy/``."""
        self.authority.issue_server(self._home)
        some = self.authority.issue("any", self._credentials)
        shutil.copy(some.authority, self._home / "authority.crt")
        shutil.copy(DEPLOY / "acl", self._home / "acl")
        (self._home / "state").mkdir()
        text = (DEPLOY / "mosquitto.conf").read_text()
        filled = {
            "listener 8883 0.0.0.0": f"listener {self.port} 127.0.0.1",
            "/etc/mosquitto/undercurrent/": f"{self._home}/",
            "/var/lib/mosquitto/": f"{self._home}/state/",
        }
        if not persistence:
            filled["persistence true"] = "persistence false"
        for ours, theirs in filled.items():
            assert ours in text, f"{ours} is no longer in deploy/mosquitto/mosquitto.conf"
            text = text.replace(ours, theirs)
        (self._home / "mosquitto.conf").write_text(text)
        user = _owner()
        if user is not None:
            for path in (self._home, *self._home.rglob("*")):
                shutil.chown(path, user)


@contextlib.contextmanager
def mosquitto(
    consortium: str,
    folder: Path,
    *,
    persistence: bool = False,
    authority: BrokerAuthority | None = None,
) -> Iterator[Mosquitto]:
    """Start Mosquitto; the members' credentials go into the folder.

    Skips the test if Mosquitto is not installed, unless UNDERCURRENT_REQUIRE_SERVICES is 1.
    """
    if PROGRAM is None:
        reason = "Mosquitto is not installed"
        if os.environ.get("UNDERCURRENT_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    # Not below the folder: another user than ours must reach it.
    with tempfile.TemporaryDirectory(prefix="mosquitto-") as home:
        broker = Mosquitto(
            consortium, Path(home), folder, persistence=persistence, authority=authority
        )
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


def free_port() -> int:
    """Return a loopback port that is free now, below those that the system gives out by itself.

    One of those could be gone before its program listens.
    """
    while True:
        port = random.randrange(12_000, 20_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def _owner() -> str | None:
    """Return the user to run as: Mosquitto gives root away, and then cannot read our files."""
    return "nobody" if os.geteuid() == 0 else None
