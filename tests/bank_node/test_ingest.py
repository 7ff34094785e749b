"""A bank's folder becomes clean tables; what cannot be used is counted and explained."""

import csv
import datetime as dt
import os
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bank_node.errors
from bank_node.errors import (
    AmbiguousFileError,
    CurrencyError,
    DataError,
    EncodingError,
    MissingColumnError,
    MissingFileError,
    UndercurrentError,
    UnreadableFileError,
)
from bank_node.ingest import BankData, canonical_account, canonical_bank, read_bank

HEADER = "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency,channel\n"
GOOD = "1,2026-01-02T03:04:05Z,a,A1,b,B1,10.50,EUR,wire\n"
TIME = "2026-01-02"


def folder(
    place: Path, transactions: str | bytes = HEADER, accounts: str | bytes = "account\n"
) -> Path:
    """A bank's folder with the two tables as CSV."""
    place.mkdir(parents=True, exist_ok=True)
    for name, text in (("accounts", accounts), ("transactions", transactions)):
        raw = text.encode() if isinstance(text, str) else text
        (place / f"{name}.csv").write_bytes(raw)
    return place


def read(place: Path, bank: str = "a", **options: Any) -> BankData:
    """Read a bank's folder, in euros unless told."""
    return read_bank(place, bank, **({"base_currency": "EUR"} | options))


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_clean_rows_come_out_typed_and_sorted(tmp_path: Path) -> None:
    """Times become UTC microseconds, amounts minor units, an empty risk 0."""
    data = read(
        folder(
            tmp_path,
            HEADER + "2,2026-01-02T01:00:00+01:00,b,B1,a,A2,7,EUR,\n" + GOOD,
            "account,risk_score,balance,in_scope\nA2,,,no\nA1,0.25,12.34,yes\n",
        )
    )
    assert data.accounts.to_pydict() == {
        "account": ["A1", "A2"],
        "customer": [None, None],
        "opened": [None, None],
        "kind": [None, None],
        "risk_score": [0.25, 0.0],
        "balance": [1234, None],
        "in_scope": [True, False],
    }
    midnight = int(dt.datetime(2026, 1, 2, tzinfo=dt.UTC).timestamp()) * 1_000_000
    assert data.transactions["tx_id"].to_pylist() == ["2", "1"]
    assert data.transactions["timestamp"].to_pylist() == [midnight, midnight + 11_045_000_000]
    assert data.transactions["amount"].to_pylist() == [700, 1050]
    assert [str(t) for t in data.transactions.schema.types] == (
        ["string", "int64", "string", "string", "string", "string", "int64", "string"]
    )
    assert data.counts.rejected == {}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f",{TIME},a,A,b,B,1,EUR,", "missing tx_id"),
        ("9,,a,A,b,B,1,EUR,", "missing time"),
        ("9,yesterday,a,A,b,B,1,EUR,", "unparsable time"),
        ("9,2026-02-30,a,A,b,B,1,EUR,", "unparsable time"),
        ("9,infinity,a,A,b,B,1,EUR,", "unparsable time"),
        (f"9,{TIME},,A,b,B,1,EUR,", "missing bank"),
        (f"9,{TIME},a,A,,B,1,EUR,", "missing bank"),
        (f"9,{TIME},a,,b,B,1,EUR,", "missing account"),
        (f"9,{TIME},a,A,b,  ,1,EUR,", "missing account"),
        (f"9,{TIME},c,A,b,B,1,EUR,", "neither side at this bank"),
        (f"9,{TIME},a,A,b,B,,EUR,", "missing amount"),
        (f"9,{TIME},a,A,b,B,ten,EUR,", "unparsable amount"),
        (f'9,{TIME},a,A,b,B,"12,50",EUR,', "unparsable amount"),
        (f"9,{TIME},a,A,b,B,nan,EUR,", "unparsable amount"),
        (f"9,{TIME},a,A,b,B,0x10,EUR,", "unparsable amount"),
        (f"9,{TIME},a,A,b,B,-1,EUR,", "negative amount"),
        (f"9,{TIME},a,A,b,B,-1e400,EUR,", "negative amount"),
        (f"9,{TIME},a,A,b,B,92233720368547758.08,EUR,", "amount too large"),
        (f"9,{TIME},a,A,b,B,1e30,EUR,", "amount too large"),
        (f"9,{TIME},a,A,b,B,1e400,EUR,", "amount too large"),
        (f"9,{TIME},a,A,b,B,1,XYZ,", "unknown currency"),
        (f"9,{TIME},a,A,b,B,1,,", "unknown currency"),
        (f"1,{TIME},a,A,b,B,1,EUR,", "repeated tx_id"),
        (f"9,{TIME},a,A,b,B,1", "wrong number of fields"),
        (f"9,{TIME},a,A,b,B,1,EUR,,x", "wrong number of fields"),
        (f'9,{TIME},a,"A"x,b,B,1,EUR,', "broken line"),
    ],
)
def test_bad_payments_are_rejected_with_reason(tmp_path: Path, row: str, reason: str) -> None:
    """One bad payment is counted and written with its number; the others stay."""
    last = GOOD.replace("1,", "2,", 1)
    data = read(
        folder(tmp_path / "in", HEADER + GOOD + row + "\n" + last), rejected=tmp_path / "r.csv"
    )
    assert data.counts.rejected == {reason: 1}
    assert data.transactions["tx_id"].to_pylist() == ["1", "2"]
    (line,) = rows(tmp_path / "r.csv")
    assert (line["file"], line["row"], line["reason"]) == ("transactions", "2", reason)
    assert line["remedy"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",0.5,,", "missing account"),
        ("X,1.5,,", "risk score outside 0 to 1"),
        ("X,-0.1,,", "risk score outside 0 to 1"),
        ("X,high,,", "unparsable risk score"),
        ("X,nan,,", "unparsable risk score"),
        ("X,,much,", "unparsable balance"),
        ("X,,1e30,", "balance too large"),
        ("X,,,maybe", "unparsable in_scope"),
        ("A1,,,", "repeated account"),
        ("X,0.5", "wrong number of fields"),
    ],
)
def test_bad_accounts_are_rejected_with_reason(tmp_path: Path, row: str, reason: str) -> None:
    """One bad account row is counted and written with its number; the others stay."""
    accounts = f"account,risk_score,balance,in_scope\nA1,,,\n{row}\nA2,,,\n"
    data = read(folder(tmp_path / "in", accounts=accounts), rejected=tmp_path / "r.csv")
    assert data.counts.rejected == {reason: 1}
    assert data.accounts["account"].to_pylist() == ["A1", "A2"]
    (line,) = rows(tmp_path / "r.csv")
    assert (line["file"], line["row"], line["reason"]) == ("accounts", "2", reason)


