"""What happens in a real network: nodes, brokers, links and disks fail, and the runs go on.

After each fault: no wrong or partial result, none stored twice, the run or the next one goes on by
itself, and the operator is told why.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import Mosquitto
from tests.services import missing_service
from tests.system.nodes import (
    ConsortiumIssuer,
    audit_actions,
    consortium,
    members_of,
    phase,
    propose,
    results,
    simple_consortium,
    stored_by_all,
    three_banks_data,
)
from undercurrent.local_consortium import LocalConsortium, LocalMember

pytestmark = [pytest.mark.timeout(900)]

LONG: dict[str, Any] = {
    "analyses": [
        {
            "name": "pagerank",
            "version": "1",
            "policies": ["exact"],
            "parameters": {"iterations": {"min": "5", "max": "2000"}},
        }
    ],
    "schedules": [],
}
QUICK = {"parameters": {"iterations": "20"}}
SHORT = {"parameters": {"iterations": "100"}}
SLOW = {"parameters": {"iterations": "600"}}
ASKS = {"UNDERCURRENT_NODE_POLICY__APPROVE": "[]"}
HASTE = {"UNDERCURRENT_NODE_RUNS__SILENCE": "4", "UNDERCURRENT_NODE_RUNS__START": "20"}
A, B, C = "bank1", "bank2", "bank3"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 accounts at three banks."""
    folder = tmp_path_factory.mktemp("faults") / "data"
    assert three_banks_data(folder) == [A, B, C]
    return folder


@pytest.fixture(scope="module")
def nodes(data: Path) -> Iterator[LocalConsortium]:
    """Three nodes; the second asks a person before it consents."""
    members = members_of(data, [A, B, C])
    folder = data.parent / "nodes"
    with simple_consortium(folder, members, LONG, settings=HASTE) as made:
        made.start(A)
        made.start(B, settings=ASKS)
        made.start(C)
        made.wait_until_ready()
        yield made


@pytest.fixture(scope="module")
def undisturbed(nodes: LocalConsortium) -> dict[str, dict[str, float]]:
    """The results of a run of 600 iterations without any fault."""
    run_id = approved(nodes, SLOW)
    stored_by_all(nodes, run_id)
    return {member: results(nodes, member, run_id) for member in (A, B, C)}


def approved(nodes: LocalConsortium, body: dict[str, Any]) -> str:
    """Propose a run at A and approve it at B."""
    run_id = propose(nodes, A, **body)
    nodes.wait_for(lambda: phase(nodes, B, run_id) == "judging", "B does not see the run")
    nodes.ask(B, "POST", f"/runs/{run_id}/approve")
    return run_id


def until(nodes: LocalConsortium, member: str, run_id: str, *phases: str) -> None:
    """Wait until a member is in one of the phases."""
    nodes.wait_for(
        lambda: phase(nodes, member, run_id) in phases, f"{member} does not reach {phases}"
    )


def computing(nodes: LocalConsortium, member: str, run_id: str) -> None:
    """Wait until a member's worker has met the others and iterates.

    ``running`` is stated before the worker is started: a node that stands still from then on may
    never have given its worker a job.
    """

    def iterates() -> bool:
        progress = nodes.ask(member, "GET", f"/runs/{run_id}")["progress"]
        return bool(progress) and progress["phase"] == "iterate"

    nodes.wait_for(iterates, f"the worker of {member} does not iterate")


def check_same(
    nodes: LocalConsortium, run_id: str, expected: dict[str, dict[str, float]], times: int = 1
) -> None:
    """Every node has stored the run once, whole, with the right values."""
    for member, values in expected.items():
        found = results(nodes, member, run_id)
        assert found.keys() == values.keys()
        assert max(abs(found[a] - values[a]) for a in values) < 1e-6
        assert audit_actions(nodes, member, run_id).count("run.stored") == times


def test_killed_before_consent(
    nodes: LocalConsortium, undisturbed: dict[str, dict[str, float]]
) -> None:
    """A node killed while a proposal waits for its people still has it, waiting, afterwards."""
    run_id = propose(nodes, A, **SLOW)
    until(nodes, B, run_id, "judging")
    nodes.kill(B)
    nodes.start(B, settings=ASKS)
    run = nodes.ask(B, "GET", f"/runs/{run_id}")
    assert (run["phase"], run["waiting_for"]) == ("judging", "a person's approval")
    nodes.ask(B, "POST", f"/runs/{run_id}/approve")
    stored_by_all(nodes, run_id)
    check_same(nodes, run_id, undisturbed)


