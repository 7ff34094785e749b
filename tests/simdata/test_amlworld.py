"""AMLworld data sets are imported by place of column, with all the traps of the format."""

from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bank_node.errors import DataError, MissingColumnError, MissingFileError, ParameterError
from bank_node.ingest import BankData, read_bank
from simdata.amlworld import import_amlworld
from simdata.comparison.payments import listed_payments, read_labelled
from simdata.comparison.replay import scheme_spans
from simdata.comparison.worlds import cross_bank_accounts
from simdata.dataset import bank_folder, read_dataset, read_labels
from simdata.rejects import count_rejected

DAY = 86_400_000_000
HEADER = (
    "Timestamp,From Bank,Account,To Bank,Account,Amount Received,Receiving Currency,"
    "Amount Paid,Payment Currency,Payment Format,Is Laundering\n"
)
ROWS = [
    "2022/09/01 00:20,010,A1,10,A1,3697.34,US Dollar,3697.34,US Dollar,Reinvestment,0",
    "2022/09/01 00:21,10,A1,0020,A1,0.01,US Dollar,0.01,US Dollar,Credit Card,0",
    "2022/09/01 00:05,20,B7,10,A1,50.00,Euro,100.00,US Dollar,Wire,1",
    "2022/09/02 10:00,10,A1,3,C9,200.00,US Dollar,100.00,Euro,ACH,1",
    "2022/09/02 10:00,10,A1,3,C9,200.00,US Dollar,100.00,Euro,ACH,1",
    "2022/09/03 10:00,3,C9,20,B7,0.000125,Bitcoin,0.000125,Bitcoin,Bitcoin,0",
    "2022/09/04 10:00,3,C9,20,B7,7.00,US Dollar,7.00,US Dollar,Cash,0",
]
ACCOUNTS = (
    "Bank Name,Bank ID,Account Number,Entity ID,Entity Name\n"
    "First,00010,A1,800,Sole Proprietorship #7\nSecond,20,A1,801,Corporation #1\n"
    "Second,20,B7,801,Corporation #1\nThird,03,C9,802,Partnership #2\n"
    "Third,3,C9,802,Partnership #2\n"
)
PATTERNS = (
    "BEGIN LAUNDERING ATTEMPT - FAN-OUT:  Max 16-degree Fan-Out\n"
    f"{ROWS[2]}\nEND LAUNDERING ATTEMPT - FAN-OUT\n\n"
    "BEGIN LAUNDERING ATTEMPT - STACK\n"
    f"{ROWS[3].replace(',3,C9', ',003,C9')}\nEND LAUNDERING ATTEMPT - STACK\n"
)


