"""A whole consortium on this machine: real nodes, a real agreement, the embedded broker.

For the demo and for tests.  Every node is the process that ``undercurrent node run`` starts, in a
folder of its own with keys of its own; the agreement is drafted, signed by every member and
installed by the functions behind ``undercurrent consortium``.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from bank_node.consortium import Agreement, Book, SignedAgreement, load_agreement
from bank_node.consortium.drafting import draft, render
from bank_node.consortium.office import check_before_signing, open_authority, own_request, sign
from bank_node.consortium.request import entry_of, member_of
from bank_node.errors import UndercurrentError
from bank_node.node.client import RemoteError, ask
from bank_node.node.config import read_config
from bank_node.node.errors import NotRunningError, UnknownRunError
from bank_node.node.own_keys import own_keys
from bank_node.operation.node_folder import create_node
from bank_node.operation.template import Answers, SourceAnswers
from bank_node.store import Database, audit
from bank_node.store.errors import AuditBrokenError

__all__ = ["LocalConsortium", "LocalMember", "found", "free_ports", "running_broker"]

_LOOPBACK = "127.0.0.1"
_PORTS = 4
_DAYS = 30
_PATIENCE = 150.0


class StartError(UndercurrentError):
    """A process of a local consortium did not start."""

    code = "node.did-not-start"


@dataclass(frozen=True)
class LocalMember:
    """A member: its id, and the bank's folder of a data set; None: a compute party.

    ``web_port`` is where its people find the application; 0: nowhere.
    """

    id: str
    data: Path | None = None
    host: str = "127.0.0.1"
    base_currency: str = "EUR"
    store: str = "sqlite:///node.db"
    kind: Literal["csv", "parquet"] = "parquet"
    web_port: int = 0

    @property
    def role(self) -> Literal["bank", "compute"]:
        """Role in the agreement."""
        return "compute" if self.data is None else "bank"


@dataclass
class LocalConsortium:
    """Nodes of one agreement, as processes of this machine.

    Attributes:
        folder: has a folder for each node.
        members: who takes part.
        agreement: what they signed.
        processes: of the nodes that run.
    """

    folder: Path
    members: Sequence[LocalMember]
    agreement: SignedAgreement
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def node(self, member: str) -> Path:
        """Return the folder of a node."""
        return self.folder / member

    def ask(self, member: str, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Ask a running node."""
        return ask(self.node(member), method, path, body, **query)

    def start(
        self,
        member: str,
        *,
        prefix: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Start a node and return when it answers; its log goes to a file beside its folder.

        Args:
            member: whose.
            prefix: command in front of the node's own.
            settings: environment of this node alone.
        """
        with (self.folder / f"{member}.log").open("ab") as log:
            self.processes[member] = subprocess.Popen(
                [*prefix, *_COMMAND, "node", "run", "--node", str(self.node(member))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | dict(self.environment) | dict(settings or {}),
                start_new_session=True,
            )
        self.wait_for(lambda: self._answers(member), f"{member} did not start")

    def stop(self, member: str) -> int:
        """Stop a node in good order and return its exit status."""
        process = self.processes.pop(member)
        process.terminate()
        return process.wait(timeout=_PATIENCE)

    def kill(self, member: str) -> None:
        """Kill a node; its worker ends by itself."""
        process = self.processes.pop(member)
        process.kill()
        process.wait(timeout=_PATIENCE)

    def wait_for(self, is_so: Callable[[], bool], otherwise: str) -> None:
        """Return when something is so; nodes that have ended are an error."""
        end = time.monotonic() + _PATIENCE
        while not is_so():
            if time.monotonic() > end:
                raise StartError(otherwise, f"See the logs in {self.folder}")
            time.sleep(0.1)

    def wait_until_ready(self) -> None:
        """Return when every running node sees every member online and its payments taken in."""
        for member in self.processes:
            self.wait_for(lambda m=member: self._is_ready(m), f"{member} is not ready")  # type: ignore[misc]

    def wait_until_known(self, member: str, run_id: str) -> None:
        """Return when a node has heard of a run."""
        self.wait_for(
            lambda: bool(self._standing(member, run_id)), f"{member} does not hear of run {run_id}"
        )

    def wait_for_run(self, member: str, run_id: str) -> dict[str, Any]:
        """Return a run when the node is done with it."""
        over = ("stored", "refused", "abandoned")
        self.wait_for(
            lambda: self._standing(member, run_id) in over,
            f"run {run_id} does not end at {member}",
        )
        run: dict[str, Any] = self.ask(member, "GET", f"/runs/{run_id}")
        return run

    def verified_entries(self, member: str) -> int:
        """Return how many entries the audit log of a node has, after checking all of them."""
        config = read_config(self.node(member))
        database = Database.open(config.store_url)
        try:
            with database.read() as session:
                verified = audit.verify(session, own_keys(config, Book(config.agreements)))
        finally:
            database.close()
        if not verified.ok:
            raise AuditBrokenError(
                f"the audit log of {member} is not as it was written: {verified.reason}",
                "Find out who changed it",
            )
        return verified.rows

    def close(self) -> None:
        """Stop all nodes."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def _standing(self, member: str, run_id: str) -> str:
        """Return the phase of a run at a node; empty while the node does not know it."""
        try:
            return str(self.ask(member, "GET", f"/runs/{run_id}")["phase"])
        except RemoteError as error:
            if error.code != UnknownRunError.code:
                raise
            return ""

    def _answers(self, member: str) -> bool:
        process = self.processes[member]
        if process.poll() is not None:
            raise StartError(
                f"the node of {member} ended with {process.returncode}",
                f"See {self.folder / member}.log",
            )
        with contextlib.suppress(NotRunningError):
            self.ask(member, "GET", "/status")
            return True
        return False

    def _is_ready(self, member: str) -> bool:
        status = self.ask(member, "GET", "/status")
        seen = status["members"]
        sized = all(m["padded_accounts"] for m in seen.values() if m["role"] == "bank")
        return bool(seen) and all(m["online"] for m in seen.values()) and sized


_COMMAND = (sys.executable, "-m", "undercurrent")


def found(
    folder: Path,
    consortium: str,
    members: Sequence[LocalMember],
    broker: str,
    terms: Mapping[str, Any],
) -> LocalConsortium:
    """Set up all nodes, and let every member sign and install one agreement.

    Args:
        folder: new folder for the nodes.
        consortium: its name.
        members: who takes part.
        broker: url of the broker.
        terms: values of the agreement in place of those of the draft, for example ``schedules``.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for member in members:
        create_node(folder / member.id, _answers(folder, consortium, member, broker))
    authority = open_authority(folder / "authority", consortium)
    entries = {}
    for member in members:
        config = read_config(folder / member.id)
        ports = (config.node.port, config.node.port_count)
        entry = entry_of(consortium, member.id, member.role, "", member.host, ports)
        entries[member.id] = member_of(own_request(entry, config.keys), authority, _DAYS)
    now = datetime.now(UTC).replace(microsecond=0)
    # In effect since some days ago, so that the schedule's last slot is this agreement's.
    begin, end = now - timedelta(days=3), now + timedelta(days=_DAYS - 5)
    first = draft(consortium, authority.certificate_pem, begin.isoformat(), end.isoformat())
    values = first.model_dump(mode="json", exclude_none=True) | dict(terms)
    values["members"] = [entry.model_dump(mode="json") for entry in entries.values()]
    path = folder / "consortium.toml"
    path.write_text(render(SignedAgreement(Agreement.model_validate(values))), "utf-8")
    for member in members:
        keys = folder / member.id / "keys"
        shown = load_agreement(path)
        sign(path, shown, member.id, check_before_signing(shown, member.id, keys, None), keys, path)
    for member in members:
        Book(folder / member.id / "agreements").install(path)
    return LocalConsortium(folder, members, load_agreement(path))


def _answers(folder: Path, consortium: str, member: LocalMember, broker: str) -> Answers:
    source = None
    if member.data is not None:
        # From the node's folder, so that all of it can be moved.
        path = os.path.relpath(member.data.resolve(), (folder / member.id).resolve())
        source = SourceAnswers(member.kind, Path(path))
    return Answers(
        id=member.id,
        consortium=consortium,
        role=member.role,
        port=free_ports(_PORTS),
        broker=broker,
        store=member.store,
        source=source,
        currency=member.base_currency,
        retention=0,
        http_port=0,
        web_port=member.web_port,
    )


def free_ports(count: int) -> int:
    """Return the first of some free ports in a row, below those that the system gives out."""
    taken = _given_out
    for first in range(20_000 + os.getpid() % 400 * 25, 32_000, count):
        if first not in taken and all(_is_free(p) for p in range(first, first + count)):
            taken.update(range(first, first + count))
            return first
    raise StartError("no ports are free", "End programs that listen on this machine")


_given_out: set[int] = set()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((_LOOPBACK, port)) != 0


@contextmanager
def running_broker(port: int = 0) -> Iterator[str]:
    """Run the embedded broker as a process of its own, and give its url."""
    command = [sys.executable, "-m", "bank_node.coordination.broker", "--bind"]
    with ExitStack() as stack:
        process = subprocess.Popen(
            [*command, f"{_LOOPBACK}:{port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        stack.callback(_end, process)
        line = process.stdout.readline() if process.stdout is not None else b""
        if not line:
            raise StartError("the embedded broker did not start", "Try again")
        yield f"mqtt://{_LOOPBACK}:{json.loads(line)['port']}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(timeout=10)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
