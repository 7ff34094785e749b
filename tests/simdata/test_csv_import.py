"""CSV files with any columns are imported by a map."""

from pathlib import Path

import pytest

from bank_node.errors import DataError, MissingColumnError, MissingFileError, ParameterError
from bank_node.ingest import read_bank
from simdata.column_map import read_map
from simdata.csv_import import import_csv
from simdata.dataset import bank_folder, read_dataset, read_labels
from simdata.rejects import count_rejected

MAP = """
base_currency = "CHF"
illicit = ["ja"]
[rates]
USD = 0.5
[transactions]
file = "buchungen.csv"
delimiter = ";"
decimal = ","
time = "%d.%m.%Y %H:%M"
[transactions.columns]
tx_id = "Nr"
timestamp = "Zeit"
from_account = "Von"
to_account = "An"
from_bank = "Bank von"
to_bank = "Bank an"
amount = "Betrag"
currency = "Währung"
is_illicit = "Verdacht"
typology = "Art"
[transactions.constants]
channel = "wire"
[accounts]
file = "konten.csv"
[accounts.columns]
bank = "Bank"
account = "Konto"
risk_score = "Risiko"
"""
PAYMENTS = (
    "Nr;Zeit;Von;Bank von;An;Bank an;Betrag;Währung;Verdacht;Art\n"
    '1;05.03.2026 14:30;a;nord;b;süd;"1.250,75";CHF;nein;\n'
    "2;06.03.2026 00:00;b;süd;a;nord;3;usd;Ja;fan-in\n"
    "2;06.03.2026 00:00;b;süd;a;nord;4;CHF;nein;\n"
    ";06.03.2026 00:00;b;süd;a;nord;4;CHF;nein;\n"
    "5;06.03.2026 00:00;x;fern;y;fern;4;CHF;nein;\n"
    "6;07.03.2026 00:00;x;fern;a;nord;4;CHF;nein;\n"
)
ACCOUNTS = "Konto,Bank,Risiko\na,nord,0.25\nb,süd,\nc,süd,2\nd,ost,0\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files of a bank in German, with a map beside them."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "buchungen.csv").write_text(PAYMENTS, "utf-8")
    (folder / "konten.csv").write_text(ACCOUNTS, "utf-8")
    (folder / "map.toml").write_text(MAP, "utf-8")
    return folder


def test_rates_may_be_written_in_lower_case(source: Path, tmp_path: Path) -> None:
    """``usd = 0.5`` is the rate of USD; one that is there twice is refused."""
    path = source / "map.toml"
    path.write_text(MAP.replace("USD = 0.5", "usd = 0.5"), "utf-8")
    dataset = import_csv(source, tmp_path / "out", column_map=path)
    assert dataset.rates == read_dataset(tmp_path / "out").rates == {"USD": 0.5}
    assert "unknown currency" not in count_rejected(tmp_path / "out")
    path.write_text(MAP.replace("USD = 0.5", "usd = 0.5\nUSD = 0.6"), "utf-8")
    with pytest.raises(ParameterError, match="rates: a currency is there twice"):
        read_map(path)


def test_columns_marks_and_times_are_those_of_the_map(source: Path, tmp_path: Path) -> None:
    """Semicolons, decimal commas, points for thousands, day first, constants, rates."""
    out = tmp_path / "out"
    dataset = import_csv(source, out, column_map=source / "map.toml")
    assert dataset == read_dataset(out)
    assert dataset.banks == ("ost", "süd", "nord")
    nord = read_bank(bank_folder(out, "nord"), "nord", base_currency="CHF", rates=dataset.rates)
    rows = nord.transactions.to_pylist()
    assert [(r["tx_id"], r["amount"], r["channel"]) for r in rows] == [
        ("1", 125_075, "wire"), ("2", 150, "wire"), ("6", 400, "wire"),
    ]  # fmt: skip
    assert rows[0]["timestamp"] == 1_772_721_000_000_000
    assert rows[2]["from_bank"] == "fern"
    assert nord.accounts["risk_score"].to_pylist() == [0.25]
    assert nord.counts.rejected == {}