def test_rejected_rows_show_what_the_bank_wrote(tmp_path: Path) -> None:
    """The rejects name file, row, field, reason and remedy, and hold the raw text."""
    text = HEADER + GOOD + "2,never,a,A1,b,B1,x y,EUR,wire\n"
    read(folder(tmp_path / "in", text), rejected=tmp_path / "r.csv")
    (line,) = rows(tmp_path / "r.csv")
    assert (line["row"], line["field"]) == ("2", "timestamp")
    assert (line["timestamp"], line["amount"], line["channel"]) == ("never", "x y", "wire")


def test_rejects_file_has_a_header_when_all_is_well(tmp_path: Path) -> None:
    """No rejected row still gives a file, for programs that look for it, and nothing beside it."""
    target = tmp_path / "out" / "rejected.csv"
    read(folder(tmp_path / "in", HEADER + GOOD), rejected=target)
    assert rows(target) == []
    assert target.read_text().replace('"', "").startswith("file,row,field,reason,remedy,account,")
    assert [path.name for path in target.parent.iterdir()] == ["rejected.csv"]


def test_row_numbers_stay_true_among_many_broken_lines(tmp_path: Path) -> None:
    """A rejected row's number counts the broken lines before it."""
    lines = [
        "short" if i % 3 == 0 else f"{i},{TIME if i % 5 else 'never'},a,A,b,B,1,EUR,"
        for i in range(1, 2001)
    ]
    data = read(folder(tmp_path / "in", HEADER + "\n".join(lines)), rejected=tmp_path / "r.csv")
    found = rows(tmp_path / "r.csv")
    assert [int(line["row"]) for line in found] == [
        i for i in range(1, 2001) if i % 3 == 0 or i % 5 == 0
    ]
    assert all(line["tx_id"] in ("", line["row"]) for line in found)
    assert data.counts.rejected_rows + data.counts.transactions == 2000


def test_a_repeated_id_keeps_the_first_usable_row(tmp_path: Path) -> None:
    """A row that was rejected for another reason does not use up its id."""
    bad = GOOD.replace("10.50", "")
    data = read(folder(tmp_path, HEADER + bad + GOOD + GOOD))
    assert data.counts.transactions == 1
    assert data.counts.rejected == {"missing amount": 1, "repeated tx_id": 1}


