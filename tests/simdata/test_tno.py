"""Folders in TNO's format become data set folders in which no payment is lost or doubled."""

import csv
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bank_node.errors import (
    DataError,
    MissingColumnError,
    MissingFileError,
    ParameterError,
    UnreadableFileError,
)
from bank_node.ingest import BankData, read_bank
from bank_node.partition import build_partition
from simdata.cli import app
from simdata.dataset import bank_folder, read_dataset
from simdata.tno import import_tno

DAY = 86_400_000_000
NEW_YEAR = 1_577_836_800_000_000
HEADER = "id_source,bank_source,id_destination,bank_destination,amount\n"

FILES = {
    "nodes_north.csv": "id,risk_score\n1,0.25\n2,\n",
    "nodes_south.csv": "id,risk_score\n7,1e-3\n",
    "nodes_all.csv": "not read at all",
    "transactions_north_period0.csv": HEADER
    + "1,north,7,south,5\n1,north,7,south,5\n1,north,2,north,9000000000\n",
    "transactions_south_period0.csv": HEADER
    + "1,north,7,south,5\n7,south,2,north,6\n8,south,7,south,3\n",
    "transactions_south_period2.csv": HEADER + "1,north,7,south,5\n",
    "transactions_all_period0.csv": "not read at all",
}

Payment = tuple[str, str, int, int]


def write(place: Path, files: Mapping[str, str] = FILES) -> Path:
    """Write the files into a folder."""
    folder = place / "source"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def read_all(folder: Path) -> dict[str, BankData]:
    """Each bank's data, as its node reads them; no row may be rejected."""
    data = {
        bank: read_bank(bank_folder(folder, bank), bank, base_currency="EUR")
        for bank in read_dataset(folder).banks
    }
    assert all(mine.counts.rejected == {} for mine in data.values())
    return data


def pooled(data: Mapping[str, BankData]) -> Counter[Payment]:
    """The payments of all banks, each tx_id once, as (payer, payee, day, whole euros)."""
    rows = {row["tx_id"]: row for mine in data.values() for row in mine.transactions.to_pylist()}
    return Counter(
        (
            row["from_account"],
            row["to_account"],
            (row["timestamp"] - NEW_YEAR) // DAY,
            row["amount"] // 100,
        )
        for row in rows.values()
    )


def ids(data: BankData) -> set[str]:
    """The tx_ids of a bank's payments."""
    return set(data.transactions["tx_id"].to_pylist())


def published(name: str) -> Path:
    """A folder of the published test data."""
    place = os.environ.get("UNDERCURRENT_TEST_DATA")
    if not place or not (Path(place) / "tno" / name).is_dir():
        pytest.skip("UNDERCURRENT_TEST_DATA names no folder with TNO's test data")
    return Path(place) / "tno" / name


@pytest.mark.parametrize(("name", "periods"), [("small", 1), ("small_multi_period", 3)])
def test_the_published_data_pool_to_their_joined_truth(
    tmp_path: Path, name: str, periods: int
) -> None:
    """Import, pooled, is transactions_all of every period as a multiset, and nodes_all."""
    source = published(name)
    import_tno(source, tmp_path / "out")
    data = read_all(tmp_path / "out")
    truth: Counter[Payment] = Counter()
    for period in range(periods):
        with (source / f"transactions_all_period{period}.csv").open() as file:
            truth.update(
                (row["id_source"], row["id_destination"], period, int(row["amount"]))
                for row in csv.DictReader(file)
            )
    assert pooled(data) == truth
    with (source / "nodes_all.csv").open() as file:
        scores = {row["id"]: float(row["risk_score"]) for row in csv.DictReader(file)}
    assert scores == {
        row["account"]: row["risk_score"]
        for mine in data.values()
        for row in mine.accounts.to_pylist()
    }


@pytest.mark.parametrize("name", ["small", "small_multi_period"])
def test_both_banks_of_a_published_payment_have_it(tmp_path: Path, name: str) -> None:
    """Each cross-bank payment is at both banks under one tx_id, others at one bank."""
    import_tno(published(name), tmp_path / "out")
    data = read_all(tmp_path / "out")
    known = {bank: ids(mine) for bank, mine in data.items()}
    for mine in data.values():
        for row in mine.transactions.to_pylist():
            holders = {bank for bank, known_ids in known.items() if row["tx_id"] in known_ids}
            assert holders == {row["from_bank"], row["to_bank"]}


