"""What goes wrong is told without a word of a row."""

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bank_node.errors import UndercurrentError
from bank_node.intake import take_in
from tests.bank_node.intake.bank import HEADER, NOW, Bank, payment

SECRET = "NL91ABNA0417164300"
ROW = payment(1, from_account=SECRET)

pieces = st.sampled_from(
    [*'",\n\r;\\\0\u00a0é', '""', ROW, ROW[:40], f'"{SECRET}', f"{SECRET}\n", "\ufeff", "1,2,3\n"]
)


@given(st.lists(pieces, max_size=30), st.binary(max_size=4), st.booleans())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_a_file_holds_is_not_quoted(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], noise: bytes, cut: bool
) -> None:
    """No report and no traceback holds an account id; every row read is accounted for."""
    place = tmp_path_factory.mktemp("bank")
    bank = Bank(place)
    text = (HEADER + ROW + "".join(parts)).encode() + noise + ROW.encode()
    (bank.source / "transactions.csv").write_bytes(text[:-7] if cut else text)
    bank.accounts(f"account,balance\n{SECRET},1\n{SECRET},x\n")
    try:
        report = bank.take()
    except UndercurrentError as error:
        told = "".join(traceback.format_exception(error))
    else:
        told = str(report) + "".join(report.lines())
        known = report.accepted + report.repeated + sum(report.rejected.values())
        assert report.rows == known
    assert SECRET not in told


def parquet_cut(path: Path) -> None:
    """A Parquet file that ends in the middle."""
    path.write_bytes(b"PAR1" + SECRET.encode() * 50)


def closed(path: Path) -> None:
    """A file that says it is text and is not."""
    path.write_bytes(b"\xff\xfe" + SECRET.encode("utf-16-le"))


@pytest.mark.parametrize(
    ("kind", "spoil"), [("parquet", parquet_cut), ("csv", closed), ("parquet", closed)]
)
def test_useless_files_are_not_quoted(bank: Bank, kind: str, spoil: Callable[[Path], None]) -> None:
    """A file that cannot be read is named, its content is not."""
    spoil(bank.source / f"transactions.{kind}")
    config = bank.config(source=kind, transactions=f"transactions.{kind}", accounts="accounts.csv")
    if kind == "parquet":
        with pytest.raises(UndercurrentError) as caught:
            take_in(config, "a", bank.data, bank.days, NOW)
        told = "".join(traceback.format_exception(caught.value))
    else:
        told = str(take_in(config, "a", bank.data, bank.days, NOW))
    assert f"transactions.{kind}" in told or "accounts.csv" in told
    assert SECRET not in told
