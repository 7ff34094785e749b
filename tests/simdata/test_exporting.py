"""What is exported comes back the same; each payment once, with its labels."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from bank_node.errors import DataError, MissingFileError, OutputExistsError, UnreadableFileError
from bank_node.ingest import BankData, read_bank
from simdata.amlsim import import_amlsim
from simdata.amlworld import import_amlworld
from simdata.csv_import import import_csv
from simdata.dataset import bank_folder, read_dataset, read_labels
from simdata.exporting import export_amlworld, export_csv
from simdata.generator import build_dataset, read_config
from simdata.rejects import count_rejected

MINUTE = 60_000_000
PAYMENT = ("from_bank", "from_account", "to_bank", "to_account", "amount")


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


def payments(folder: Path, *more: str) -> pa.Table:
    """The payments of each bank, without their ids and times, sorted by all columns."""
    columns = ["bank", *PAYMENT, *more]
    tables = [
        data.transactions.append_column("bank", pa.repeat(bank, len(data.transactions)))
        for bank, data in read_all(folder).items()
    ]
    table = pa.concat_tables(tables).select(columns)
    return table.sort_by([(name, "ascending") for name in columns])


def labels(folder: Path) -> list[tuple[object, ...]]:
    """Account, whether illicit, and typology."""
    table = read_labels(folder)
    assert table is not None
    return [tuple(row[name] for name in ("bank", "account", "is_illicit", "typology"))
            for row in table.to_pylist()]  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["parquet", "csv"])
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated data set with all typologies, as Parquet and as CSV."""
    out = tmp_path_factory.mktemp("export") / "data"
    changes = {"size": {"accounts": 900}, "laundering": {"illicit": 0.15}}
    build_dataset(out, read_config(changes=changes), 3, csv=request.param)
    return out


def test_csv_comes_back_whole(data: Path, tmp_path: Path) -> None:
    """Accounts, payments with their ids and times, and labels are equal; cash stays outside."""
    export_csv(data, tmp_path / "csv")
    assert sorted(p.name for p in (tmp_path / "csv").iterdir()) == [
        "accounts.csv",
        "transactions.csv",
    ]
    import_csv(tmp_path / "csv", tmp_path / "back")
    assert count_rejected(tmp_path / "back") == {}
    before, after = read_all(data), read_all(tmp_path / "back")
    assert list(before) == list(after)
    for bank in before:
        assert before[bank].accounts.equals(after[bank].accounts)
        assert before[bank].transactions.equals(after[bank].transactions)
    assert labels(data) == labels(tmp_path / "back")


