"""Imports stand what real files are like: cut off, wrongly encoded, mixed, or rubbish."""

from pathlib import Path

import numpy as np
import pytest

from bank_node.errors import EncodingError, UnreadableFileError
from simdata.amlworld import import_amlworld
from simdata.comparison import (
    compare_worlds,
    marks_of,
    read_labelled,
    replay_days,
    shipped_model,
)
from simdata.comparison.analyses import pooled
from simdata.csv_import import import_csv
from simdata.describe import describe
from simdata.generator import build_dataset, find_preset
from simdata.generator.config import check_config
from simdata.rejects import count_rejected
from simdata.saml_d import import_saml_d
from simdata.staging import MEMORY, open_stage, read_header, scan_csv

HEADER = "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency\n"


def row(number: int, amount: str = "5.00", currency: str = "EUR") -> str:
    """A payment between two banks, each to an account of its own."""
    return f"{number},2026-01-01T10:00:00Z,a,A{number % 50},b,B{number % 70},{amount},{currency}\n"


def write(path: Path, text: str | bytes) -> Path:
    """A file of payments with its header."""
    body = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(HEADER.encode() + body)
    return path


@pytest.mark.parametrize("cut", [1, 5, 20, 30, 40])
def test_a_file_cut_in_the_middle_loses_its_last_row_only(tmp_path: Path, cut: int) -> None:
    """The torn row is counted, or reads as a shorter one; no other is lost."""
    text = "".join(row(i) for i in range(1000))
    path = write(tmp_path / "t.csv", text[:-cut])
    import_csv(path, tmp_path / "out")
    found = describe(tmp_path / "out")["banks"][0]["payments"]
    lost = sum(count_rejected(tmp_path / "out").values())
    assert found + lost == 1000
    assert found >= 999


def test_a_quote_that_never_closes_is_counted(tmp_path: Path) -> None:
    """The line with the open quotation mark is rejected; those before it are kept."""
    path = write(tmp_path / "t.csv", row(1) + row(2) + '3,2026-01-01,a,"A1,b,B1,5,EUR\n')
    import_csv(path, tmp_path / "out")
    assert sum(count_rejected(tmp_path / "out").values()) == 1
    assert describe(tmp_path / "out")["banks"][0]["payments"] == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1,2026-01-01,a,Zoë,b,B,5,EUR\n".encode("latin-1"), "line 1002 is not UTF-8"),
        ("1,2026-01-01,a,Zoe,b,B,5,€\n".encode("cp1252"), "line 1002 is not UTF-8"),
    ],
)
def test_another_encoding_is_one_clear_error(tmp_path: Path, body: bytes, words: str) -> None:
    """The error names the file and the line, and how to convert; nothing is written."""
    good = "".join(row(i) for i in range(1000)).encode()
    path = write(tmp_path / "t.csv", good + body + good)
    with pytest.raises(EncodingError, match=words) as caught:
        import_csv(path, tmp_path / "out")
    assert "iconv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("encoding", "guess"),
    [("utf-16", "utf-16"), ("utf-16-le", "utf-16"), ("utf-16-be", "utf-16"), ("utf-32", "utf-32")],
)
def test_two_bytes_a_letter_are_told_at_once(tmp_path: Path, encoding: str, guess: str) -> None:
    """UTF-16 and UTF-32 are refused at the header; the remedy names them."""
    path = tmp_path / "t.csv"
    path.write_bytes((HEADER + row(1)).encode(encoding))
    with pytest.raises(EncodingError, match=f"not UTF-8.*iconv -f {guess} -t utf-8"):
        import_csv(path, tmp_path / "out")


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    """UTF-8 with a mark at its start, as spreadsheets write it, is read."""
    path = tmp_path / "t.csv"
    path.write_bytes((HEADER + row(1)).encode("utf-8-sig"))
    import_csv(path, tmp_path / "out")
    assert describe(tmp_path / "out")["banks"][0]["payments"] == 1


def test_mixed_line_ends_are_read(tmp_path: Path) -> None:
    """Lines that end as on Windows and lines that do not, in one file."""
    path = write(tmp_path / "t.csv", row(1).replace("\n", "\r\n") + row(2) + row(3))
    import_csv(path, tmp_path / "out")
    assert describe(tmp_path / "out")["banks"][0]["payments"] == 3


def test_mixed_currencies_need_rates(tmp_path: Path) -> None:
    """Without a rate the payment is counted as of unknown currency; with one it is converted."""
    path = write(tmp_path / "transactions.csv", row(1) + row(2, "8.00", "USD") + row(3, "9", "XYZ"))
    import_csv(path, tmp_path / "one")
    assert count_rejected(tmp_path / "one") == {"unknown currency": 2}
    (tmp_path / "m.toml").write_text("[rates]\nUSD = 0.5\n")
    import_csv(path, tmp_path / "two", column_map=tmp_path / "m.toml")
    assert count_rejected(tmp_path / "two") == {"unknown currency": 1}
    assert describe(tmp_path / "two")["banks"][0]["amount"] == "9.00"


