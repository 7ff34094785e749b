"""SAML-D becomes a data set: split by a seed, its types of payments only in the labels."""

import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bank_node.errors import MissingColumnError, MissingFileError
from bank_node.ingest import read_bank
from simdata.dataset import bank_folder, read_dataset, read_labels
from simdata.rejects import count_rejected
from simdata.saml_d import import_saml_d

HEADER = (
    "Time,Date,Sender_account,Receiver_account,Amount,Payment_currency,Received_currency,"
    "Sender_bank_location,Receiver_bank_location,Payment_type,Is_laundering,Laundering_type\n"
)
ROWS = (
    "10:35:19,2022-10-07,11,12,1459.15,UK pounds,UK pounds,UK,UK,Cash Deposit,0,"
    "Normal_Cash_Deposits\n"
    "10:35:20,2022-10-07,13,14,6019.64,UK pounds,Dirham,UK,UAE,Cross-border,0,Normal_Fan_Out\n"
    "09:00:00,2022-10-07,14,11,14.5,Naira,UK pounds,NG,UK,ACH,1,Smurfing\n"
    "09:00:00,2022-13-07,14,11,14.5,Naira,UK pounds,NG,UK,ACH,0,Normal_Group\n"
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three good rows and one with a month that does not exist."""
    path = tmp_path / "SAML-D.csv"
    path.write_text(HEADER + ROWS)
    return path


def test_accounts_are_split_by_the_hash_of_seed_and_number(source: Path, tmp_path: Path) -> None:
    """The bank is SHA-256 of ``seed:account``, its first 60 bits mod the number of banks."""
    for seed in (1, 2):
        out = tmp_path / f"out{seed}"
        dataset = import_saml_d(source, out, banks=4, seed=seed)
        assert dataset.banks == ("bank1", "bank2", "bank3", "bank4")
        for bank in dataset.banks:
            data = read_bank(bank_folder(out, bank), bank, base_currency="GBP")
            for account in data.accounts["account"].to_pylist():
                digest = hashlib.sha256(f"{seed}:{account}".encode()).hexdigest()
                assert bank == f"bank{int(digest[:15], 16) % 4 + 1}"
            assert data.counts.accounts_only_in_payments == 0


def test_rows_keep_time_amount_and_type_of_payment(source: Path, tmp_path: Path) -> None:
    """Amounts stay as they stand, in pounds; the row that cannot be read is counted."""
    import_saml_d(source.parent, tmp_path / "out", banks=1)
    data = read_bank(bank_folder(tmp_path / "out", "bank1"), "bank1", base_currency="GBP")
    assert data.transactions.select(["from_account", "amount", "channel"]).to_pylist() == [
        {"from_account": "14", "amount": 1450, "channel": "ach"},
        {"from_account": "11", "amount": 145_915, "channel": "cash-deposit"},
        {"from_account": "13", "amount": 601_964, "channel": "cross-border"},
    ]
    assert read_dataset(tmp_path / "out").first == 1_665_133_200_000_000
    assert count_rejected(tmp_path / "out") == {"unparsable time": 1}


def test_the_type_is_a_label_and_nothing_else(source: Path, tmp_path: Path) -> None:
    """Types of laundering are typologies of the labels; no bank's file tells any type."""
    import_saml_d(source, tmp_path / "out", csv=True)
    labels = read_labels(tmp_path / "out")
    assert labels is not None
    marked = labels.filter(labels["is_illicit"])
    assert sorted(marked["account"].to_pylist()) == ["11", "14"]
    assert set(marked["typology"].to_pylist()) == {"smurfing"}
    for path in (tmp_path / "out" / "banks").rglob("*.csv"):
        text = path.read_text().lower()
        assert "smurf" not in text
        assert "normal" not in text


def test_other_files_are_refused(source: Path, tmp_path: Path) -> None:
    """Nothing there, or a column that is called otherwise."""
    with pytest.raises(MissingFileError, match="no such"):
        import_saml_d(tmp_path / "no", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match=r"no SAML-D\.csv"):
        import_saml_d(tmp_path / "empty", tmp_path / "out")
    source.write_text(HEADER.replace("Amount", "Value") + ROWS)
    with pytest.raises(MissingColumnError, match="column 5 must be Amount"):
        import_saml_d(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_stay_out_of_the_schema(source: Path, tmp_path: Path) -> None:
    """The columns of a bank's payments are those of the format."""
    import_saml_d(source, tmp_path / "out")
    path = bank_folder(tmp_path / "out", "bank1") / "transactions.parquet"
    assert pq.read_schema(path).names == [
        "tx_id", "timestamp", "from_bank", "from_account", "to_bank", "to_account", "amount",
        "currency", "channel",
    ]  # fmt: skip
