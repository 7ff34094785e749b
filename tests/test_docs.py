"""The documents say what is there."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bank_node.node.errors import REASONS
from undercurrent.cli import COMMANDS, command_line

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "alerts",
    "bank_node",
    "flow_tracing",
    "graph_mpc",
    "pagerank",
    "simdata",
    "undercurrent",
)
# Alembic imports its environment itself, in the middle of a migration; the other is a command.
RUN_WHEN_IMPORTED = {"bank_node.store.migrations.env", "undercurrent.__main__"}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])


def error_codes() -> set[str]:
    """The stable codes of all error classes of all packages."""
    codes: set[str] = set()
    for package in PACKAGES:
        top = importlib.import_module(package)
        for module in pkgutil.walk_packages(top.__path__, f"{package}."):
            if module.name in RUN_WHEN_IMPORTED:
                continue
            for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                is_ours = cls.__module__.partition(".")[0] in PACKAGES
                code = getattr(cls, "code", None)
                if is_ours and issubclass(cls, Exception) and isinstance(code, str):
                    codes.add(code)
    return codes


def test_every_error_code_has_a_section() -> None:
    """A user who looks an error code up finds its cause and remedy."""
    sections = set(re.findall(r"^### `([^`]+)`", (ROOT / "docs/errors.md").read_text(), re.M))
    assert error_codes() | REASONS <= sections


def test_every_section_is_an_error_code() -> None:
    """docs/errors.md describes no error that cannot occur."""
    sections = set(re.findall(r"^### `([^`]+)`", (ROOT / "docs/errors.md").read_text(), re.M))
    words = {"worker.interrupted", "worker.output", "worker.file", "worker.internal"}
    words |= {"coordination.conflict", "coordination.overflow", "coordination.ahead"}
    assert sections <= error_codes() | words | REASONS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document leads to a file of the project."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    """Every file of the project that a document names in code type is there."""
    pattern = (
        r"`((?:docs|tests|graph_mpc|pagerank|bank_node|simdata|benchmarks|undercurrent)/[\w./-]+)`"
    )
    for name in re.findall(pattern, document.read_text()):
        assert (ROOT / name).exists(), name


def test_commands_of_the_readme_exist() -> None:
    """Every `undercurrent ...` line of the README names a command that has help."""
    text = (ROOT / "README.md").read_text()
    commands = set(
        re.findall(r"^(?:\.venv/bin/)?undercurrent ((?:[a-z][a-z-]* ?){1,2})", text, re.M)
    )
    assert commands
    for command in commands:
        words = command.split()
        known = [words[0]] if words[0] in {"demo", "bench"} else words
        result = CliRunner().invoke(command_line(*COMMANDS), [*known, "--help"])
        assert result.exit_code == 0, (command, result.output)
