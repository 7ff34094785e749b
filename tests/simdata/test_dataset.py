"""A data set folder is written whole or not at all, and read back as it was."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bank_node.errors import (
    DataError,
    MissingFileError,
    OutputExistsError,
    ParameterError,
    RosterError,
    UnreadableFileError,
)
from simdata.dataset import (
    Dataset,
    bank_folder,
    decimal_column,
    fresh_folder,
    read_dataset,
    read_labels,
    write_dataset,
)


def empty_dataset(out: Path, dataset: Dataset, *, force: bool = False) -> None:
    """Write a data set without accounts and payments."""
    text = pa.string()
    names = ("tx_id", "from_bank", "from_account", "to_bank", "to_account", "amount", "currency")
    write_dataset(
        out,
        dataset,
        accounts=pa.schema([("bank", text), ("account", text)]).empty_table(),
        payments=pa.schema(
            [("timestamp", pa.int64()), *((name, text) for name in names)]
        ).empty_table(),
        labels=pa.schema(
            [(n, text) for n in ("bank", "account", "is_illicit", "pattern", "typology")]
        ).empty_table(),
        patterns=pa.schema([("pattern", text)]).empty_table(),
        force=force,
    )


def test_the_description_comes_back(tmp_path: Path) -> None:
    """Odd names, times with fractions and rates survive dataset.toml."""
    dataset = Dataset(
        name='a "name" \\ with\n everything é',
        banks=("b2", "b1"),
        seed=7,
        base_currency="SEK",
        first=1_767_225_600_000_001,
        last=1_767_225_600_000_002,
        rates={"EUR": 11.25, "US Dollar": 1e-05},
    )
    empty_dataset(tmp_path / "d", dataset)
    assert read_dataset(tmp_path / "d") == dataset
    labels = read_labels(tmp_path / "d")
    assert labels is not None
    assert labels.num_rows == 0


def test_the_description_is_optional(tmp_path: Path) -> None:
    """Without dataset.toml the banks are the folder names, and labels need not be there."""
    for bank in ("y", "x"):
        bank_folder(tmp_path, bank).mkdir(parents=True)
    assert read_dataset(tmp_path) == Dataset(tmp_path.name, ("x", "y"))
    assert read_labels(tmp_path) is None


@pytest.mark.parametrize(
    ("toml", "error"),
    [
        ("banks = [", UnreadableFileError),
        ("banks = 'x'", UnreadableFileError),
        ("banks = [1]", UnreadableFileError),
        ("banks = ['x', 'z']", MissingFileError),
        ("banks = []", MissingFileError),
        ("first_timestamp = 'soon'", UnreadableFileError),
        ("[rates]\nUSD = 'x'", UnreadableFileError),
    ],
)
def test_a_wrong_description_is_one_clear_error(
    tmp_path: Path, toml: str, error: type[DataError]
) -> None:
    """Each fault of dataset.toml names the file or the folder."""
    bank_folder(tmp_path, "x").mkdir(parents=True)
    (tmp_path / "dataset.toml").write_text(toml)
    with pytest.raises(error, match=str(tmp_path)):
        read_dataset(tmp_path)


def test_no_data_set_is_one_clear_error(tmp_path: Path) -> None:
    """A folder without banks, or with one bank under two names, is refused."""
    with pytest.raises(MissingFileError, match="banks"):
        read_dataset(tmp_path)
    for bank in ("7", "007"):
        bank_folder(tmp_path, bank).mkdir(parents=True)
    with pytest.raises(RosterError):
        read_dataset(tmp_path)


def interrupted_write(out: Path) -> None:
    """Write half of a folder, then be interrupted."""
    with fresh_folder(out, force=True) as work:
        (work / "half").write_text("x")
        raise KeyboardInterrupt


def test_nothing_is_left_of_an_interrupted_write(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves neither the new folder nor a temporary one, and the old one."""
    out = tmp_path / "deep" / "d"
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(out)
    assert list((tmp_path / "deep").iterdir()) == []
    empty_dataset(out, Dataset("old", ("b",)))
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(out)
    assert read_dataset(out).name == "old"


@pytest.mark.parametrize("failing", [{"new"}, {"new", "old"}])
def test_the_old_folder_outlives_a_failed_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: set[str]
) -> None:
    """If the new folder cannot take its place the old one comes back, or at least is not lost."""
    out = tmp_path / "d"
    empty_dataset(out, Dataset("old", ("b",)))
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name in failing:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"):
        empty_dataset(out, Dataset("new", ("b",)), force=True)
    left = [out] if failing == {"new"} else [p / "old" for p in tmp_path.iterdir()]
    assert [read_dataset(one).name for one in left] == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


def test_only_a_data_set_is_replaced_and_only_by_force(tmp_path: Path) -> None:
    """A full folder is refused, replaced by force, and never if it is something else."""
    out = tmp_path / "d"
    out.mkdir()
    empty_dataset(out, Dataset("old", ("b",)))
    with pytest.raises(OutputExistsError, match="--force"):
        empty_dataset(out, Dataset("new", ("b",)))
    empty_dataset(out, Dataset("new", ("b",)), force=True)
    assert read_dataset(out).name == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters").write_text("dear")
    with pytest.raises(OutputExistsError, match="something else"):
        empty_dataset(tmp_path / "home", Dataset("new", ("b",)), force=True)
    with pytest.raises(OutputExistsError, match="a file"):
        empty_dataset(tmp_path / "home" / "letters", Dataset("new", ("b",)), force=True)


@pytest.mark.parametrize("bank", ["", ".", "..", ".x", "a/b", "a\\b", "../../x"])
def test_a_bank_id_never_leads_out_of_the_folder(tmp_path: Path, bank: str) -> None:
    """A bank id that is no plain folder name is refused before anything is written."""
    with pytest.raises(ParameterError):
        empty_dataset(tmp_path / "d", Dataset("x", (bank,)))
    assert list(tmp_path.iterdir()) == []


def test_decimal_columns_are_exact() -> None:
    """Hundredths become decimals without a detour through floats, negative ones too."""
    minor = np.array([0, 1, -1, 123456789012345678, -(2**63), 2**63 - 1])
    assert [int(value * 100) for value in decimal_column(minor).to_pylist()] == minor.tolist()
