"""``node.toml``: the environment wins, and an error names its section and setting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bank_node.node.config import default_folder, read_config
from bank_node.node.errors import ConfigurationError

SMALLEST = '[node]\nid = "alba"\nconsortium = "nordic"\n'


def folder(path: Path, text: str = SMALLEST) -> Path:
    """A node's folder with this configuration."""
    (path / "node.toml").write_text(text, "utf-8")
    return path


def test_two_settings_are_enough(tmp_path: Path) -> None:
    """All others have defaults, and nothing lies outside the node's folder."""
    config = read_config(folder(tmp_path))
    assert (config.node.id, config.node.role, config.runs.at_once) == ("alba", "bank", 2)
    assert config.policy.approve == ("*",)
    assert config.data is None
    places = (config.keys, config.agreements, config.data_folder, config.columns, config.staging)
    assert {place.parent for place in (*places, config.socket)} == {tmp_path.resolve()}


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a password stands in no file; the rest of a section stays as it is in the file."""
    text = SMALLEST + "[runs]\nat_once = 3\nattempts = 4\n[store]\nurl = 'sqlite:///other.db'\n"
    url = "postgresql+psycopg://node:secret@db/node"
    monkeypatch.setenv("UNDERCURRENT_NODE_STORE__URL", url)
    monkeypatch.setenv("UNDERCURRENT_NODE_RUNS__AT_ONCE", "5")
    config = read_config(folder(tmp_path, text))
    assert config.store_url == url
    assert (config.runs.at_once, config.runs.attempts) == (5, 4)


def test_other_variables_do_not_disturb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that names the folder begins like a setting, and is none."""
    monkeypatch.setenv("UNDERCURRENT_NODE", str(tmp_path))
    assert default_folder() == tmp_path
    assert read_config(folder(tmp_path)).node.id == "alba"
    monkeypatch.delenv("UNDERCURRENT_NODE")
    assert default_folder() == Path("node")


def test_a_relative_database_lies_in_the_nodes_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the program was started; an absolute one stays where it is."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    here = folder(tmp_path)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read_config(here).store_url == f"sqlite:///{tmp_path.resolve() / 'node.db'}"
    text = SMALLEST + "[store]\nurl = 'sqlite:////var/lib/node.db'\n"
    assert read_config(folder(tmp_path, text)).store_url == "sqlite:////var/lib/node.db"


def test_the_folder_may_be_named_relatively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept as an absolute path."""
    folder(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    assert read_config(Path(tmp_path.name)).folder == tmp_path.resolve()


WRONG = [
    ("[runs]\nat_once = 0\n", "runs.at_once"),
    ("[runs]\nat_one = 2\n", "runs.at_one"),
    ("[policy]\nmax_bits_per_run = -1\n", "policy.max_bits_per_run"),
    ("[log]\nlevel = 'loud'\n", "log.level"),
    ("[http]\nport = 70000\n", "http.port"),
    ("[data]\nsource = 'excel'\n", "data.source"),
    ("[data]\nsource = 'csv'\n", "data: Value error, csv needs folder"),
    ("[mood]\nis = 'good'\n", "mood"),
    ("[store]\nurl = 7\n", "store.url"),
]


@pytest.mark.parametrize(("text", "where"), WRONG)
def test_an_error_names_section_and_setting(tmp_path: Path, text: str, where: str) -> None:
    """And the file; it never repeats the value, which may be a password."""
    with pytest.raises(ConfigurationError) as caught:
        read_config(folder(tmp_path, SMALLEST + text))
    assert f"{tmp_path / 'node.toml'}: {where}" in caught.value.message
    assert caught.value.exit_code == 2
    assert "70000" not in caught.value.message
    assert "excel" not in caught.value.message


@pytest.mark.parametrize("locale", ["en_LU", "nl_DE", "de_NL", "xx", "zz_GB"])
def test_a_locale_that_does_not_exist_is_refused(tmp_path: Path, locale: str) -> None:
    """Before a page is asked for, each of which would fail."""
    with pytest.raises(ConfigurationError, match=r"web\.locale") as caught:
        read_config(folder(tmp_path, f"{SMALLEST}[web]\nlocale = '{locale}'\n"))
    assert "as en_GB or nl_NL" in caught.value.message
    assert "node init" in caught.value.remedy


@pytest.mark.parametrize("locale", ["en_GB", "nl_BE", "de_CH", "fr", "ja_JP"])
def test_a_locale_that_exists_is_taken(tmp_path: Path, locale: str) -> None:
    """Whatever language the pages are in."""
    config = read_config(folder(tmp_path, f"{SMALLEST}[web]\nlocale = '{locale}'\n"))
    assert config.web.locale == locale


def test_babel_is_loaded_for_another_locale_only() -> None:
    """Commands that show no page read the configuration, too."""
    code = (
        "import sys; from bank_node.node.config import WebSection as web;"
        "web(), web(locale='en_GB'); print('babel' in sys.modules, end=' ');"
        "web(locale='nl_BE'); print('babel' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("name", ["", "../alba", "a/b", "al ba", ".alba", "a" * 65, "Ä"])
def test_a_name_is_safe_in_paths_and_certificates(tmp_path: Path, name: str) -> None:
    """Whatever is not is refused where it enters."""
    with pytest.raises(ConfigurationError, match=r"node\.id"):
        read_config(folder(tmp_path, f'[node]\nid = "{name}"\nconsortium = "nordic"\n'))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """Missing, no TOML, or no text: each is told with its path and a remedy."""
    with pytest.raises(ConfigurationError, match="No such file") as missing:
        read_config(tmp_path)
    assert "node init" in missing.value.remedy
    for raw in (b"[node", b"\xff\xfe"):
        (tmp_path / "node.toml").write_bytes(raw)
        with pytest.raises(ConfigurationError, match=r"node\.toml"):
            read_config(tmp_path)
    with pytest.raises(ConfigurationError, match="node"):
        read_config(folder(tmp_path, "[log]\nlevel = 'info'\n"))
