"""A folder that stands for a host, in which the commands of a guide are run as they are written.

What a command or a file names under ``/opt``, ``/etc``, ``/srv``, ``/var/lib`` or
``/usr/local/src`` lies under the host's folder; a host's name is a loopback address.  A few
programs that need a host of their own have a stand-in here, which is run under their name;
everything else is the real program.
"""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PLACES = re.compile(r"(?<![\w.$}/-])/(?=(?:opt|etc|srv|var/lib|usr/local/src)/)")
STAND_INS = (
    "apt-get",
    "install",
    "journalctl",
    "python3",
    "runuser",
    "scp",
    "systemctl",
    "useradd",
)
_STOP = 30.0


@dataclass(frozen=True)
class Host:
    """A host: its name in the guide, its folder, and its address.

    Attributes:
        name: as in the guide.
        root: stands for ``/``.
        address: of loopback.
        names: text in commands and files, and what stands for it here.
    """

    name: str
    root: Path
    address: str
    names: Mapping[str, str]

    def mapped(self, text: str) -> str:
        """Return a text of the guide with this host's places and addresses."""
        text = PLACES.sub(f"{self.root}/", text)
        for theirs, ours in self.names.items():
            text = text.replace(theirs, ours)
        return text.replace("127.0.0.1", self.address)

    def run(self, script: str, folder: str, seconds: float) -> "subprocess.CompletedProcess[str]":
        """Run lines of the guide; the first that fails ends them."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.mapped(script)],
            cwd=self.root / folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )

    def set_up(self, source: Path) -> None:
        """Make the folder: an empty host with the source tree of the program."""
        for place in ("etc/systemd/system", "opt", "srv", "var/lib", "usr/local/src", "programs"):
            (self.root / place).mkdir(parents=True)
        (self.root / "usr/local/src/undercurrent").symlink_to(source)
        program = self.root / "programs/stand-in"
        program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$(basename $0)" "$@"\n'
        )
        program.chmod(0o755)
        for name in STAND_INS:
            (self.root / "programs" / name).symlink_to(program)
        told = {"name": self.name, "address": self.address, "names": dict(self.names)}
        (self.root / "host.json").write_text(json.dumps(told))

    def log(self, unit: str) -> str:
        """Return what a service has logged."""
        path = self.root / "log" / unit
        return path.read_text(errors="replace") if path.is_file() else ""

    def shut_down(self) -> None:
        """End all services."""
        for path in (self.root / "running").glob("*"):
            _stop(path)

    def _environment(self) -> dict[str, str]:
        paths = (self.root / "programs", self.root / "opt/undercurrent/bin")
        return os.environ | {
            "PATH": f"{paths[0]}:{paths[1]}:{os.environ['PATH']}:/usr/sbin",
            "HOST_ROOT": str(self.root),
            "COLUMNS": "160",
            # Three hosts have three networks; here each keeps to its own address.
            "UNDERCURRENT_NODE_NODE__BIND": self.address,
            "UNDERCURRENT_NODE_WEB__HOST": self.address,
            "UNDERCURRENT_NODE_HTTP__HOST": self.address,
        }


def _this_host() -> Host:
    root = Path(os.environ["HOST_ROOT"])
    return Host(root=root, **json.loads((root / "host.json").read_text()))


# The stand-ins.


def apt_get(host: Host, *_arguments: str) -> None:
    """Packages are there already; of Mosquitto's, the folders are made."""
    state = host.root / "var/lib/mosquitto"
    for folder in (state, host.root / "etc/mosquitto"):
        folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(state, _known("mosquitto"))


def useradd(host: Host, *_arguments: str) -> None:
    """One user runs everything here; its home is made."""
    (host.root / "var/lib/undercurrent").mkdir(mode=0o700)


def python3(_host: Host, *arguments: str) -> None:
    """``-m venv``: an environment with the program under test, and a pip that does nothing."""
    if arguments[:2] != ("-m", "venv"):
        os.execv(sys.executable, [sys.executable, *arguments])
    programs = Path(arguments[2]) / "bin"
    programs.mkdir(parents=True)
    (programs / "undercurrent").symlink_to(Path(sys.executable).with_name("undercurrent"))
    (programs / "pip").symlink_to("/bin/true")


def install(_host: Host, *arguments: str) -> None:
    """The real one, but for owners that this machine or user cannot give."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word != "-o":
            kept.append(word)
            continue
        owner = next(words)
        if os.geteuid() == 0 and owner == "mosquitto":
            kept += ["-o", _known(owner)]
    os.execv("/usr/bin/install", ["install", *kept])


def scp(host: Host, *arguments: str) -> None:
    """Copies to the home of the user on the other host."""
    *files, target = arguments
    address, _colon, rest = target.partition(":")
    assert not rest, target
    others = [json.loads(p.read_text()) for p in host.root.parent.glob("*/host.json")]
    (other,) = [told["name"] for told in others if told["address"] == address]
    for file in files:
        shutil.copy(file, host.root.parent / other / "var/lib/undercurrent")


def runuser(_host: Host, *arguments: str) -> None:
    """One user runs everything here."""
    command = arguments[arguments.index("--") + 1 :]
    os.execvp(command[0], list(command))


def systemctl(host: Host, verb: str, *arguments: str) -> None:
    """Starts what the unit's file says, as the same user, and stops it."""
    units = [word for word in arguments if not word.startswith("-")]
    for unit in units:
        path = host.root / "running" / unit
        if verb in ("stop", "restart"):
            _stop(path)
        if verb in ("start", "restart") or (verb == "enable" and "--now" in arguments):
            _start(host, unit)
        if verb == "is-active":
            is_active = path.is_file() and _lives(int(path.read_text()))
            print("active" if is_active else "inactive")
            sys.exit(0 if is_active else 3)


def journalctl(host: Host, *arguments: str) -> None:
    """What the unit has logged."""
    print(host.log(arguments[arguments.index("-u") + 1]), end="")


def _start(host: Host, unit: str) -> None:
    for name in ("log", "running"):
        (host.root / name).mkdir(exist_ok=True)
    with (host.root / "log" / unit).open("ab") as log:
        process = subprocess.Popen(
            _command(host, unit),
            cwd=host.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (host.root / "running" / unit).write_text(str(process.pid))


def _command(host: Host, unit: str) -> list[str]:
    if unit == "mosquitto":
        settings = host.root / "etc/mosquitto/mosquitto.conf"
        text = host.mapped(settings.read_text()).replace("0.0.0.0", host.address)
        mapped = settings.with_suffix(".mapped")
        mapped.write_text(text)
        return ["mosquitto", "-c", str(mapped)]
    template, _at, instance = unit.partition("@")
    text = (host.root / f"etc/systemd/system/{template}@.service").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    return host.mapped(command.replace("%i", instance)).split()


def _stop(path: Path) -> None:
    """End a service in good order, and with force if that takes long."""
    if not path.is_file():
        return
    process = int(path.read_text())
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
        end = time.monotonic() + _STOP
        while _lives(process) and time.monotonic() < end:
            time.sleep(0.1)
    path.unlink()


def _lives(process: int) -> bool:
    """Whether a process is there and is more than the remains of one."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _known(user: str) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(user).pw_name
    return "nobody"


if __name__ == "__main__":
    name = sys.argv[1]
    program = globals()[name.replace("-", "_")] if name in STAND_INS else None
    assert program is not None, name
    program(_this_host(), *sys.argv[2:])
