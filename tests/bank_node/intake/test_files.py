"""Files that other programs still write are read up to what is complete."""

import os
from pathlib import Path

import pytest

from bank_node.intake.batch import Source
from bank_node.intake.errors import ChangingFileError
from bank_node.intake.files import find, read_steadily
from tests.bank_node.intake.bank import HEADER, NOW, Bank, payment


def test_a_half_written_line_is_left_for_the_next_time(bank: Bank) -> None:
    """A last line without an end, just written, is not taken for a payment; when whole, it is."""
    path = bank.payments(payment(1), payment(2).removesuffix("re\n"))
    os.utime(path, ns=(NOW * 1000, NOW * 1000))
    report = bank.take()
    assert (report.accepted, report.rejected) == (1, {})
    bank.payments(payment(1), payment(2))
    os.utime(path, ns=(NOW * 1000, NOW * 1000))
    report = bank.take()
    assert (report.accepted, report.repeated, report.rejected) == (1, 1, {})
    assert bank.read().transactions["channel"].to_pylist() == ["wire", "wire"]


def test_an_old_file_may_end_without_a_line_end(bank: Bank) -> None:
    """A last line without an end in a file that rests counts like others; a cut one is rejected."""
    path = bank.payments(payment(1), payment(2).rstrip("\n"))
    os.utime(path, ns=(1, 1))
    cut = bank.payments(payment(3), payment(4)[:20], name="transactions-2.csv")
    os.utime(cut, ns=(1, 1))
    report = bank.take()
    assert (report.accepted, report.rejected) == (3, {"wrong number of fields": 1})


def reading(path: Path, work: Path, change: str, kind: str = "csv") -> tuple[str, list[bytes]]:
    """Read a file that is changed during the first reading; the mark and what was read."""
    seen: list[bytes] = []

    def read(source: Source) -> None:
        seen.append(source.path.read_bytes())
        assert source.label == str(path)
        if len(seen) == 1 and change == "grow":
            with path.open("a") as file:
                file.write(payment(2) + "3,2026")
        elif len(seen) == 1 and change == "replace":
            other = path.with_suffix(".new")
            other.write_text(HEADER + payment(9) * 5)
            other.replace(path)
        elif len(seen) == 1 and change == "shorten":
            path.write_text(HEADER)

    found = next(f for f in find(Bank(path.parent.parent).config(), "transactions"))
    return read_steadily(found, kind, work, NOW, read), seen  # type: ignore[arg-type]


def test_a_file_that_grows_is_read_as_it_was(bank: Bank, tmp_path: Path) -> None:
    """Growth during reading: what was there in the beginning counts, and the file stays unknown."""
    path = bank.payments(payment(1))
    mark, seen = reading(path, tmp_path, "grow")
    assert [text.decode() for text in seen] == [HEADER + payment(1)] * 2
    assert mark not in {found.mark for found in find(bank.config(), "transactions")}


def test_a_file_that_rests_is_read_once(bank: Bank, tmp_path: Path) -> None:
    """Nothing is copied where nothing changes, and the file is known afterwards."""
    path = bank.payments(payment(1))
    mark, seen = reading(path, tmp_path, "nothing")
    assert len(seen) == 1
    assert [found.mark for found in find(bank.config(), "transactions")] == [mark]


@pytest.mark.parametrize("change", ["replace", "shorten"])
def test_a_file_that_is_rewritten_is_refused(bank: Bank, tmp_path: Path, change: str) -> None:
    """A file that was replaced or cut during reading is refused with a remedy."""
    path = bank.payments(payment(1))
    with pytest.raises(ChangingFileError, match="rename"):
        reading(path, tmp_path, change)


def test_growth_does_not_count_rows_twice(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file read a second time replaces what was staged of it at first."""
    import bank_node.intake.gathering as gathering

    path = bank.payments("bad line\n", payment(1), payment(2, amount="x"))
    original = gathering.stage_payments

    def stage(batch: object, source: Source) -> None:
        original(batch, source)  # type: ignore[arg-type]
        if source.path == path.resolve():
            with path.open("a") as file:
                file.write(payment(3))

    monkeypatch.setattr(gathering, "stage_payments", stage)
    report = bank.take()
    assert (report.rows, report.accepted, report.repeated) == (3, 1, 0)
    assert sum(report.rejected.values()) == 2
    monkeypatch.undo()
    assert bank.take().accepted == 1


def test_only_files_are_found_and_in_order(bank: Bank) -> None:
    """Folders, dead links and names with a dot in front are passed over."""
    (bank.source / "transactions-dir.csv").mkdir()
    (bank.source / "transactions-dead.csv").symlink_to(bank.source / "nowhere")
    bank.payments(name=".transactions-hidden.csv")
    for name in ("transactions-2.csv", "transactions.csv", "transactions-10.csv"):
        bank.payments(payment(name), name=name)
    found = [entry.path.name for entry in find(bank.config(), "transactions")]
    assert found == ["transactions.csv", "transactions-10.csv", "transactions-2.csv"]
    assert bank.take().accepted == 3


def test_patterns_may_lead_into_folders(bank: Bank) -> None:
    """A pattern can name folders, and files may be links to elsewhere."""
    (bank.source / "2026").mkdir()
    bank.payments(payment(1), name="2026/may.csv")
    bank.payments(payment(2), name="elsewhere")
    (bank.source / "2026" / "june.csv").symlink_to(bank.source / "elsewhere")
    assert bank.take(transactions="20*/*.csv").accepted == 2
