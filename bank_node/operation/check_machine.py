"""The doctor on the machine: room on disks, versions, the process of the node."""

import fcntl
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from bank_node.node.config import NodeConfig
from bank_node.operation.backup import sqlite_file
from bank_node.operation.findings import Finding, fault, good, warning
from bank_node.versions import versions

__all__ = ["check_clock", "check_disk", "check_process", "check_versions"]

_GIGABYTE = 10**9
_LITTLE = 2 * _GIGABYTE
_TOO_LITTLE = 200 * 10**6
_PACKAGES = ("sqlalchemy", "alembic", "aiomqtt", "pydantic", "starlette", "psycopg")


def check_disk(config: NodeConfig) -> Iterator[Finding]:
    """Look at the room where the node writes."""
    places = {"node's folder": config.folder}
    database = sqlite_file(config)
    if database is not None and not database.is_relative_to(config.folder):
        places["database"] = database.parent
    for name, path in places.items():
        yield _room(f"disk ({name})", path)


def _room(name: str, path: Path) -> Finding:
    usage = shutil.disk_usage(path)
    text = f"{usage.free / _GIGABYTE:,.1f} GB of {usage.total / _GIGABYTE:,.1f} GB are free"
    if usage.free < _TOO_LITTLE:
        return fault(name, text, "Make room: results could not be stored")
    if usage.free < min(_LITTLE, usage.total // 5):
        return warning(name, text, "Make room, or lower retention_days under [data]")
    return good(name, text)


def check_versions(engines: Mapping[str, tuple[str, str]]) -> Iterator[Finding]:
    """Tell the versions, and whether a protocol that is asked for is this program's.

    Args:
        engines: for whoever asks for a version of the protocol: it, and this program's.
    """
    found = versions() | {name: metadata.version(name) for name in _PACKAGES}
    openssl = found.pop("openssl").removeprefix("OpenSSL ").split(" ")[0]
    told = ", ".join(f"{name} {version}" for name, version in found.items())
    yield good("versions", f"{told}, OpenSSL {openssl}, {platform.system()} {platform.release()}")
    for who, (theirs, ours) in engines.items():
        if theirs != ours:
            yield fault(
                "protocol",
                f"{who} speaks version {theirs} of the protocol, this program {ours}",
                "Install the same version of Undercurrent at all members",
            )


def check_process(config: NodeConfig) -> Iterator[Finding]:
    """Tell whether the node is running."""
    lock = config.folder / "node.lock"
    if lock.exists() and _is_held(lock):
        yield good("node", "it is running")
    else:
        remedy = f"Start it: undercurrent node run --node {config.folder}"
        yield warning("node", "it is not running", remedy)


def _is_held(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def check_clock() -> Iterator[Finding]:
    """Tell whether the system says that it keeps its clock by NTP."""
    said = _ntp_says()
    if said == "yes":
        yield good("clock", "the system keeps it by NTP")
    elif said == "no":
        yield warning("clock", "the system says that it is not kept by NTP", "Set up NTP")
    else:
        yield good("clock", "the system does not say whether it is kept by NTP")


def _ntp_says() -> str:
    program = shutil.which("timedatectl")
    if program is None:
        return ""
    command = [program, "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
