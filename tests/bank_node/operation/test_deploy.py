"""The files in ``deploy/`` do what they say."""

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from bank_node.node.config import HttpSection, MemberSection

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "deploy" / "systemd" / "undercurrent-node@.service"
CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
PROGRAM = "/opt/undercurrent/bin/undercurrent"


def unit(section: str) -> dict[str, str]:
    """Return the settings of a section of the unit; of a repeated one the last."""
    parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read(UNIT)
    return dict(parser[section])


def instructions() -> dict[str, list[str]]:
    """Return the lines of the container file by their first word."""
    text = re.sub(r"\\\n", " ", CONTAINERFILE.read_text())
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word.isupper():
            found.setdefault(word, []).append(rest.strip())
    return found


@pytest.fixture
def analyse(tmp_path: Path) -> Path:
    """The unit with a program that is there; skips where systemd is not."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "undercurrent-node@bank-a.service"
    path.write_text(UNIT.read_text().replace(PROGRAM, "/bin/true"))
    return path


def test_systemd_understands_the_unit(analyse: Path) -> None:
    """systemd finds no fault in the unit, and no setting that it does not know."""
    command = ["systemd-analyze", "verify", "--man=no", str(analyse)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    about = [line for line in done.stderr.splitlines() if "undercurrent" in line]
    assert (done.returncode, about) == (0, [])


def test_the_unit_is_hardened(analyse: Path) -> None:
    """By systemd's own measure (0 none, 10 all) the exposure of the service is below 2."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(analyse)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot rate a unit offline")
    assert done.returncode == 0, done.stdout[-400:]


def test_the_unit_keeps_the_node_in_its_place() -> None:
    """No new privileges, one folder to write, private files, no memory images, ends in time."""
    service = unit("Service")
    assert service["NoNewPrivileges"] == service["PrivateTmp"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["UMask"] == "0077"
    assert service["LimitCORE"] == "0"
    assert service["Restart"] == "on-failure"
    # Exit codes of wrong settings and of refusals.
    assert service["RestartPreventExitStatus"] == "2 3"
    assert service["User"] != "root"
    assert service["ExecStart"] == f"{PROGRAM} node run --node /var/lib/undercurrent/%i"


def test_the_container_holds_the_packages_and_nothing_else() -> None:
    """Each package of the project is copied in; no key, test or data of the build's folder is."""
    copied = {line.split()[0] for line in instructions()["COPY"] if not line.startswith("--from")}
    copied |= {word for line in instructions()["COPY"] for word in line.split()[:-1]}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    tops = {name.partition(".")[0] for name in packages}
    assert tops <= copied
    assert "." not in copied
    assert all((ROOT / name).exists() for name in copied if not name.startswith(("-", "/")))


def test_the_container_runs_as_nobody_special() -> None:
    """The user is a number that is not root's, and a health check asks the node itself."""
    found = instructions()
    assert re.fullmatch(r"[1-9][0-9]{4,}:[1-9][0-9]{4,}", found["USER"][-1])
    assert len(found["USER"]) == 1
    assert f"127.0.0.1:{HttpSection().port}/healthz" in found["HEALTHCHECK"][0]


def test_the_container_opens_the_ports_of_the_settings() -> None:
    """The ports of the workers are those that node.toml has by default."""
    section = MemberSection(id="a", consortium="n")
    last = section.port + section.port_count - 1
    assert instructions()["EXPOSE"] == [f"{section.port}-{last}"]
