"""AMLSim data sets become data set folders, whatever the layout and the packing."""

import csv
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bank_node.errors import (
    DataError,
    MissingColumnError,
    MissingFileError,
    ParameterError,
    UnreadableFileError,
)
from bank_node.ingest import BankData, read_bank
from simdata.amlsim import import_amlsim
from simdata.dataset import bank_folder, read_dataset, read_labels
from simdata.rejects import count_rejected

DAY = 86_400_000_000
NEW_YEAR = 1_577_836_800_000_000

SAMPLE = {
    "nodes.csv": "nodeid,isFraud,init_balance,fraudStep\n"
    + "".join(f"{i},{int(i == 3)},{i}.50,-1\n" for i in range(20)),
    "transactions.csv": "sourceNodeId,targetNodeId,value,time\n"
    + "".join(f"{i},{(i * 7 + 1) % 20},{100 + i}.5,{i}\n" for i in range(20)),
    "metadata.txt": "nodes: 20\npatterns: 1,000 cycles\n",
}

OUTPUTS = {
    "accounts.csv": "acct_id,dsply_nm,type,acct_stat,initial_deposit,tx_behavior_id,bank_id,ssn\n"
    "1,One,SAV,A,10.00,1,north,9\n2,Two,SAV,A,20.00,1,south,9\n3,Three,SAV,A,30.00,1,north,9\n",
    "transactions.csv": "tran_id,orig_acct,bene_acct,tx_type,base_amt,tran_timestamp,is_sar\n"
    "7,1,2,TRANSFER,12.34,2017-01-02T00:00:00Z,True\n"
    "8,2,3,TRANSFER,12.00,2017-01-03T00:00:00Z,True\n"
    "9,1,3,TRANSFER,1.00,2017-01-04T00:00:00Z,False\n"
    "10,99,3,CASH,1.00,2017-01-05T00:00:00Z,False\n"
    "9,3,1,TRANSFER,1.00,2017-01-06T00:00:00Z,False\n",
    "alert_accounts.csv": "alert_id,alert_type,acct_id,acct_name,is_sar,bank_id\n"
    "5,fan_in,1,One,True,north\n5,fan_in,2,Two,True,south\n",
    "alert_transactions.csv": "alert_id,alert_type,is_sar,tran_id,orig_acct,bene_acct,base_amt\n"
    "5,fan_in,True,7,1,2,12.34\n5,fan_in,True,8,2,3,12.00\n",
}


def pack(place: Path, files: Mapping[str, str], kind: str, inner: str = "sample/") -> Path:
    """The files as a folder or as an archive."""
    if kind == "folder":
        folder = place / "sample"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        return folder
    path = place / f"sample.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(inner + name, text)
        return path
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(inner + name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def read_all(folder: Path) -> dict[str, BankData]:
    """Each bank's data, as its node reads them."""
    return {
        bank: read_bank(bank_folder(folder, bank), bank, base_currency="USD")
        for bank in read_dataset(folder).banks
    }


@pytest.mark.parametrize("kind", ["folder", "tgz", "tar.gz", "zip"])
def test_an_old_sample_is_split_by_the_hash_of_the_account(tmp_path: Path, kind: str) -> None:
    """Bank, balance, day and label of each account and payment are those of the sample."""
    out = tmp_path / "out"
    dataset = import_amlsim(pack(tmp_path, SAMPLE, kind), out, banks=4)
    assert dataset == read_dataset(out)
    assert dataset.name == "sample"
    data = read_all(out)
    payments = set()
    for bank, mine in data.items():
        assert mine.counts.rejected == {}
        for row in mine.accounts.to_pylist():
            number = int.from_bytes(hashlib.sha256(row["account"].encode()).digest(), "big")
            assert bank == f"bank{number % 4 + 1}"
            assert row["balance"] == int(row["account"]) * 100 + 50
        payments |= {
            (r["from_account"], r["to_account"], r["amount"], r["timestamp"])
            for r in mine.transactions.to_pylist()
        }
    assert payments == {
        (str(i), str((i * 7 + 1) % 20), 10050 + 100 * i, NEW_YEAR + i * DAY) for i in range(20)
    }
    labels = read_labels(out)
    assert labels is not None
    assert labels.num_rows == 20
    assert [(r["account"], r["typology"]) for r in labels.to_pylist() if r["is_illicit"]] == [
        ("3", "cycle")
    ]


def test_outputs_keep_their_banks_and_hide_their_labels(tmp_path: Path) -> None:
    """Banks, ids and times come from the files; what AMLSim knows goes to the labels only."""
    out = tmp_path / "out"
    dataset = import_amlsim(pack(tmp_path, OUTPUTS, "zip"), out, csv=True)
    assert dataset.banks == ("north", "south")
    north = read_all(out)["north"]
    assert north.accounts.select(["account", "customer", "kind", "balance"]).to_pylist() == [
        {"account": "1", "customer": "One", "kind": "SAV", "balance": 1000},
        {"account": "3", "customer": "Three", "kind": "SAV", "balance": 3000},
    ]
    assert north.transactions["tx_id"].to_pylist() == ["7", "8", "9-3", "10", "9-5"]
    assert north.transactions["from_bank"].to_pylist() == (
        ["north", "south", "north", "outside", "north"]
    )
    assert north.counts.rejected == {}
    header = (bank_folder(out, "north") / "transactions.csv").read_text().splitlines()[0]
    assert "sar" not in header
    assert "alert" not in header
    labels = read_labels(out)
    assert labels is not None
    assert labels.filter(labels["is_illicit"])["account"].to_pylist() == ["1", "2"]
    patterns = (out / "labels" / "patterns.csv").read_text().splitlines()
    assert patterns == ["pattern,typology,tx_id,hop", "5,fan_in,7,", "5,fan_in,8,"]


def test_a_data_set_with_banks_cannot_be_split_again(tmp_path: Path) -> None:
    """--banks is refused unless it is the number of banks that the data set has."""
    source = pack(tmp_path, OUTPUTS, "folder")
    with pytest.raises(ParameterError, match="2 banks of its own"):
        import_amlsim(source, tmp_path / "out", banks=3)
    assert not (tmp_path / "out").exists()
    import_amlsim(source, tmp_path / "out", banks=2)


@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_an_archive_never_writes_where_it_wants(tmp_path: Path, kind: str) -> None:
    """Paths that lead out of the archive are only names; nothing is written beside the output."""
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    source = pack(place, SAMPLE | {"evil.txt": "x"}, kind, inner="../../")
    import_amlsim(source, place / "out")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.name == "nodes.csv") == []
    assert not list(tmp_path.rglob("evil.txt"))


