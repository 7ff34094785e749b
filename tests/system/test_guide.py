"""A newcomer follows the three-host guide to the letter, with three folders in place of the hosts.

The commands are read out of the document.  What stands for the hosts is in ``guide_host``; the
broker is a real Mosquitto with the files of ``deploy/``, the nodes are the processes that the unit
of ``deploy/systemd`` names.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bank_node.node.client import ask
from tests.mosquitto import PROGRAM, free_port
from tests.system.guide_host import Host
from tests.system.support import ROOT

GUIDE = ROOT / "docs/how-to/three-hosts.md"
ADDRESSES = {"neutral": "127.0.0.4", "bank1": "127.0.0.2", "bank2": "127.0.0.3"}
BROKER_PORT = "8883"
FENCE = re.compile(
    r'^```sh (?P<user>root|undercurrent)@(?P<host>[a-z0-9]+)(?: until="(?P<until>[^"]*)")?\n'
    r"(?P<script>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FOLDERS = {"root": "usr/local/src/undercurrent", "undercurrent": "var/lib/undercurrent"}
PATIENCE = 300.0


@dataclass(frozen=True)
class Step:
    """A block of commands: who runs it, where, and what its output must come to show, if stated."""

    user: str
    host: str
    until: str | None
    script: str


def steps(text: str) -> list[Step]:
    """Return the blocks of a guide that are to be followed, in their order."""
    return [Step(**match.groupdict()) for match in FENCE.finditer(text)]


def follow(step: Step, host: Host) -> None:
    """Run a step as a reader does: where something is to appear, again until it is there."""
    end = time.monotonic() + PATIENCE
    while True:
        done = host.run(step.script, FOLDERS[step.user], PATIENCE)
        told = f"{step.user}@{host.name}\n{step.script}\n{done.stdout}"
        if step.until is None:
            assert done.returncode == 0, told
            return
        if done.returncode == 0 and re.search(step.until, done.stdout, re.DOTALL):
            return
        assert time.monotonic() < end, f"{told}\nand {step.until} does not come\n{logs(host)}"
        time.sleep(1)


def logs(host: Host) -> str:
    """Return the last lines that the node of a host has logged."""
    return host.log(f"undercurrent-node@{host.name}")[-3000:]


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    """Give three empty hosts; their services end with the test."""
    if PROGRAM is None:
        reason = "Mosquitto is not installed"
        if os.environ.get("UNDERCURRENT_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    names = {f"{name}.example": address for name, address in ADDRESSES.items()}
    ports = {f"{sign}{BROKER_PORT}": f"{sign}{free_port()}" for sign in (":", "listener ")}
    ports["listener " + BROKER_PORT] = "listener " + ports[":" + BROKER_PORT][1:]
    # Not below pytest's folder: Mosquitto runs as a user of its own and must reach its files.
    top = Path(tempfile.mkdtemp(prefix="guide-"))
    top.chmod(0o711)
    found = {}
    for name, address in ADDRESSES.items():
        (top / name).mkdir(mode=0o711)
        found[name] = Host(name, top / name, address, names | ports)
        found[name].set_up(ROOT)
    try:
        yield found
    finally:
        for host in found.values():
            host.shut_down()
        shutil.rmtree(top, ignore_errors=True)


def runs_of(host: Host) -> list[dict[str, object]]:
    """Return what the node of a host says of its runs."""
    told: list[dict[str, object]] = ask(node_of(host), "GET", "/runs")
    return told


def node_of(host: Host) -> Path:
    """Return the folder of a host's node."""
    return host.root / "var/lib/undercurrent" / host.name


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_guide_followed_literally_ends_with_stored_runs(hosts: dict[str, Host]) -> None:
    """Nothing but the commands of the guide leads to a rehearsal, a scheduled run and a trace.

    All three are stored at every member; the scheduled run gives every account of both banks a
    band, and was started by nobody.
    """
    for step in steps(GUIDE.read_text("utf-8")):
        for name in ADDRESSES if step.host == "every" else (step.host,):
            follow(step, hosts[name])
    for host in hosts.values():
        runs = runs_of(host)
        assert {run["phase"] for run in runs} == {"stored"}, logs(host)
        kinds = {(run["analysis"], run["rehearsal"], run["proposer"]) for run in runs}
        assert kinds == {
            ("risk-propagation", True, "bank1"),
            ("risk-propagation", False, "schedule"),
            ("trace", False, "bank1"),
        }
    for name in ("bank1", "bank2"):
        (scheduled,) = (run for run in runs_of(hosts[name]) if run["schedule"])
        result = ask(node_of(hosts[name]), "GET", f"/runs/{scheduled['run_id']}/result")
        accounts = (hosts[name].root / "srv/undercurrent/accounts.csv").read_text().splitlines()
        assert {row[0] for row in result["rows"]} == {line.split(",")[0] for line in accounts[1:]}


def test_every_block_of_commands_names_its_host() -> None:
    """No command of the guide escapes the newcomer but the one that opens a shell."""
    text = GUIDE.read_text("utf-8")
    blocks = re.findall(r"^```sh\b.*$", text, re.MULTILINE)
    plain = re.findall(r"^```sh\n(.*)$", text, re.MULTILINE)
    assert len(steps(text)) == len(blocks) - 1
    assert [line.split()[0] for line in plain] == ["runuser"]
