"""Simulated data are reproducible, consistent between banks, and hide laundering across them."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bank_node.errors import DataError
from bank_node.ingest import BankData, read_bank
from simdata.dataset import bank_folder, read_dataset, read_labels
from simdata.generate import generate


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read_all(folder: Path) -> dict[str, BankData]:
    """Each bank's data, as its node reads them."""
    return {
        bank: read_bank(bank_folder(folder, bank), bank, base_currency="EUR")
        for bank in read_dataset(folder).banks
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three banks."""
    out = tmp_path_factory.mktemp("sim") / "data"
    generate(out, accounts=900, seed=5, schemes=30)
    return out


def schemes(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The payments of each scheme in order of hops, with the payments' own columns."""
    payments = {
        row["tx_id"]: row
        for data in read_all(folder).values()
        for row in data.transactions.to_pylist()
    }
    found = defaultdict(list)
    for row in pq.read_table(folder / "labels" / "patterns.parquet").to_pylist():
        found[row["pattern"]].append(row | payments[row["tx_id"]])
    return {name: sorted(rows, key=lambda row: row["hop"]) for name, rows in found.items()}


@pytest.mark.parametrize("csv", [False, True])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, csv: bool) -> None:
    """Two runs are equal byte by byte, another seed gives something else."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        generate(tmp_path / name, accounts=200, seed=seed, csv=csv)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert files(tmp_path / "a") != files(tmp_path / "c")


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    """A bank's node reads the same data from both formats."""
    for name, csv in (("p", False), ("c", True)):
        generate(tmp_path / name, accounts=200, csv=csv)
    for one, two in zip(
        read_all(tmp_path / "p").values(), read_all(tmp_path / "c").values(), strict=True
    ):
        assert one.accounts.equals(two.accounts)
        assert one.transactions.equals(two.transactions)


def test_every_row_is_usable_and_known_to_both_banks(folder: Path) -> None:
    """Nothing is rejected, every account is listed, and a cross-bank payment is in both files."""
    data = read_all(folder)
    assert sum(bank.counts.accounts for bank in data.values()) == 900
    assert len({bank.counts.accounts for bank in data.values()}) == 3
    for bank in data.values():
        assert (bank.counts.rejected, bank.counts.accounts_only_in_payments) == ({}, 0)
    ids = {name: set(bank.transactions["tx_id"].to_pylist()) for name, bank in data.items()}
    for name, bank in data.items():
        for row in bank.transactions.to_pylist():
            other = row["to_bank"] if row["from_bank"] == name else row["from_bank"]
            assert other == "cash" or row["tx_id"] in ids[other]


def test_laundered_money_changes_bank_at_each_hop(folder: Path) -> None:
    """Each hop leads on from the last one, to another bank, later, and loses a cut."""
    for rows in schemes(folder).values():
        hops = defaultdict(list)
        for row in rows:
            hops[row["hop"]].append(row)
        for hop, parts in hops.items():
            assert len({(p["from_account"], p["to_account"]) for p in parts}) == 1 or hop == 0
            assert all(p["from_bank"] != p["to_bank"] for p in parts)
        for before, after in pairwise([hops[hop] for hop in sorted(hops)]):
            assert before[0]["to_account"] == after[0]["from_account"]
            assert min(p["timestamp"] for p in before) < min(p["timestamp"] for p in after)
            assert sum(p["amount"] for p in before) > sum(p["amount"] for p in after)
        assert len(hops) >= 4


def test_labels_name_exactly_the_accounts_of_the_schemes(folder: Path) -> None:
    """Illicit are the accounts that a scheme's payments touch, each in one scheme."""
    labels = read_labels(folder)
    assert labels is not None
    assert labels.num_rows == 900
    labelled = {
        (row["account"], row["pattern"], row["typology"])
        for row in labels.to_pylist()
        if row["is_illicit"]
    }
    touched = {
        (account, name, row["typology"])
        for name, rows in schemes(folder).items()
        for row in rows
        for account in (row["from_account"], row["to_account"])
        if account != "cash"
    }
    assert labelled == touched
    assert {typology for _, _, typology in labelled} == {"chain", "cycle"}


def test_a_bank_alone_suspects_first_accounts_and_innocents_but_no_mules(folder: Path) -> None:
    """High initial scores go to most first accounts and to false alarms; mules look innocent."""
    risk = {
        row["account"]: row["risk_score"]
        for data in read_all(folder).values()
        for row in data.accounts.to_pylist()
    }
    found = schemes(folder).values()
    first = {rows[0]["to_account"] for rows in found}
    mules = {row["to_account"] for rows in found for row in rows} - first
    innocent = set(risk) - first - mules
    assert sum(risk[name] > 0.4 for name in first) >= 0.6 * len(first)
    assert sum(risk[name] > 0.4 for name in mules) <= 0.05 * len(mules)
    assert sum(risk[name] > 0.4 for name in innocent) >= 5


def test_labels_stay_out_of_the_banks_folders(folder: Path) -> None:
    """A bank's files have the columns of the format and no other."""
    for bank in read_dataset(folder).banks:
        place = bank_folder(folder, bank)
        assert pq.read_schema(place / "accounts.parquet").names == (
            ["account", "customer", "opened", "kind", "risk_score", "balance"]
        )
        assert pq.read_schema(place / "transactions.parquet").names == (
            ["tx_id", "timestamp", "from_bank", "from_account", "to_bank", "to_account",
             "amount", "currency", "channel"]
        )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"banks": 0},
        {"banks": 1001, "accounts": 100_000},
        {"accounts": 29},
        {"days": 0},
        {"payments_per_account": 0.0},
        {"payments_per_account": float("nan")},
        {"schemes": -1},
        {"schemes": 1000},
        {"seed": -1},
    ],
)
def test_parameters_out_of_range_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    """A senseless request is one clear error and writes nothing."""
    with pytest.raises(DataError):
        generate(tmp_path / "x", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"banks": 1, "accounts": 10, "days": 1},
        {"banks": 2, "accounts": 20, "schemes": 1},
        {"banks": 4, "accounts": 48, "schemes": 4, "days": 1},
        {"schemes": 0, "accounts": 30},
    ],
)
def test_small_data_sets_work(tmp_path: Path, options: dict[str, Any]) -> None:
    """The smallest sizes give a data set that a node can read."""
    generate(tmp_path / "x", **options)
    for data in read_all(tmp_path / "x").values():
        assert data.counts.rejected == {}