def test_a_zero_payment_is_a_payment(tmp_path: Path) -> None:
    """An amount of zero, with or without a sign, is usable."""
    text = (
        HEADER + GOOD.replace("10.50", "0") + GOOD.replace("1,", "2,", 1).replace("10.50", "-0.00")
    )
    assert read(folder(tmp_path, text)).transactions["amount"].to_pylist() == [0, 0]


def test_the_last_line_may_be_cut_off(tmp_path: Path) -> None:
    """A file that ends in the middle of a row, even inside quotes, loses that row only."""
    for number, tail in enumerate(("2,2026-01-0", '2,2026-01-02,a,"A')):
        data = read(folder(tmp_path / str(number), HEADER + GOOD + tail))
        assert (data.counts.transactions, data.counts.rejected_rows) == (1, 1)


@pytest.mark.parametrize(
    ("transactions", "error", "words"),
    [
        (b"", UnreadableFileError, "no header"),
        (b"\n\n", UnreadableFileError, "no header"),
        (HEADER.replace("amount", "sum").encode(), MissingColumnError, "amount"),
        (HEADER.replace(",", ";").encode(), MissingColumnError, "semicolons"),
        (HEADER.replace("channel", "amount").encode(), MissingColumnError, "more than once"),
        (b"PAR1\0\0\0\xff\xfe", EncodingError, "UTF-8"),
        (HEADER.encode("utf-16"), EncodingError, "UTF-8"),
        (HEADER.encode() + GOOD.replace("A1", "Ä").encode("latin-1"), EncodingError, "line 2"),
        (HEADER.encode() + b'1,"2026\n' + GOOD.encode() * 3, UnreadableFileError, "line 2"),
    ],
)
def test_a_useless_file_is_one_clear_error(
    tmp_path: Path, transactions: bytes, error: type[DataError], words: str
) -> None:
    """A file that cannot be used is refused in one line: file, cause, remedy; exit code 2."""
    with pytest.raises(error) as caught:
        read(folder(tmp_path, transactions))
    text = str(caught.value)
    assert "transactions.csv" in text
    assert words in text
    assert caught.value.remedy in text
    assert "\n" not in text
    assert caught.value.exit_code == 2


def test_missing_and_doubled_files(tmp_path: Path) -> None:
    """No folder, no table, a table in both formats, Parquet that is none: each has its error."""
    with pytest.raises(MissingFileError, match="no such folder"):
        read(tmp_path / "nowhere")
    place = folder(tmp_path / "in")
    (place / "transactions.csv").rename(place / "transactions.parquet")
    with pytest.raises(UnreadableFileError, match=r"transactions\.parquet"):
        read(place)
    (place / "transactions.csv").write_text(HEADER)
    with pytest.raises(AmbiguousFileError, match="both"):
        read(place)
    (place / "accounts.csv").unlink()
    with pytest.raises(MissingFileError, match=r"accounts\.csv"):
        read(place)


def test_only_the_own_folder_is_read(tmp_path: Path) -> None:
    """A node works when everything beside and above its folder is out of reach."""
    place = folder(tmp_path / "banks" / "a", HEADER + GOOD)
    other = folder(tmp_path / "banks" / "b")
    other.chmod(0)
    (tmp_path / "dataset.toml").write_text("not toml at all [")
    before = Path.cwd()
    try:
        os.chdir(place)
        assert read(place).counts.transactions == 1
        assert sorted(path.name for path in place.iterdir()) == ["accounts.csv", "transactions.csv"]
    finally:
        os.chdir(before)
        other.chmod(0o700)


def test_a_table_may_be_a_link(tmp_path: Path) -> None:
    """A bank may link a table into its folder from elsewhere, and may link the folder."""
    place = folder(tmp_path / "in", HEADER + GOOD)
    (place / "transactions.csv").rename(tmp_path / "export")
    (place / "transactions.csv").symlink_to(tmp_path / "export")
    (tmp_path / "link").symlink_to(place)
    assert read(tmp_path / "link").counts.transactions == 1


@pytest.mark.parametrize("name", ["plain", "with 'quotes'", "a*b", "[x]", "ü"])
def test_odd_folder_names_are_names(tmp_path: Path, name: str) -> None:
    """A folder's name is never taken for a pattern or for SQL."""
    assert read(folder(tmp_path / name, HEADER + GOOD)).counts.transactions == 1


