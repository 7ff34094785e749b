"""A node's folder is made whole, private and readable by the node, or not at all."""

import re
import stat
import tempfile
import tomllib
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from bank_node.identity import SigningKey
from bank_node.intake.config import DataConfig
from bank_node.node.config import NodeConfig, read_config
from bank_node.operation import node_folder
from bank_node.operation.errors import AnswerError, NodeFolderError
from bank_node.operation.node_folder import check_answers, create_node
from bank_node.operation.source import data_of
from bank_node.operation.template import Answers, SourceAnswers, node_toml

CSV = SourceAnswers("csv", folder=Path("/srv/transactions"))
BANK = Answers(id="bank-a", consortium="north", source=CSV)
SETTING = re.compile(r"#?([a-z_]+) = ")


def settings(text: str) -> dict[str, list[str]]:
    """Return the names that stand in each section, set or commented out."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = []
        elif match := SETTING.match(line):
            found[section].append(match[1])
    return found


def sections() -> dict[str, type[BaseModel]]:
    """Return the model of each section of the settings."""
    return {"data": DataConfig} | within(NodeConfig, "")


def within(model: type[BaseModel], prefix: str) -> dict[str, type[BaseModel]]:
    """Return the models of a model's fields, and of theirs, by the names of their sections."""
    models: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            models[prefix + name] = field.annotation
            models |= within(field.annotation, f"{prefix}{name}.")
    return models


def test_the_folder_is_private_and_the_node_can_read_it(tmp_path: Path) -> None:
    """The folder has mode 0700, keys and settings 0600, and the settings are those answered."""
    made = create_node(tmp_path / "bank-a", BANK)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in made.path.rglob("*")}
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    assert modes == {
        "keys": 0o700,
        "agreements": 0o700,
        "data": 0o700,
        "columns": 0o700,
        "runs": 0o700,
        "node.toml": 0o600,
        "signing-1.pem": 0o600,
        "tls-1.pem": 0o600,
    }
    config = read_config(made.path)
    assert (config.node.id, config.node.consortium, config.node.role) == ("bank-a", "north", "bank")
    assert SigningKey.load(made.path / "keys" / "signing-1.pem").public == made.public_key
    assert [p.name for p in tmp_path.iterdir()] == ["bank-a"]


def test_every_setting_stands_in_the_text() -> None:
    """Each setting of each section is in ``node.toml``, and no other."""
    models = sections()
    found = settings(node_toml(BANK))
    assert found.keys() == models.keys()
    for name, model in models.items():
        own = [field for field in model.model_fields if f"{name}.{field}" not in models]
        assert sorted(found[name]) == sorted(own), name


def test_every_setting_has_a_word_on_it() -> None:
    """Above each setting, or above the group it stands in, is a comment."""
    said = False
    for line in node_toml(BANK).splitlines():
        if line.startswith("# "):
            said = True
        elif not line or line.startswith("["):
            said = False
        else:
            assert said, line


def test_what_nobody_answered_is_the_default(tmp_path: Path) -> None:
    """A setting that no answer sets has in the text the value that the program has without it."""
    config = read_config(create_node(tmp_path / "bank-a", BANK).path)
    answered = {"node": {"id", "consortium", "bic"}, "data": {"source", "folder"}}
    shown = {"transactions": "transactions*.csv", "accounts": "accounts*.csv"}
    for name, model in sections().items():
        section = data_of(config) if name == "data" else attrgetter(name)(config)
        for setting, field in model.model_fields.items():
            if (
                f"{name}.{setting}" in sections()
                or setting in answered.get(name, ())
                or field.default is PydanticUndefined
            ):
                continue
            assert getattr(section, setting) in (field.default, shown.get(setting)), setting


def test_examples_are_no_settings() -> None:
    """What is commented out is not set when the file is read."""
    raw = tomllib.loads(node_toml(BANK))
    for absent in ("certificate", "private_key", "authority"):
        assert absent not in raw["broker"]
    for absent in ("dsn_file", "dsn_env", "watermark", "rates", "rates_file", "columns"):
        assert absent not in raw["data"]