def test_killed_in_mid_computation(
    nodes: LocalConsortium, undisturbed: dict[str, dict[str, float]]
) -> None:
    """A run whose node dies in mid-computation is closed, tried again, and stored by all once."""
    run_id = approved(nodes, SLOW)
    computing(nodes, B, run_id)
    nodes.kill(B)
    until(nodes, A, run_id, "failed", "consented", "ready")
    assert results(nodes, A, run_id) == {}
    nodes.start(B, settings=ASKS)
    stored_by_all(nodes, run_id)
    check_same(nodes, run_id, undisturbed)
    assert nodes.ask(A, "GET", f"/runs/{run_id}")["attempt"] > 1
    assert "run.failed" in audit_actions(nodes, B, run_id)
    assert "run.failed" in audit_actions(nodes, A, run_id)


def test_killed_between_result_and_store(
    nodes: LocalConsortium, undisturbed: dict[str, dict[str, float]]
) -> None:
    """A node that dies with a result in hand stores it when it is back and all have voted."""
    run_id = approved(nodes, SLOW)
    computing(nodes, B, run_id)
    # B's daemon stands still, its worker goes on: the others have their results and wait for B.
    stopped = nodes.processes[B]
    stopped.send_signal(signal.SIGSTOP)
    try:
        until(nodes, A, run_id, "computed")
        assert results(nodes, A, run_id) == {}
        nodes.kill(A)
        nodes.start(A)
        assert phase(nodes, A, run_id) == "computed"
        assert results(nodes, A, run_id) == {}
    finally:
        stopped.send_signal(signal.SIGCONT)
    stored_by_all(nodes, run_id)
    check_same(nodes, run_id, undisturbed)
    assert nodes.ask(A, "GET", f"/runs/{run_id}")["attempt"] == 1


def test_attempts_end_with_the_reason(nodes: LocalConsortium) -> None:
    """A run that fails again and again is given up by all, and says who failed and how."""
    run_id = approved(nodes, SLOW)
    for attempt in (1, 2, 3):
        nodes.wait_for(
            functools.partial(_worker_killed, nodes, C, run_id, attempt),
            f"{C} has no worker in attempt {attempt}",
        )
    for member in (A, B, C):
        run = nodes.wait_for_run(member, run_id)
        assert run["phase"] == "abandoned"
        assert run["code"]
        assert C in run["reason"]
        assert results(nodes, member, run_id) == {}
    left = nodes.ask(A, "GET", "/status")["budget"]["banks"][A]
    run = nodes.ask(A, "GET", f"/runs/{run_id}")
    assert left["bits"] - left["left"] >= 3 * run["bits"][A]


def _worker_killed(nodes: LocalConsortium, member: str, run_id: str, attempt: int) -> bool:
    """Kill the worker of a node if it runs the attempt, and tell whether it did."""
    run = nodes.ask(member, "GET", f"/runs/{run_id}")
    if (run["attempt"], run["phase"]) != (attempt, "running"):
        return False
    daemon = nodes.processes[member].pid
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            line = (path.parent / "cmdline").read_bytes()
            if parent == daemon and b"bank_node.worker" in line:
                os.kill(int(path.parent.name), signal.SIGKILL)
                return True
    return False


def test_the_rest_is_queued(nodes: LocalConsortium) -> None:
    """Of four runs two are computed at a time; the rest wait and are computed afterwards."""
    runs = [approved(nodes, SHORT) for _ in range(4)]
    most = 0
    now = [""]
    while any(p not in ("stored", "abandoned") for p in now):
        # All at one moment: asked one after another, a run and the one that follows it could count.
        listed = {run["run_id"]: run["phase"] for run in nodes.ask(A, "GET", "/runs")}
        now = [listed[run_id] for run_id in runs]
        most = max(most, sum(p in ("ready", "running") for p in now))
        time.sleep(0.05)
    assert most == 2
    for run_id in runs:
        stored_by_all(nodes, run_id)


@pytest.mark.slow
def test_a_broker_killed_and_restarted(data: Path, tmp_path: Path) -> None:
    """With the broker gone in mid-run the workers go on; with it back the results are stored."""
    members = members_of(data, [A, B, C])
    with consortium(tmp_path / "nodes", members, LONG, settings=HASTE) as (nodes, broker):
        for member in (A, B, C):
            nodes.start(member)
        nodes.wait_until_ready()
        run_id = propose(nodes, A, **SLOW)
        for member in (A, B, C):
            computing(nodes, member, run_id)
        broker.kill()
        until(nodes, A, run_id, "computed")
        nodes.wait_for(
            lambda: not nodes.ask(A, "GET", "/status")["broker"]["connected"], "no loss is told"
        )
        assert results(nodes, A, run_id) == {}
        broker.start()
        stored_by_all(nodes, run_id)
        assert nodes.ask(A, "GET", f"/runs/{run_id}")["attempt"] == 1
        stored_by_all(nodes, propose(nodes, C, **QUICK))