def test_sources_that_cannot_be_used_are_clear_errors(tmp_path: Path) -> None:
    """Nothing there, something else, a broken archive, two data sets, a cut-off table."""
    out = tmp_path / "out"
    cases: list[tuple[Path, type[DataError], str]] = [
        (tmp_path / "no", MissingFileError, "no such")
    ]
    empty = tmp_path / "empty"
    empty.mkdir()
    cases.append((empty, MissingFileError, r"neither nodes\.csv"))
    noise = tmp_path / "noise.tgz"
    noise.write_bytes(b"\x1f\x8b" + bytes(100))
    cases.append((noise, UnreadableFileError, "archive"))
    whole = pack(tmp_path, SAMPLE, "tgz").read_bytes()
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(whole[: len(whole) // 2])
    cases.append((cut, DataError, "cut"))
    twice = tmp_path / "twice.zip"
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a/nodes.csv", "x")
        archive.writestr("b/nodes.csv", "x")
    cases.append((twice, UnreadableFileError, "more than once"))
    (tmp_path / "short").mkdir()
    short = pack(tmp_path / "short", SAMPLE | {"nodes.csv": "nodeid\n1\n"}, "folder")
    cases.append((short, MissingColumnError, "column isfraud missing"))
    for source, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            import_amlsim(source, out)
        assert "\n" not in str(caught.value)
        assert str(source) in str(caught.value)
        assert not out.exists()
    with pytest.raises(ParameterError):
        import_amlsim(cut, out, banks=0)


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("1", "0"), ("TRUE", "false")])
def test_alerts_that_are_no_laundering_are_not_labelled(tmp_path: Path, yes: str, no: str) -> None:
    """Where the files of alerts have is_sar, only the alerts with it count."""
    files = OUTPUTS | {
        name: OUTPUTS[name].replace("True", yes)
        for name in ("alert_accounts.csv", "alert_transactions.csv")
    }
    files["alert_accounts.csv"] += f"6,cycle,3,Three,{no},north\n"
    files["alert_transactions.csv"] += f"6,cycle,{no},10,99,3,1.00\n"
    out = tmp_path / "out"
    import_amlsim(pack(tmp_path, files, "folder"), out, csv=True)
    labels = read_labels(out)
    assert labels is not None
    assert labels.filter(labels["is_illicit"])["account"].to_pylist() == ["1", "2"]
    patterns = (out / "labels" / "patterns.csv").read_text().splitlines()
    assert patterns[1:] == ["5,fan_in,7,", "5,fan_in,8,"]


def test_alerts_without_the_column_are_all_labelled(tmp_path: Path) -> None:
    """An older output does not tell is_sar; its alerts are those of laundering."""
    files = OUTPUTS | {
        "alert_accounts.csv": "alert_id,alert_type,acct_id\n5,fan_in,3\n",
        "alert_transactions.csv": "alert_id,alert_type,tran_id\n5,fan_in,10\n",
    }
    out = tmp_path / "out"
    import_amlsim(pack(tmp_path, files, "folder"), out, csv=True)
    labels = read_labels(out)
    assert labels is not None
    assert labels.filter(labels["is_illicit"])["account"].to_pylist() == ["3"]
    assert (out / "labels" / "patterns.csv").read_text().splitlines()[1:] == ["5,fan_in,10,"]