def test_a_period_is_a_slice_of_a_day(tmp_path: Path) -> None:
    """With slice=1d since 2020-01-01 the edges of period p are in slice p."""
    import_tno(published("small_multi_period"), tmp_path / "out")
    data = read_all(tmp_path / "out")
    part = build_partition(data["local0"], "local0", tuple(data), since=NEW_YEAR, slice_us=DAY)
    assert part.graph.slices == 3
    per_day = Counter(part.graph.slice.tolist())
    payments = Counter(
        (row["from_account"], row["to_account"], (row["timestamp"] - NEW_YEAR) // DAY)
        for row in data["local0"].transactions.to_pylist()
    )
    assert per_day == Counter(day for _source, _target, day in payments)


@pytest.mark.parametrize("as_csv", [False, True])
def test_equal_payments_count_as_often_as_in_the_fuller_file(tmp_path: Path, as_csv: bool) -> None:
    """Two alike at the payer and one at the payee are two payments, known to both banks."""
    dataset = import_tno(write(tmp_path), tmp_path / "out", csv=as_csv)
    assert dataset == read_dataset(tmp_path / "out")
    assert dataset.banks == ("north", "south")
    assert dataset.base_currency == "EUR"
    data = read_all(tmp_path / "out")
    assert pooled(data) == {
        ("1", "7", 0, 5): 2,
        ("1", "2", 0, 9_000_000_000): 1,
        ("7", "2", 0, 6): 1,
        ("8", "7", 0, 3): 1,
        ("1", "7", 2, 5): 1,
    }
    assert len(ids(data["north"]) & ids(data["south"])) == 4


def test_accounts_without_a_node_row_survive(tmp_path: Path) -> None:
    """Account 8 stands in payments only: its payment is kept, and it is an account of its bank."""
    import_tno(write(tmp_path), tmp_path / "out")
    south = read_all(tmp_path / "out")["south"]
    assert south.counts.accounts_only_in_payments == 1
    assert "8" in build_partition(south, "south", ("north", "south")).accounts.to_pylist()


def test_the_import_is_the_same_each_time(tmp_path: Path) -> None:
    """tx_ids depend on the payments, not on the order of the rows."""
    import_tno(write(tmp_path / "a"), tmp_path / "one")
    lines = FILES["transactions_north_period0.csv"].splitlines()
    shuffled = "\n".join([lines[0], *reversed(lines[1:])]) + "\n"
    other = write(tmp_path / "b", {**FILES, "transactions_north_period0.csv": shuffled})
    import_tno(other, tmp_path / "two")
    for bank, mine in read_all(tmp_path / "one").items():
        assert mine.transactions.equals(read_all(tmp_path / "two")[bank].transactions)


def test_blanks_and_leading_zeros_make_no_second_payment(tmp_path: Path) -> None:
    """A payment written ``005`` by one bank and `` 5`` by the other is one payment."""
    files = FILES | {
        "transactions_north_period0.csv": HEADER + "1,north,7,south,005\n",
        "transactions_south_period0.csv": HEADER + "1, north,7,south, 5\n",
    }
    import_tno(write(tmp_path, files), tmp_path / "out")
    assert pooled(read_all(tmp_path / "out"))["1", "7", 0, 5] == 1


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("nodes_north.csv", "id,risk_score\n1,0.2\n,0.3\n", UnreadableFileError, "row 3 has a id"),
        ("nodes_north.csv", "id,risk_score\n1,high\n", UnreadableFileError, "row 2 .*risk_score"),
        ("nodes_north.csv", "id,risk_score\n1,1.5\n", UnreadableFileError, "row 2 .*above 1"),
        ("nodes_north.csv", "id,risk_score\n1,nan\n", UnreadableFileError, "row 2 .*risk_score"),
        ("nodes_north.csv", "id\n1\n", MissingColumnError, "risk_score is missing"),
        ("nodes_north.csv", "id,id,risk_score\n1,1,0\n", MissingColumnError, "id is twice"),
        ("nodes_north.csv", "", UnreadableFileError, "[Ee]mpty"),
        ("transactions_south_period2.csv", HEADER + "1,north,7,south,-5\n",
         UnreadableFileError, "row 2 .*amount"),
        ("transactions_south_period2.csv", HEADER + "1,north,7,south,5\n1,north,7,south,5.5\n",
         UnreadableFileError, "row 3 .*amount"),
        ("transactions_south_period2.csv", HEADER + "1,north,7,south,\n",
         UnreadableFileError, "row 2 .*amount"),
        ("transactions_south_period2.csv", HEADER + "1,north,7,south,99999999999999999\n",
         UnreadableFileError, "row 2 .*amount"),
        ("transactions_south_period2.csv", HEADER + "1,,7,south,5\n",
         UnreadableFileError, "row 2 .*bank_source"),
        ("transactions_south_period2.csv", HEADER + "1,north,2,north,5\n",
         UnreadableFileError, "row 2 .*no side at bank south"),
        ("transactions_south_period2.csv", HEADER + "1,north,7,south,5\n1,north,7\n",
         UnreadableFileError, "Row #3"),
        ("transactions_west_period0.csv", HEADER, MissingFileError, "nodes_west"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_names_file_and_row(
    tmp_path: Path, name: str, text: str, error: type[DataError], words: str
) -> None:
    """The error says which file, which row and what is wrong; nothing is written."""
    source = write(tmp_path, {**FILES, name: text})
    with pytest.raises(error, match=words) as caught:
        import_tno(source, tmp_path / "out")
    assert name in str(caught.value) or "west" in name
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_other_folders_and_numbers_of_banks_are_refused(tmp_path: Path) -> None:
    """No folder, a folder of something else, and a split over another number of banks."""
    with pytest.raises(MissingFileError, match="no such folder"):
        import_tno(tmp_path / "no", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="nodes_<bank>"):
        import_tno(tmp_path / "empty", tmp_path / "out")
    source = write(tmp_path)
    with pytest.raises(ParameterError, match="2 banks of its own"):
        import_tno(source, tmp_path / "out", banks=3)
    assert not (tmp_path / "out").exists()


def test_the_format_is_known_to_the_command(tmp_path: Path) -> None:
    """``simdata import tno`` writes the data set, and its help shows how."""
    source = write(tmp_path)
    result = CliRunner().invoke(app, ["import", "tno", str(source), str(tmp_path / "out")])
    assert result.exit_code == 0
    assert read_dataset(tmp_path / "out").banks == ("north", "south")
    shown = CliRunner().invoke(app, ["import", "--help"], env={"COLUMNS": "100"})
    assert "simdata import tno" in " ".join(shown.output.split())