def test_bad_rows_and_labels(source: Path, tmp_path: Path) -> None:
    """Repeated and missing ids, strangers and impossible scores are counted; labels are labels."""
    out = tmp_path / "out"
    import_csv(source, out, column_map=source / "map.toml", csv=True)
    assert count_rejected(out) == {
        "missing tx_id": 1,
        "neither side at a bank of the data set": 1,
        "repeated tx_id": 1,
        "unparsable risk score": 1,
    }
    labels = read_labels(out)
    assert labels is not None
    assert [(r["account"], r["typology"]) for r in labels.to_pylist() if r["is_illicit"]] == [
        ("a", "fan-in"), ("b", "fan-in"),
    ]  # fmt: skip


def test_a_bank_without_accounts_and_payments_is_a_bank(source: Path, tmp_path: Path) -> None:
    """A bank that the map names has its folder, with empty tables that a node can read."""
    path = source / "map.toml"
    path.write_text('banks = ["nord", "süd", "leer"]\n' + MAP, "utf-8")
    dataset = import_csv(source, tmp_path / "out", column_map=path)
    assert dataset.banks == ("nord", "süd", "leer")
    data = read_bank(bank_folder(tmp_path / "out", "leer"), "leer", base_currency="CHF")
    assert (data.counts.accounts, data.counts.transactions, data.counts.rejected) == (0, 0, {})


def test_without_banks_the_accounts_are_split(tmp_path: Path) -> None:
    """No map, four columns: three banks, ids in order of time, base currency euro, no labels."""
    path = tmp_path / "p.csv"
    rows = "".join(f"2026-01-{31 - i:02},{i},{i + 1},{i}.5\n" for i in range(30))
    path.write_text("timestamp,from_account,to_account,amount\n" + rows)
    dataset = import_csv(path, tmp_path / "out")
    assert dataset.banks == ("bank1", "bank2", "bank3")
    assert read_labels(tmp_path / "out") is None
    seen = {}
    for bank in dataset.banks:
        data = read_bank(bank_folder(tmp_path / "out", bank), bank, base_currency="EUR")
        seen |= {r["tx_id"]: r["amount"] for r in data.transactions.to_pylist()}
    assert [seen[key] for key in sorted(seen)] == [100 * i + 50 for i in range(29, -1, -1)]
    assert import_csv(path, tmp_path / "two", banks=2).banks == ("bank1", "bank2")


def test_banks_of_their_own_are_not_split(source: Path, tmp_path: Path) -> None:
    """--banks is refused where the files name banks."""
    with pytest.raises(ParameterError, match="banks of its own"):
        import_csv(source, tmp_path / "out", column_map=source / "map.toml", banks=3)


def test_missing_files_and_columns_are_named(source: Path, tmp_path: Path) -> None:
    """The error says which file or which column, and what there is."""
    out, path = tmp_path / "out", source / "map.toml"
    with pytest.raises(MissingFileError, match="no such"):
        import_csv(tmp_path / "none", out)
    path.write_text(MAP.replace('"Betrag"', '"Summe"'), "utf-8")
    with pytest.raises(MissingColumnError, match=r"Summe is missing\. It has Nr, Zeit"):
        import_csv(source, out, column_map=path)
    path.write_text(MAP.replace("konten.csv", "keine.csv"), "utf-8")
    with pytest.raises(MissingFileError, match=r"keine\.csv"):
        import_csv(source, out, column_map=path)
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[transactions]\nfile = 'a.csv'\n", "timestamp has no column"),
        (MAP.replace("tx_id =", "number ="), "number is none of"),
        (MAP.replace('";"', '";;"'), "delimiter"),
        (MAP.replace('"buchungen.csv"', '"../x.csv"'), "not the name of a file"),
        (MAP.replace('from_bank = "Bank von"\n', ""), "both from_bank and to_bank"),
        (MAP.replace("USD = 0.5", "USD = 0"), "USD is not from"),
        (MAP.replace('"CHF"', '"francs"'), "base_currency"),
    ],
)
def test_a_wrong_map_is_one_clear_line(tmp_path: Path, text: str, words: str) -> None:
    """The line names the map's fault."""
    path = tmp_path / "m.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=words) as caught:
        read_map(path)
    assert "\n" not in str(caught.value)
