"""Making a node's folder: keys, settings, places for what will come; whole or not at all."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from bank_node.coordination import BrokerConfig
from bank_node.errors import UndercurrentError
from bank_node.files import sync
from bank_node.identity import SigningKey, create_signing_key, create_tls_key
from bank_node.node.config import CONFIG_NAME, read_config
from bank_node.node.errors import ConfigurationError
from bank_node.operation.errors import AnswerError, NodeFolderError
from bank_node.operation.source import data_of
from bank_node.operation.template import Answers, node_toml

__all__ = ["NodeFolder", "check_answers", "check_free", "create_node"]

# As in the agreement.
_BIC = re.compile(r"(?:[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:]{2,39}")
_PARTS = ("keys", "agreements", "data", "columns", "runs")


@dataclass(frozen=True)
class NodeFolder:
    """A node's folder that was made.

    Attributes:
        path: where it is.
        public_key: of the signing key, 64 hex digits.
    """

    path: Path
    public_key: str


def create_node(folder: Path, answers: Answers) -> NodeFolder:
    """Make a node's folder (0700) with keys and settings.

    Raises:
        NodeFolderError: it is there already, or cannot be made.
        AnswerError: an answer makes no sense; names it.
    """
    check_free(folder)
    try:
        with _workshop(folder) as work:
            for part in _PARTS:
                (work / part).mkdir(mode=0o700)
            _write_settings(work, answers)
            public = SigningKey.load(create_signing_key(work / "keys")).public
            create_tls_key(work / "keys")
            sync(work)
            work.rename(folder)
        sync(folder.absolute().parent)
    except OSError as error:
        raise NodeFolderError(
            f"{folder} cannot be made ({error.strerror})", "Name a place that this user may write"
        ) from error
    return NodeFolder(folder, public)


def check_free(folder: Path) -> None:
    """Refuse a folder that is there, or that has no place to be.

    Raises:
        NodeFolderError: it is, or has none.
    """
    if folder.exists() or folder.is_symlink():
        raise NodeFolderError(
            f"{folder} is there already", "Name a new folder; a node's keys are not replaced"
        )
    if not folder.absolute().parent.is_dir():
        raise NodeFolderError(f"{folder.absolute().parent} is no folder", "Make it first")


def check_answers(answers: Answers) -> None:
    """Refuse answers that no node could start with.

    Raises:
        AnswerError: names the first setting that is wrong.
    """
    with tempfile.TemporaryDirectory(prefix="undercurrent-init-") as place:
        _write_settings(Path(place), answers)


def _check_forms(answers: Answers) -> None:
    """Refuse what the settings would take, but an agreement or a library later would not."""
    if not _BIC.fullmatch(answers.bic):
        raise AnswerError(
            f"{answers.bic} is no BIC", "Write 8 or 11 letters and digits, or nothing"
        )
    if not _HOST.fullmatch(answers.host):
        raise AnswerError(
            f"{answers.host} is no host", "Write a name or an address, without scheme and port"
        )
    scheme, _, rest = answers.broker.partition("://")
    if scheme not in ("mqtt", "mqtts") or not rest or "@" in rest or "/" in rest:
        raise AnswerError("The broker is not mqtts://host:port", "Write it like that")
    if scheme == "mqtt":
        BrokerConfig(url=answers.broker)
    try:
        backend = make_url(answers.store).get_backend_name()
    except ArgumentError:
        backend = ""
    if backend not in ("sqlite", "postgresql"):
        raise AnswerError(
            "The database is neither SQLite nor PostgreSQL",
            "Write sqlite:///node.db or postgresql+psycopg://user@host/name",
        )


def _write_settings(folder: Path, answers: Answers) -> None:
    """Write ``node.toml`` (0600) and read it as the node will."""
    descriptor = os.open(folder / CONFIG_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(node_toml(answers))
        file.flush()
        os.fsync(file.fileno())
    try:
        _check_forms(answers)
        data_of(read_config(folder))
    except ConfigurationError as error:
        # The path is that of the workshop, which nobody knows.
        where = error.message.partition(f"{CONFIG_NAME}: ")[2] or error.message
        raise AnswerError(f"The answers make no node: {where}", "Correct this answer") from None
    except AnswerError:
        raise
    except UndercurrentError as error:
        raise AnswerError(f"The answers make no node: {error.message}", error.remedy) from None


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """Give a private folder beside the one to be made; what is left of it is removed."""
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