def rejected(out: Path) -> list[tuple[str, ...]]:
    """File, row, field and reason of each row that was left out; each has a remedy."""
    with (out / "rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["remedy"] and row["text"] for row in rows)
    return [(row["file"], row["row"], row["field"], row["reason"]) for row in rows]


def test_bad_rows_of_outputs_are_told_and_left_out(tmp_path: Path) -> None:
    """Amounts, times and accounts that no node could use, and torn lines, go to rejected.csv."""
    bad = [
        "11,1,2,TRANSFER,abc,2017-01-02T00:00:00Z,False",
        "12,1,2,TRANSFER,-5,2017-01-02T00:00:00Z,False",
        "13,1,2,TRANSFER,5,soon,False",
        "14,,2,TRANSFER,5,2017-01-02T00:00:00Z,False",
        "15,1,2",
        "16,98,99,TRANSFER,5,2017-01-02T00:00:00Z,False",
        "17,1,2,TRANSFER,5,1e300,False",
    ]
    files = OUTPUTS | {
        "transactions.csv": OUTPUTS["transactions.csv"] + "".join(f"{row}\n" for row in bad),
        "accounts.csv": OUTPUTS["accounts.csv"] + "3,Again,SAV,A,1.00,1,south,9\n4,Torn",
    }
    out = tmp_path / "out"
    import_amlsim(pack(tmp_path, files, "tgz"), out)
    assert rejected(out) == [
        ("accounts.csv", "4", "account", "repeated account"),
        ("accounts.csv", "5", "", "wrong number of fields"),
        ("transactions.csv", "6", "amount", "unparsable amount"),
        ("transactions.csv", "7", "amount", "negative amount"),
        ("transactions.csv", "8", "timestamp", "unparsable time"),
        ("transactions.csv", "9", "from_account", "missing account"),
        ("transactions.csv", "10", "", "wrong number of fields"),
        ("transactions.csv", "11", "from_bank", "neither side at a bank of the data set"),
        ("transactions.csv", "12", "timestamp", "unparsable time"),
    ]
    data = read_all(out)
    assert all(bank.counts.rejected == {} for bank in data.values())
    assert data["north"].transactions["tx_id"].to_pylist() == ["7", "8", "9-3", "10", "9-5"]


def test_bad_rows_of_a_sample_are_told_and_left_out(tmp_path: Path) -> None:
    """The same for the old samples; a torn last line does not stop the import."""
    bad = "1,2,abc,3\n1,2,-5,3\n1,2,5,soon\n,2,5,3\n1,2"
    files = SAMPLE | {
        "nodes.csv": SAMPLE["nodes.csv"] + "20,0",
        "transactions.csv": SAMPLE["transactions.csv"] + bad,
    }
    out = tmp_path / "out"
    import_amlsim(pack(tmp_path, files, "zip"), out)
    assert rejected(out) == [
        ("nodes.csv", "21", "", "wrong number of fields"),
        ("transactions.csv", "21", "amount", "unparsable amount"),
        ("transactions.csv", "22", "amount", "negative amount"),
        ("transactions.csv", "23", "timestamp", "unparsable time"),
        ("transactions.csv", "24", "from_account", "missing account"),
        ("transactions.csv", "25", "", "wrong number of fields"),
    ]
    data = read_all(out)
    assert all(bank.counts.rejected == {} for bank in data.values())
    ids = {tx for bank in data.values() for tx in bank.transactions["tx_id"].to_pylist()}
    assert len(ids) == 20


@pytest.mark.parametrize(
    ("name", "illicit", "payments", "typology"),
    [("20K_cycle200", 945, 117_805, "cycle"), ("20K_fanin200", 954, 118_250, "fan-in")],
)
def test_the_published_samples(
    tmp_path: Path, name: str, illicit: int, payments: int, typology: str
) -> None:
    """The samples keep all their accounts, payments and illicit accounts, and all rows are used."""
    place = os.environ.get("UNDERCURRENT_TEST_DATA")
    if not place or not (Path(place) / "amlsim" / f"{name}.tgz").is_file():
        pytest.skip("UNDERCURRENT_TEST_DATA names no folder with the AMLSim samples")
    out = tmp_path / "out"
    import_amlsim(Path(place) / "amlsim" / f"{name}.tgz", out)
    assert count_rejected(out) == {}
    data = read_all(out)
    assert sum(bank.counts.accounts for bank in data.values()) == 20_000
    assert all(bank.counts.rejected == {} for bank in data.values())
    ids = [tx for bank in data.values() for tx in bank.transactions["tx_id"].to_pylist()]
    assert len(set(ids)) == payments
    labels = read_labels(out)
    assert labels is not None
    marked = labels.filter(labels["is_illicit"])
    assert marked.num_rows == illicit
    assert set(marked["typology"].to_pylist()) == {typology}
