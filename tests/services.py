"""A throwaway PostgreSQL for tests.

``postgresql()`` starts a cluster in a temporary folder and stops it at the end; the session-scoped
fixture ``postgresql_cluster`` shares one among all tests of a process: import it in a
``conftest.py``.  The cluster answers on a Unix socket only, in a folder that nobody else can enter.
PostgreSQL refuses to run as root, so that root starts it as the user ``postgres`` or ``nobody``.

Where PostgreSQL is not installed the test is skipped, and fails if UNDERCURRENT_REQUIRE_SERVICES
is 1.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest

_SECONDS = 60
# Nothing outlives the tests, so nothing needs to be safe from a power cut.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
}
_numbers = count(1)


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL.

    Attributes:
        folder: temporary folder with its data, log and socket.
        user: superuser, who may connect without a password.
    """

    folder: Path
    user: str

    def url(self, database: str) -> str:
        """Return SQLAlchemy's URL of a database."""
        return f"postgresql+psycopg://{self.user}@/{database}?host={self.folder}"

    def dsn(self, database: str) -> str:
        """Return libpq's connection string of a database."""
        return f"host={self.folder} user={self.user} dbname={database}"

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)".encode())


def missing_service(what: str) -> None:
    """Skip the test for want of a service, or fail where all services are required."""
    if os.environ.get("UNDERCURRENT_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{what} is not installed, and UNDERCURRENT_REQUIRE_SERVICES is 1")
    pytest.skip(f"{what} is not installed")


def postgresql_programs() -> Path | None:
    """Return the folder of initdb and postgres, the newest version's."""
    on_path = shutil.which("initdb")
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3])
    )
    program = Path(on_path) if on_path else (found[-1] if found else None)
    return None if program is None else program.resolve().parent


@contextmanager
def postgresql(**settings: str) -> Iterator[Cluster]:
    """Start PostgreSQL in a temporary folder; stop and remove it at the end.

    Settings of the server may be named, such as ``fsync="on"``.
    """
    programs = postgresql_programs()
    if programs is None:
        missing_service("PostgreSQL")
        return
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="undercurrent-pg-"))
    try:
        shutil.chown(folder, owner.pw_uid, owner.pw_gid)
        _make(programs, folder, owner)
        with _running(programs, folder, owner, settings):
            yield Cluster(folder, owner.pw_name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def shared_postgresql() -> Iterator[Cluster]:
    """Give the cluster of this process; the first starts it, the last stops it."""
    if not _shared.users:
        _shared.cluster = _shared.stack.enter_context(postgresql())
    _shared.users += 1
    try:
        yield _shared.cluster
    finally:
        _shared.users -= 1
        if not _shared.users:
            _shared.stack.close()


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Cluster]:
    """One PostgreSQL for all tests of the process."""
    with shared_postgresql() as cluster:
        yield cluster


class _Shared:
    cluster: Cluster
    users = 0
    stack = ExitStack()


_shared = _Shared()


def _owner() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("no user to run PostgreSQL as: it refuses root")


def _identity(owner: pwd.struct_passwd) -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _make(programs: Path, folder: Path, owner: pwd.struct_passwd) -> None:
    command = [
        *(str(programs / "initdb"), "--pgdata", str(folder / "data"), "--username", owner.pw_name),
        *("--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, **_identity(owner)
    )
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr}")


@contextmanager
def _running(
    programs: Path, folder: Path, owner: pwd.struct_passwd, settings: Mapping[str, str]
) -> Iterator[None]:
    command = [str(programs / "postgres"), "-D", str(folder / "data")]
    fixed = {"unix_socket_directories": str(folder)}
    for name, value in {**_SETTINGS, **settings, **fixed}.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, process_group=0, **_identity(owner)
        )
    try:
        _wait(server, folder, owner.pw_name)
        yield
    finally:
        server.send_signal(2)  # SIGINT: cut the connections and stop in order
        try:
            server.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], folder: Path, user: str) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            psycopg.connect(f"host={folder} user={user} dbname=postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