def write(folder: Path, rows: list[str] = ROWS, *, rest: bool = True) -> Path:
    """A data set in AMLworld's format."""
    folder.mkdir()
    (folder / "X_Trans.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    if rest:
        (folder / "X_accounts.csv").write_text(ACCOUNTS)
        (folder / "X_Patterns.txt").write_text(PATTERNS)
    return folder


def read_all(folder: Path) -> dict[str, BankData]:
    """Each bank's data, as its node reads them."""
    dataset = read_dataset(folder)
    return {
        bank: read_bank(
            bank_folder(folder, bank),
            bank,
            base_currency=dataset.base_currency,
            rates=dataset.rates,
        )
        for bank in dataset.banks
    }


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """The small data set, imported."""
    import_amlworld(write(tmp_path / "src"), tmp_path / "out")
    return tmp_path / "out"


def test_an_account_is_known_by_bank_and_number(imported: Path) -> None:
    """A1 at bank 10 and A1 at bank 20 are two accounts; zeros before a bank's id do not count."""
    assert read_dataset(imported).banks == ("3", "10", "20")
    data = read_all(imported)
    own = {bank: mine.accounts["account"].to_pylist() for bank, mine in data.items()}
    assert own == {"3": ["C9"], "10": ["A1"], "20": ["A1", "B7"]}
    assert data["20"].accounts["customer"].to_pylist() == ["801", "801"]
    assert data["10"].accounts["kind"].to_pylist() == ["sole-proprietorship"]
    assert all(mine.counts.accounts_only_in_payments == 0 for mine in data.values())


def test_the_two_columns_account_are_payer_and_payee(imported: Path) -> None:
    """Sides, times, amounts as paid and channels are those of the rows; self-payments are kept."""
    rows = read_all(imported)["10"].transactions.to_pylist()
    assert [(r["from_account"], r["to_bank"], r["to_account"], r["channel"]) for r in rows] == [
        ("B7", "10", "A1", "wire"),
        ("A1", "10", "A1", "reinvestment"),
        ("A1", "20", "A1", "credit-card"),
        ("A1", "3", "C9", "ach"),
        ("A1", "3", "C9", "ach"),
    ]
    assert rows[0]["amount"] == 10_000
    assert read_dataset(imported).first == 1_661_990_700_000_000
    assert len({r["tx_id"] for r in rows}) == 5


def test_rates_are_those_of_the_exchanges_in_the_file(imported: Path) -> None:
    """200 dollars for 100 euros: a euro is 2 dollars; bitcoin, never exchanged, a stated rate."""
    dataset = read_dataset(imported)
    assert dataset.base_currency == "USD"
    assert dataset.rates == {"EUR": 2.0, "XBT": 19_800.0}
    data = read_all(imported)
    assert data["3"].transactions["amount"].to_pylist() == [20_000, 20_000, 248, 700]
    assert all(mine.counts.rejected == {} for mine in data.values())


def test_labels_come_from_the_flag_and_the_patterns(imported: Path) -> None:
    """Accounts of laundering payments are illicit; a pattern's row is one payment, not its twin."""
    labels = read_labels(imported)
    assert labels is not None
    found = {
        (r["bank"], r["account"]): (r["is_illicit"], r["typology"]) for r in labels.to_pylist()
    }
    assert found == {
        ("3", "C9"): (True, "stack"),
        ("10", "A1"): (True, "fan-out"),
        ("20", "A1"): (False, None),
        ("20", "B7"): (True, "fan-out"),
    }
    patterns = pq.read_table(imported / "labels" / "patterns.parquet").to_pylist()
    assert [(r["pattern"], r["typology"]) for r in patterns] == [
        ("p0001", "fan-out"),
        ("p0002", "stack"),
        (None, None),
    ]
    for bank in read_dataset(imported).banks:
        names = pq.read_schema(bank_folder(imported, bank) / "transactions.parquet").names
        assert "illicit" not in " ".join(names)


def test_bad_rows_are_named_with_their_place(tmp_path: Path) -> None:
    """A row that cannot be used is in rejected.csv with place, reason and text; the rest stays."""
    bad = [
        "2022/09/05 10:00,3,C9,20,B7,7.00,US Dollar,,US Dollar,Cash,0",
        "soon,3,C9,20,B7,7.00,US Dollar,7.00,US Dollar,Cash,0",
        "2022/09/05 10:00,3,C9",
        "2022/09/05 10:00,3,C9,20,B7,7.00,US Dollar,-7.00,US Dollar,Cash,0",
        "2022/09/05 10:00,3,C9,20,B7,7.00,Florin,7.00,Florin,Cash,0",
        "2022/09/05 10:00,77,Z,78,Y,7.00,US Dollar,7.00,US Dollar,Cash,0",
        "2022/09/05 10:00,3,,20,B7,7.00,US Dollar,x,US Dollar,Cash,0",
    ]
    import_amlworld(write(tmp_path / "src", [*ROWS[:3], *bad, *ROWS[3:]]), tmp_path / "out")
    assert count_rejected(tmp_path / "out") == {
        "missing account": 1,
        "missing amount": 1,
        "negative amount": 1,
        "neither side at a bank of the data set": 1,
        "repeated account": 1,
        "unknown currency": 1,
        "unparsable time": 1,
        "wrong number of fields": 1,
    }
    lines = (tmp_path / "out" / "rejected.csv").read_text().splitlines()
    assert lines[0] == "file,row,field,reason,remedy,text"
    assert [line.split(",")[:2] for line in lines[1:8]] == [
        ["X_Trans.csv", str(i)] for i in range(4, 11)
    ]
    assert '"2022/09/05 10:00,3,C9"' in lines[3]
    assert lines[8].startswith("X_accounts.csv,5,account,repeated account,")
    assert sum(mine.counts.transactions for mine in read_all(tmp_path / "out").values()) == 13


def test_a_pattern_that_no_payment_fits_is_told(tmp_path: Path) -> None:
    """A row of the patterns file without its payment is counted and named by its line."""
    source = write(tmp_path / "src")
    text = PATTERNS.replace("100.00,US Dollar,Wire", "101.00,US Dollar,Wire")
    (source / "X_Patterns.txt").write_text(text)
    import_amlworld(source, tmp_path / "out")
    assert count_rejected(tmp_path / "out")["no such payment"] == 1
    assert "X_Patterns.txt,2," in (tmp_path / "out" / "rejected.csv").read_text()


def test_the_payments_alone_are_enough(tmp_path: Path) -> None:
    """Without accounts and patterns, accounts are those of the payments, typologies unknown."""
    source = write(tmp_path / "src", rest=False)
    import_amlworld(source / "X_Trans.csv", tmp_path / "out", csv=True)
    data = read_all(tmp_path / "out")
    assert sum(mine.counts.accounts for mine in data.values()) == 4
    labels = read_labels(tmp_path / "out")
    assert labels is not None
    assert labels.filter(labels["is_illicit"])["account"].to_pylist() == ["A1", "B7", "C9"]
    assert set(labels["typology"].to_pylist()) == {None}


def test_a_tool_that_renamed_the_second_account_is_understood(tmp_path: Path) -> None:
    """Account.1, as pandas writes it, is the second Account."""
    source = write(tmp_path / "src")
    path = source / "X_Trans.csv"
    path.write_text(path.read_text().replace("To Bank,Account,", "To Bank,Account.1,", 1))
    assert import_amlworld(source, tmp_path / "out").banks == ("3", "10", "20")


def test_many_banks_are_merged_whole(tmp_path: Path) -> None:
    """Above 64 banks they become 8, the same for the same seed; a list says which went where."""
    rows = [f"2022/09/01 00:20,{i},A,{i + 1},A,1.00,Euro,1.00,Euro,Wire,0" for i in range(100)]
    source = write(tmp_path / "src", rows, rest=False)
    places = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        dataset = import_amlworld(source, tmp_path / name, seed=seed)
        assert dataset.banks == tuple(f"bank{i + 1}" for i in range(8))
        table = pq.read_table(tmp_path / name / "labels" / "banks.parquet").to_pylist()
        places.append({row["original"]: row["bank"] for row in table})
    assert places[0] == places[1] != places[2]
    assert len(places[0]) == 101
    for bank, mine in read_all(tmp_path / "a").items():
        for account in mine.accounts["account"].to_pylist():
            assert places[0][account.split("-")[0]] == bank
    assert import_amlworld(source, tmp_path / "d", banks=3).banks == ("bank1", "bank2", "bank3")


def test_sources_that_are_something_else_are_clear_errors(tmp_path: Path) -> None:
    """Nothing there, two data sets, another header, too many banks: one line, nothing written."""
    empty = tmp_path / "empty"
    empty.mkdir()
    two = write(tmp_path / "two")
    (two / "Y_Trans.csv").write_text(HEADER)
    other = tmp_path / "other"
    other.mkdir()
    (other / "X_Trans.csv").write_text(HEADER.replace("To Bank", "Bank"))
    right = write(tmp_path / "right")
    blank = write(tmp_path / "blank", [], rest=False)
    cases: list[tuple[Path, int | None, type[DataError], str]] = [
        (tmp_path / "no", None, MissingFileError, "no such"),
        (empty, None, MissingFileError, r"no \*_Trans"),
        (two, None, MissingFileError, "2 files"),
        (other, None, MissingColumnError, "column 4 must be To Bank"),
        (right, 9, ParameterError, "cannot be merged into 9"),
        (right, 0, ParameterError, "0 banks"),
        (blank, None, DataError, "no row"),
    ]
    for source, banks, error, words in cases:
        with pytest.raises(error, match=words) as caught:
            import_amlworld(source, tmp_path / "out", banks=banks)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_laundering_without_a_pattern_is_listed_too(tmp_path: Path) -> None:
    """Each laundering payment is in labels/patterns; without the patterns file all are nameless."""
    source = write(tmp_path / "src")
    import_amlworld(source, tmp_path / "whole")
    whole = pq.read_table(tmp_path / "whole" / "labels" / "patterns.parquet").to_pylist()
    assert [row["pattern"] for row in whole] == ["p0001", "p0002", None]
    (source / "X_Patterns.txt").unlink()
    import_amlworld(source, tmp_path / "bare")
    bare = pq.read_table(tmp_path / "bare" / "labels" / "patterns.parquet").to_pylist()
    assert sorted(row["tx_id"] for row in bare) == sorted(row["tx_id"] for row in whole)
    assert {(row["pattern"], row["typology"]) for row in bare} == {(None, None)}


@pytest.mark.parametrize("csv", [False, True])
def test_nameless_laundering_counts_between_banks(tmp_path: Path, csv: bool) -> None:
    """An account whose only laundering payment has no pattern is one across banks all the same."""
    rows = [*ROWS[:4], ROWS[3].replace(",3,C9", ",20,B8"), *ROWS[5:]]
    import_amlworld(write(tmp_path / "src", rows), tmp_path / "out", csv=csv)
    data = read_labelled(tmp_path / "out")
    crossing = cross_bank_accounts(data)
    found = {name for name, cross in zip(data.account, crossing, strict=True) if cross}
    assert found == {"A1", "B7", "B8", "C9"}
    counts = [listed_payments(data), listed_payments(data, named=True)]
    assert [None if c is None else int(c.sum()) for c in counts] == [3, 2]


def test_a_nameless_payment_does_not_stretch_a_scheme(tmp_path: Path) -> None:
    """The span of a scheme is that of its own payments; without any, all between its accounts."""
    late = ROWS[2].replace("2022/09/01", "2022/09/09")
    import_amlworld(write(tmp_path / "src", [*ROWS, late]), tmp_path / "out")
    data = read_labelled(tmp_path / "out")
    begin, end = scheme_spans(data)["p0001"]
    assert begin == end == 1_661_990_700_000_000
    nameless = data.labels.scheme_tx
    assert nameless is not None
    nameless = nameless.filter(pc.is_null(nameless["pattern"]))
    labels = replace(data.labels, scheme_tx=nameless)
    assert scheme_spans(replace(data, labels=labels))["p0001"] == (begin, begin + 8 * DAY)