def _require_root(*programs: str) -> None:
    """Skip, or fail where services are required, without root and the programs."""
    if os.geteuid() != 0:
        missing_service("root, to make network namespaces and file systems,")
    for program in programs:
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            missing_service(program)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of 24 MiB in memory."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk(data: Path, tmp_path: Path) -> None:
    """A node whose database has no room keeps its result, says so, and stores it when it has."""
    _require_root("mount")
    with small_disk(tmp_path / "disk") as disk:
        first, second, third = members_of(data, [A, B, C])
        second = LocalMember(B, second.data, store=f"sqlite:///{disk}/node.db")
        with simple_consortium(
            tmp_path / "nodes", [first, second, third], LONG, settings=HASTE
        ) as nodes:
            for member in (A, B, C):
                nodes.start(member)
            nodes.wait_until_ready()
            run_id = propose(nodes, A, **SLOW)
            computing(nodes, B, run_id)
            _fill(disk / "filler")
            until(nodes, A, run_id, "computed")
            time.sleep(3)
            assert phase(nodes, A, run_id) == "computed"
            waits = nodes.ask(B, "GET", f"/runs/{run_id}")["waiting_for"]
            assert "record" in waits or "stored" in waits
            assert "disk-full" in (nodes.folder / f"{B}.log").read_text()
            (disk / "filler").unlink()
            stored_by_all(nodes, run_id)
            assert len(results(nodes, A, run_id)) > 100
            stored_by_all(nodes, propose(nodes, B, **QUICK))


def _fill(path: Path) -> None:
    """Fill the file system to its last block."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


HOST, GUEST, SPACE = "10.77.0.1", "10.77.0.2", "undercurrent-test"


@contextlib.contextmanager
def a_host_of_its_own() -> Iterator[None]:
    """A network namespace with an address of its own, linked to this one."""

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    ip("netns", "add", SPACE)
    try:
        ip("link", "add", "uc0", "type", "veth", "peer", "name", "uc1", "netns", SPACE)
        ip("addr", "add", f"{HOST}/30", "dev", "uc0")
        ip("link", "set", "uc0", "up")
        ip("-n", SPACE, "addr", "add", f"{GUEST}/30", "dev", "uc1")
        ip("-n", SPACE, "link", "set", "uc1", "up")
        ip("-n", SPACE, "link", "set", "lo", "up")
        yield
    finally:
        ip("netns", "del", SPACE)
        subprocess.run(["ip", "link", "del", "uc0"], check=False, capture_output=True)


@contextlib.contextmanager
def forwarded(port: int) -> Iterator[None]:
    """Let the guest reach the broker: from the host's address to loopback."""
    with socket.create_server((HOST, port)) as server:
        threading.Thread(target=_forward, args=(server, port), daemon=True).start()
        yield


def _forward(server: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            guest, _ = server.accept()
            broker = socket.create_connection(("127.0.0.1", port))
            for ends in ((guest, broker), (broker, guest)):
                threading.Thread(target=_copy, args=ends, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


class _Issuer(ConsortiumIssuer):
    """Names the host's address in the broker's certificate, too."""

    def issue_server(self, folder: Path) -> None:
        paths = self.authority.issue_server(["127.0.0.1", "localhost", HOST], folder)
        paths.private_key.rename(folder / "broker.key")


@pytest.mark.slow
def test_dropped_packets(data: Path, tmp_path: Path) -> None:
    """A node whose packets are dropped in mid-run is noticed by the others within their deadline.

    They say who is silent; with the link back the run is tried again and stored by all.
    """
    _require_root("ip", "mosquitto")
    first, second, third = members_of(data, [A, B, C])
    members = [
        LocalMember(A, first.data, host=HOST),
        LocalMember(B, second.data, host=GUEST),
        LocalMember(C, third.data, host=HOST),
    ]
    made = consortium(tmp_path / "nodes", members, LONG, settings=HASTE, issuer=_Issuer)
    with a_host_of_its_own(), made as (nodes, broker), forwarded(broker.port):
        _reach_broker_at_host(nodes, broker)
        nodes.start(A)
        nodes.start(B, prefix=["ip", "netns", "exec", SPACE])
        nodes.start(C)
        nodes.wait_until_ready()
        run_id = propose(nodes, A, **SLOW)
        for member in (A, B, C):
            computing(nodes, member, run_id)
        subprocess.run(["ip", "link", "set", "uc0", "down"], check=True)
        until(nodes, A, run_id, "failed", "consented", "ready")
        assert results(nodes, A, run_id) == {}
        subprocess.run(["ip", "link", "set", "uc0", "up"], check=True)
        stored_by_all(nodes, run_id)
        run = nodes.ask(C, "GET", f"/runs/{run_id}")
        assert run["attempt"] > 1
        failed = (nodes.folder / f"{A}.log").read_text()
        assert "session." in failed


def _reach_broker_at_host(nodes: LocalConsortium, broker: Mosquitto) -> None:
    """Let B find the broker at the host's address."""
    path = nodes.node(B) / "node.toml"
    text = path.read_text()
    assert broker.url in text
    path.write_text(text.replace(broker.url, f"mqtts://{HOST}:{broker.port}"))