def test_amlworld_comes_back_but_for_seconds_and_ids(data: Path, tmp_path: Path) -> None:
    """The same accounts, payments, typologies; times of the same minute."""
    export_amlworld(data, tmp_path / "aml")
    import_amlworld(tmp_path / "aml", tmp_path / "back")
    assert count_rejected(tmp_path / "back") == {}
    assert payments(data).equals(payments(tmp_path / "back"))
    assert labels(data) == labels(tmp_path / "back")
    for one, two in zip(read_all(data).values(), read_all(tmp_path / "back").values(), strict=True):
        assert one.accounts["account"].equals(two.accounts["account"])
        assert one.accounts["kind"].equals(two.accounts["kind"])
        minutes = [t // MINUTE for t in one.transactions["timestamp"].to_pylist()]
        assert minutes == [t // MINUTE for t in two.transactions["timestamp"].to_pylist()]


def test_each_payment_is_exported_once(data: Path, tmp_path: Path) -> None:
    """Cross-bank payments stand in two banks' files and once in the export."""
    export_csv(data, tmp_path / "csv")
    rows = (tmp_path / "csv" / "transactions.csv").read_text().splitlines()[1:]
    ids = [row.split(",")[0] for row in rows]
    known = {tx for d in read_all(data).values() for tx in d.transactions["tx_id"].to_pylist()}
    assert len(ids) == len(set(ids))
    assert set(ids) == known


def test_a_map_names_the_columns_and_marks(data: Path, tmp_path: Path) -> None:
    """With the same map, the export comes back through the import."""
    path = tmp_path / "m.toml"
    path.write_text(
        '[transactions]\nfile = "p.csv"\ndelimiter = ";"\ndecimal = ","\n'
        'time = "%d.%m.%Y %H:%M:%S"\n[transactions.columns]\ntimestamp = "Zeit"\n'
        'from_account = "Von"\nto_account = "An"\nfrom_bank = "B1"\nto_bank = "B2"\n'
        'amount = "Betrag"\ntx_id = "Nr"\n[accounts]\nfile = "k.csv"\n'
        '[accounts.columns]\nbank = "Bank"\naccount = "Konto"\n'
    )
    export_csv(data, tmp_path / "csv", column_map=path)
    first, second = (tmp_path / "csv" / "p.csv").read_text().splitlines()[:2]
    assert first == "Nr;Zeit;B1;Von;B2;An;Betrag"
    assert "," in second.split(";")[-1]
    import_csv(tmp_path / "csv", tmp_path / "back", column_map=path)
    assert payments(data).equals(payments(tmp_path / "back"))


def test_names_of_columns_are_quoted_where_they_must_be(data: Path, tmp_path: Path) -> None:
    """A name with the delimiter or a quotation mark in it stays one column."""
    path = tmp_path / "m.toml"
    path.write_text(
        '[transactions]\nfile = "p.csv"\n[transactions.columns]\ntimestamp = "Zeit"\n'
        'from_account = \'Von "Konto"\'\nto_account = "An"\nfrom_bank = "B1"\n'
        'to_bank = "B2"\namount = "Betrag, EUR"\n'
    )
    export_csv(data, tmp_path / "csv", column_map=path)
    first = (tmp_path / "csv" / "p.csv").read_text().splitlines()[0]
    assert first == 'Zeit,B1,"Von ""Konto""",B2,An,"Betrag, EUR"'
    import_csv(tmp_path / "csv", tmp_path / "back", column_map=path)
    assert count_rejected(tmp_path / "back") == {}


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    """A payment without a readable time or amount goes to rejected.csv; an empty bank is none."""
    good = "1,2026-01-01,a,1,b,2,5,EUR\n"
    bad = "2,soon,a,1,b,2,5,EUR\n3,2026-01-01,a,1,b,2,,EUR\n"
    for bank, rows in (("a", good + bad), ("b", good), ("c", "")):
        place = tmp_path / "data" / "banks" / bank
        place.mkdir(parents=True)
        (place / "accounts.csv").write_text("account\n" + ("" if bank == "c" else "1\n"))
        header = "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency\n"
        (place / "transactions.csv").write_text(header + rows)
    export_csv(tmp_path / "data", tmp_path / "csv")
    assert count_rejected(tmp_path / "csv") == {"unparsable amount": 1, "unparsable time": 1}
    assert len((tmp_path / "csv" / "transactions.csv").read_text().splitlines()) == 2
    export_amlworld(tmp_path / "data", tmp_path / "aml")
    assert "data_Trans.csv" in {p.name for p in (tmp_path / "aml").iterdir()}


AML_HEADER = (
    "Timestamp,From Bank,Account,To Bank,Account,Amount Received,Receiving Currency,"
    "Amount Paid,Payment Currency,Payment Format,Is Laundering\n"
)
AML_ROWS = [
    "2022/09/01 00:05,1,A,2,B,5.00,US Dollar,5.00,US Dollar,Wire,1",
    "2022/09/01 00:06,2,B,1,A,6.00,US Dollar,6.00,US Dollar,Wire,1",
    "2022/09/01 00:07,2,B,1,C,7.00,US Dollar,7.00,US Dollar,Wire,0",
]


@pytest.mark.parametrize("as_csv", [False, True])
@pytest.mark.parametrize("patterns", [False, True])
def test_laundering_without_a_pattern_keeps_its_mark(
    tmp_path: Path, patterns: bool, as_csv: bool
) -> None:
    """The mark of a payment does not hang on its pattern; one without is in no block."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "X_Trans.csv").write_text(AML_HEADER + "".join(f"{row}\n" for row in AML_ROWS))
    if patterns:
        block = f"BEGIN LAUNDERING ATTEMPT - CYCLE\n{AML_ROWS[0]}\nEND LAUNDERING ATTEMPT - CYCLE\n"
        (source / "X_Patterns.txt").write_text(block)
    import_amlworld(source, tmp_path / "data", csv=as_csv)
    export_amlworld(tmp_path / "data", tmp_path / "aml")
    (trans,) = (tmp_path / "aml").glob("*_Trans.csv")
    assert [row[-1] for row in trans.read_text().splitlines()[1:]] == ["1", "1", "0"]
    blocks = [path.read_text().splitlines() for path in (tmp_path / "aml").glob("*_Patterns.txt")]
    assert [len(lines) for lines in blocks] == ([3] if patterns else [])
    export_csv(tmp_path / "data", tmp_path / "csv")
    import_csv(tmp_path / "csv", tmp_path / "back")
    assert labels(tmp_path / "back") == labels(tmp_path / "data")
    assert [illicit for _bank, _account, illicit, _kind in labels(tmp_path / "back")] == (
        [True, False, True]
    )


def test_errors_are_clear_and_write_nothing(data: Path, tmp_path: Path) -> None:
    """No data set, a table missing, a table torn, a folder in use."""
    with pytest.raises(MissingFileError):
        export_csv(tmp_path / "no", tmp_path / "out")
    place = tmp_path / "torn" / "banks" / "a"
    place.mkdir(parents=True)
    with pytest.raises(MissingFileError, match="neither accounts"):
        export_csv(tmp_path / "torn", tmp_path / "out")
    (place / "accounts.parquet").write_bytes(b"PAR1 not really")
    (place / "transactions.csv").write_text("tx_id\n")
    with pytest.raises(UnreadableFileError, match="cannot be read") as caught:
        export_csv(tmp_path / "torn", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    for force in (False, True):
        with pytest.raises(OutputExistsError):
            export_csv(data, tmp_path / "full", force=force)
    export_csv(data, tmp_path / "again")
    export_csv(data, tmp_path / "again", force=True)


@pytest.mark.parametrize(
    ("write", "read"), [(export_amlworld, import_amlworld), (export_csv, import_csv)]
)
@pytest.mark.parametrize("name", ["20K_cycle200", "20K_fanin200"])
def test_the_published_samples_come_back(
    tmp_path: Path, name: str, write: Callable[..., object], read: Callable[..., object]
) -> None:
    """An AMLSim sample, exported and read back: the same payments of the same accounts."""
    place = os.environ.get("UNDERCURRENT_TEST_DATA")
    if not place or not (Path(place) / "amlsim" / f"{name}.tgz").is_file():
        pytest.skip("UNDERCURRENT_TEST_DATA names no folder with the AMLSim samples")
    import_amlsim(Path(place) / "amlsim" / f"{name}.tgz", tmp_path / "data", banks=3)
    write(tmp_path / "data", tmp_path / "out")
    read(tmp_path / "out", tmp_path / "back")
    before, after = (
        payments(tmp_path / "data", "timestamp"),
        payments(tmp_path / "back", "timestamp"),
    )
    assert after.equals(before)  # the sample's times are days, so minutes are enough
    assert count_rejected(tmp_path / "back") == {}


def test_data_errors_are_one_kind() -> None:
    """All of these are wrong input, exit code 2."""
    assert {e.exit_code for e in (MissingFileError, OutputExistsError, UnreadableFileError)} == {2}
    assert issubclass(UnreadableFileError, DataError)
