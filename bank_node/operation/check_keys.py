"""The doctor on keys and certificates: modes, pairs, and how long they last."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from bank_node.errors import UndercurrentError
from bank_node.identity import SigningKey, expiry, find_credentials, fingerprint
from bank_node.operation.findings import Finding, date_of, fault, good, warning

__all__ = ["WARN_DAYS", "certificate_finding", "check_certificates", "check_folder", "check_keys"]

WARN_DAYS = 30
"""Days before its end from which a certificate is warned about."""

_DAY = 86_400_000_000
_ROTATE = "Make a new key and certificate: undercurrent consortium rotate-key"


def check_folder(folder: Path) -> Iterator[Finding]:
    """Look at who may enter the node's folder, and whose it is."""
    status = folder.stat()
    if status.st_mode & 0o077:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        yield fault("folder", f"{folder} is open to others (mode {mode})", f"chmod 700 {folder}")
    elif status.st_uid != os.getuid():
        yield fault(
            "folder", f"{folder} belongs to another user", "Run this as the user of the node"
        )
    else:
        yield good("folder", f"{folder} is this user's alone")


def check_keys(keys: Path, authority: Path) -> Iterator[Finding]:
    """Look at each private key of a node, and of the authority if the founder keeps it there."""
    private = sorted(keys.glob("*.pem"))
    if not any(path.name.startswith("signing-") for path in private):
        yield fault("keys", f"there is no signing key in {keys}", "Put it back, or: node init")
    for path in (*private, *sorted(authority.glob("*.pem"))):
        yield _key_finding(path)


def _key_finding(path: Path) -> Finding:
    name = f"key {path.name}"
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        remedy = "If nobody can have read it: chmod 600. Else: undercurrent consortium rotate-key"
        return fault(name, f"others can read it (mode {mode:04o})", remedy)
    if not path.name.startswith("signing-"):
        return good(name, "only its owner can read it")
    try:
        public = SigningKey.load(path).public
    except UndercurrentError as error:
        return fault(name, error.message, error.remedy)
    return good(name, f"only its owner can read it; public key {public[:16]}...")


def check_certificates(keys: Path, now: int) -> Iterator[Finding]:
    """Look at each certificate: its key, its authority, its end."""
    own = sorted(keys.glob("tls-*.crt"))
    if not own:
        yield warning(
            "certificate",
            f"there is no certificate in {keys} yet",
            "Join a consortium: undercurrent consortium join, then sign",
        )
    for path in own:
        name = f"certificate {path.name}"
        try:
            text = path.read_text("ascii")
            find_credentials(keys, fingerprint(text))
            yield certificate_finding(name, text, now, _ROTATE)
        except UndercurrentError as error:
            yield fault(name, error.message, error.remedy)
    for path in sorted(keys.glob("authority*.crt")):
        text = path.read_text("ascii")
        remedy = "The founder of the consortium makes a new authority, in a new version"
        yield certificate_finding(f"certificate {path.name}", text, now, remedy)


def certificate_finding(name: str, certificate: str, now: int, remedy: str) -> Finding:
    """Return what is to be said of the end of a certificate."""
    end = expiry(certificate)
    days = (end - now) // _DAY
    if days < 0:
        return fault(name, f"it ended on {date_of(end)}", remedy)
    if days < WARN_DAYS:
        return warning(name, f"it ends on {date_of(end)}, in {days} days", remedy)
    return good(name, f"valid until {date_of(end)}")