@pytest.mark.parametrize(
    "data",
    [
        "\ufeff" + HEADER + GOOD,
        (HEADER + GOOD).replace("\n", "\r\n"),
        HEADER + GOOD.replace("\n", "\r\n"),
        HEADER.upper() + GOOD,
        HEADER.replace(",", " , ") + GOOD.replace(",", "\t, "),
        (HEADER + GOOD).rstrip("\n"),
        HEADER + "\n\n" + GOOD,
        HEADER.replace("channel", "note,channel") + GOOD.replace("wire", '"a, ""b""\nc",wire'),
    ],
)
def test_harmless_variations_are_read(tmp_path: Path, data: str) -> None:
    """Byte-order mark, line ends, upper case, blanks, blank lines and more columns do no harm."""
    assert read(folder(tmp_path, data)).transactions.to_pylist() == (
        read(folder(tmp_path, HEADER + GOOD)).transactions.to_pylist()
    )


def test_parquet_with_its_own_types_is_read_like_csv(tmp_path: Path) -> None:
    """Numbers, decimals, dates and times of a Parquet file mean what their text means."""
    place = folder(tmp_path)
    (place / "transactions.csv").unlink()
    table = pa.table(
        {
            "tx_id": [1, 2],
            "timestamp": pa.array([dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)] * 2),
            "from_bank": [7, 8],
            "from_account": ["A", "B"],
            "to_bank": [8, 7],
            "to_account": ["B", "A"],
            "amount": pa.array([Decimal("1.10"), Decimal("2.20")]),
            "currency": pa.array(["EUR", "EUR"]).dictionary_encode(),
        }
    )
    pq.write_table(table, place / "transactions.parquet")
    data = read(place, "007")
    assert data.transactions["amount"].to_pylist() == [110, 220]
    assert data.transactions["timestamp"].to_pylist() == [1767322800000000] * 2
    pq.write_table(
        table.set_column(6, "amount", pa.array([1.1, 2.2])), place / "transactions.parquet"
    )
    assert read(place, "007").transactions["amount"].to_pylist() == [110, 220]


def test_canonical_ids_join_what_banks_write_differently(tmp_path: Path) -> None:
    """Leading zeros of a bank and the spelling of an IBAN do not make two accounts of one."""
    text = HEADER + (
        f"1,{TIME},007,nl91 abna 0417 1643 00,000,X,1,EUR,\n"
        f"2,{TIME},7,NL91ABNA0417164300,0, X ,1,EUR,\n"
    )
    data = read(folder(tmp_path, text, "account\nNL91 ABNA 0417 1643 00\n"), "07")
    assert set(data.transactions["from_account"].to_pylist()) == {"NL91ABNA0417164300"}
    assert set(data.transactions["to_bank"].to_pylist()) == {"0"}
    assert (data.bank, data.counts.accounts, data.counts.accounts_only_in_payments) == ("7", 1, 0)