@pytest.mark.parametrize("half", [10_000, pytest.param(500_000, marks=pytest.mark.slow)])
def test_a_million_bad_rows_are_counted(tmp_path: Path, half: int) -> None:
    """Half torn, half senseless: every one is in rejected.csv, the good ones are imported."""
    path = tmp_path / "t.csv"
    with path.open("w") as file:
        file.write(HEADER)
        file.writelines("7,torn,row\n" for _ in range(half))
        file.writelines(row(i, "-1") for i in range(half))
        file.writelines(row(i) for i in range(1000))
    import_csv(path, tmp_path / "out")
    assert count_rejected(tmp_path / "out") == {
        "negative amount": half,
        "wrong number of fields": half,
    }
    assert describe(tmp_path / "out")["banks"][0]["payments"] == 1000
    lines = (tmp_path / "out" / "rejected.csv").read_text().splitlines()
    assert lines[1].startswith("t.csv,1,")
    assert lines[-1].startswith(f"t.csv,{2 * half},amount,negative amount,")


@pytest.mark.parametrize("reader", [import_csv, import_amlworld, import_saml_d])
@pytest.mark.parametrize("body", [b"", b"\n\n", b"\x00\x01\x02\xff\xfe" * 100, b"PK\x03\x04zip"])
def test_rubbish_is_refused_in_one_line(tmp_path: Path, reader: object, body: bytes) -> None:
    """An empty file, blank lines, bytes, an archive: an error with a remedy, nothing written."""
    from bank_node.errors import DataError

    path = tmp_path / "X_Trans.csv"
    path.write_bytes(body)
    with pytest.raises(DataError) as caught:
        reader(path, tmp_path / "out")  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["X_Trans.csv"]


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    """A file whose rows are all bad, banks missing too, names no bank: that is said."""
    path = write(tmp_path / "t.csv", "1,2026-01-01,,A,,B,5,EUR\n")
    with pytest.raises(UnreadableFileError, match="no row"):
        import_csv(path, tmp_path / "out")


def test_a_header_alone_of_a_split_format_gives_empty_banks(tmp_path: Path) -> None:
    """No payments: three banks without any, which can be looked at."""
    path = tmp_path / "t.csv"
    path.write_text("timestamp,from_account,to_account,amount\n")
    import_csv(path, tmp_path / "out", csv=True)
    found = describe(tmp_path / "out")
    assert [bank["payments"] for bank in found["banks"]] == [0, 0, 0]
    assert found["first_timestamp"] is None


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Rows are staged on disk: DuckDB has a limit and a folder of its own to spill to."""
    path = write(tmp_path / "t.csv", "".join(row(i) for i in range(1000)))
    (tmp_path / "x").mkdir()
    work = tmp_path / "x" / "new"
    work.mkdir()
    with open_stage(work, [path]) as stage:
        scan_csv(stage, path, "rows", len(read_header(path)))
        ((limit, spill),) = stage.con.execute(
            "SELECT current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchall()
        assert (stage.folder / "rows.parquet").is_file()
        assert stage.number("SELECT count(*) FROM rows") == 1000
    assert (MEMORY, limit) == ("1500MB", "1.3 GiB")
    assert spill.startswith(str(tmp_path))


def test_only_the_named_files_can_be_read(tmp_path: Path) -> None:
    """A file beside the source is out of reach for what runs in the stage."""
    import duckdb

    path = write(tmp_path / "t.csv", row(1))
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    (tmp_path / "x" / "new").mkdir(parents=True)
    with open_stage(tmp_path / "x" / "new", [path]) as stage, pytest.raises(duckdb.Error):
        stage.con.execute(f"SELECT * FROM read_csv('{secret}')")


def test_an_empty_bank_takes_part(tmp_path: Path) -> None:
    """A bank with no account and no payment is counted, compared and replayed like any other."""
    folder = tmp_path / "data"
    values = find_preset("small").model_dump(exclude_none=True)
    values["size"] |= {"accounts": 300, "days": 10}
    build_dataset(folder, check_config(values), 3, csv=True)
    (folder / "banks" / "none").mkdir()
    for name in ("accounts.csv", "transactions.csv"):
        header = (folder / "banks" / "bank1" / name).read_text().partition("\n")[0]
        (folder / "banks" / "none" / name).write_text(header + "\n")
    (folder / "dataset.toml").unlink()
    found = describe(folder)["banks"][-1]
    assert (found["bank"], found["accounts"], found["payments"]) == ("none", 0, 0)
    data, model = read_labelled(folder), shipped_model()
    marks = marks_of(data, model, data.payments)
    worlds = compare_worlds(data, model, marks, pooled(data, data.payments, marks))
    assert np.isfinite(np.concatenate(list(worlds.score.values()))).all()
    replayed = replay_days(data, model, 5 * 86_400_000_000, 0.05)
    assert len(replayed.days) == 2