@pytest.mark.parametrize(
    ("answers", "data"),
    [
        ({"role": "compute", "source": None}, None),
        ({"source": None}, None),
        (
            {"source": SourceAnswers("parquet", folder=Path("/p"), accounts="a-*.parquet")},
            "parquet",
        ),
        (
            {"source": SourceAnswers("postgresql", dsn_file=Path("/dsn"), watermark="booked")},
            "postgresql",
        ),
    ],
)
def test_each_kind_of_node_can_be_set_up(
    tmp_path: Path, answers: dict[str, Any], data: str | None
) -> None:
    """Banks with each kind of source, banks without one and compute parties can be made."""
    made = create_node(tmp_path / "n", Answers(id="x", consortium="north", **answers))
    found = data_of(read_config(made.path))
    assert (None if found is None else found.source) == data


@pytest.mark.parametrize("what", ["folder", "file", "link"])
def test_what_is_there_is_not_touched(tmp_path: Path, what: str) -> None:
    """An existing folder, file or dangling link is refused."""
    target = tmp_path / "bank-a"
    if what == "folder":
        target.mkdir()
    elif what == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(NodeFolderError, match="is there already"):
        create_node(target, BANK)
    assert [p.name for p in tmp_path.iterdir()] == ["bank-a"]


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last step fails, neither the folder nor a part of it stays behind."""

    def fail(_folder: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(node_folder, "create_tls_key", fail)
    with pytest.raises(KeyboardInterrupt):
        create_node(tmp_path / "bank-a", BANK)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_none_is_said(tmp_path: Path) -> None:
    """A parent folder that is not there is an error of one line."""
    with pytest.raises(NodeFolderError, match="is no folder"):
        create_node(tmp_path / "x" / "bank-a", BANK)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"id": "bank a"}, "node.id"),
        ({"id": ""}, "node.id"),
        ({"consortium": "no/rth"}, "node.consortium"),
        ({"role": "king"}, "node.role"),
        ({"bic": "NORT"}, "no BIC"),
        ({"host": "https://a"}, "no host"),
        ({"port": 0}, "node.port"),
        ({"broker": "http://mq"}, "mqtts://host:port"),
        ({"broker": "mqtt://mq.example:1883"}, "not encrypted"),
        ({"broker": "mqtts://user:pass@mq"}, "mqtts://host:port"),
        ({"store": "mysql://x"}, "neither SQLite nor PostgreSQL"),
        ({"currency": "euro"}, "base_currency"),
        ({"retention": -1}, "retention_days"),
        ({"source": SourceAnswers("csv")}, "csv needs folder"),
        ({"source": SourceAnswers("postgresql")}, "dsn_file or dsn_env"),
        ({"id": "bank\x00"}, "cannot be shown"),
    ],
)
def test_an_answer_that_makes_no_sense_is_named(
    tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    """Each wrong answer is refused before anything is made, and the error names it."""
    answers = Answers(**(vars(BANK) | wrong))
    with pytest.raises(AnswerError, match=re.escape(said)) as caught:
        create_node(tmp_path / "bank-a", answers)
    assert "undercurrent-init" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=40))
def test_any_path_survives_the_text(name: str) -> None:
    """A folder with quotes, backslashes or signs of TOML and templates comes back as it was."""
    source = SourceAnswers("csv", folder=Path(f"/srv/{name}"), transactions=name)
    answers = Answers(id="a", consortium="n", source=source)
    try:
        raw = tomllib.loads(node_toml(answers))
    except AnswerError:
        assert not name.isprintable()
        return
    assert raw["data"]["folder"] == str(Path(f"/srv/{name}"))
    assert raw["data"]["transactions"] == name


def test_checking_answers_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are looked at in a temporary folder that is gone afterwards, right or wrong."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    check_answers(BANK)
    with pytest.raises(AnswerError):
        check_answers(Answers(id="bank a", consortium="north"))
    assert list(tmp_path.iterdir()) == []