@given(st.text(st.sampled_from(" \t0123abXY\u00a0é-"), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_canonical_ids_are_the_same_in_python_and_in_the_reader(text: str) -> None:
    """The two implementations of the canonical id agree on every text."""
    from bank_node.ingest import _define_rules
    from bank_node.raw_tables import connect

    with connect() as con:
        _define_rules(con)
        ((bank, account),) = con.execute(
            "SELECT canonical_bank(clean(CAST($x AS VARCHAR))), canonical_account(clean($x))",
            {"x": text},
        ).fetchall()
    assert (bank or "") == canonical_bank(text)
    assert (account or "") == canonical_account(text)


def test_canonical_ids_in_known_cases() -> None:
    """Zeros go from numbers only, and what is no IBAN stays as it is."""
    assert [canonical_bank(x) for x in ("0070", "000", "0", " b01 ", "0b")] == (
        ["70", "0", "0", "b01", "0b"]
    )
    assert canonical_account("gb82 west 1234 5698 7654 32") == "GB82WEST12345698765432"
    assert [canonical_account(x) for x in (" a 1 ", "007", "nl91")] == ["a 1", "007", "nl91"]


amounts = st.decimals(0, 10**12, places=4, allow_nan=False, allow_infinity=False)


@given(st.lists(amounts, min_size=1, max_size=20), st.sampled_from(["EUR", "JPY", "BHD"]))
@settings(max_examples=25, deadline=None)
def test_amounts_are_exact(
    tmp_path_factory: pytest.TempPathFactory, values: list[Decimal], currency: str
) -> None:
    """An amount is the exact decimal, rounded half to even at the minor unit, and counted if so."""
    place = tmp_path_factory.mktemp("in")
    text = HEADER + "".join(
        f"{i},{TIME},a,A,b,B,{value},{currency},\n" for i, value in enumerate(values)
    )
    data = read(folder(place, text), base_currency=currency)
    step = {"EUR": Decimal("0.01"), "JPY": Decimal(1), "BHD": Decimal("0.001")}[currency]
    want = [int(value.quantize(step, ROUND_HALF_EVEN) / step) for value in values]
    found = dict(
        zip(*data.transactions.select(["tx_id", "amount"]).to_pydict().values(), strict=True)
    )
    assert [found[str(i)] for i in range(len(values))] == want
    assert data.counts.rounded == sum(value % step != 0 for value in values)


def test_other_currencies_are_converted_exactly(tmp_path: Path) -> None:
    """Amount times rate, in the minor unit of the base currency, half to even."""
    text = HEADER + (
        f"1,{TIME},a,A,b,B,1000,JPY,\n2,{TIME},a,A,b,B,0.05,usd,\n3,{TIME},a,A,b,B,0.15,USD,\n"
    )
    data = read(folder(tmp_path, text), rates={"JPY": 0.00614, "usd": 0.9})
    assert data.transactions["amount"].to_pylist() == [614, 4, 14]
    assert data.counts.rounded == 0


def test_without_a_base_currency_the_commonest_is_taken(tmp_path: Path) -> None:
    """The result names the currency, so that the caller can compare the banks."""
    text = HEADER + f"1,{TIME},a,A,b,B,1,SEK,\n2,{TIME},a,A,b,B,1,EUR,\n3,{TIME},a,A,b,B,1,SEK,\n"
    data = read(folder(tmp_path, text), base_currency=None)
    assert (data.base_currency, data.counts.rejected) == ("SEK", {"unknown currency": 1})
    assert read(folder(tmp_path), base_currency=None).base_currency is None


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e-12])
def test_a_rate_must_be_a_rate(tmp_path: Path, rate: float) -> None:
    """A rate that is zero, negative, not finite or absurd is refused."""
    with pytest.raises(CurrencyError, match="USD"):
        read(folder(tmp_path), rates={"USD": rate})
    with pytest.raises(CurrencyError, match="no base currency"):
        read(folder(tmp_path), base_currency=None, rates={"USD": 1.0})


def test_scope_is_all_unless_the_bank_declares_one(tmp_path: Path) -> None:
    """Without the column all accounts are in scope; with it only those that it names."""
    assert read(folder(tmp_path / "1", accounts="account\nA\n")).accounts["in_scope"][0].as_py()
    data = read(folder(tmp_path / "2", accounts="account,in_scope\nA,\nB,1\n"))
    assert data.accounts["in_scope"].to_pylist() == [False, True]
    assert data.scope_declared


def test_the_error_tree_is_sound() -> None:
    """Each error has a code of its own and stands in the list and the picture of its module."""
    module = bank_node.errors
    classes: list[type[UndercurrentError]] = [
        value for value in vars(module).values() if isinstance(value, type)
    ]
    assert sorted(c.__name__ for c in classes) == module.__all__
    assert len({c.code for c in classes}) == len(classes)
    assert all(c.__name__ in (module.__doc__ or "") for c in classes)
    error = UndercurrentError("It is\nbroken.", "Mend it")
    assert str(error) == "It is broken. Mend it"


pieces = st.sampled_from(
    [*'",\n\r;\\-+.eE0179aAbB \t\0\u00a0é', "EUR", TIME, "a,A,b,B", "1e9", '""', GOOD, "2026-99-99"]
)


@given(st.lists(pieces, max_size=40), st.lists(pieces, max_size=10), st.binary(max_size=3))
@settings(max_examples=60, deadline=None)
def test_no_file_crashes_the_reader(
    tmp_path_factory: pytest.TempPathFactory,
    transactions: list[str],
    accounts: list[str],
    noise: bytes,
) -> None:
    """Whatever stands in the files, the answer is a table and counts, or one clear error."""
    place = tmp_path_factory.mktemp("in")
    folder(
        place,
        (HEADER + GOOD + "".join(transactions)).encode() + noise,
        "account,risk_score,balance\n" + "".join(accounts),
    )
    try:
        found = read(place, rejected=place / "rejected.csv").counts.rejected_rows
    except DataError:
        assert not (place / "rejected.csv").exists()
    else:
        assert found == len(rows(place / "rejected.csv"))
