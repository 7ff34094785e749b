"""Files of the data folder know whose they are: bank and base currency stand in their metadata."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from bank_node.intake.days import REJECTED_DAY, DayFile
from bank_node.intake.errors import OtherBankError
from bank_node.intake.folders import damaged
from bank_node.rules import canonical_bank
from bank_node.sandbox import connect_to

__all__ = ["check_labels", "compare_labels", "digest_of", "labels_of"]


def labels_of(
    con: duckdb.DuckDBPyConnection, folder: Path, files: Sequence[str]
) -> dict[tuple[str, str], set[str]]:
    """The metadata of files: of each (name, value) the files with it.

    Raises:
        DamagedDataError: a file is missing or cannot be read.
    """
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise damaged(folder / missing[0])
    if not files:
        return {}
    paths = [str(folder / name) for name in files]
    try:
        rows = con.execute(
            "SELECT file_name, decode(key), decode(value) FROM parquet_kv_metadata(?)", [paths]
        ).fetchall()
    except duckdb.Error:
        raise damaged(folder) from None
    found: dict[tuple[str, str], set[str]] = {}
    for file, key, value in rows:
        found.setdefault((str(key), str(value)), set()).add(str(file))
    return found


def check_labels(
    folder: Path, listed: Sequence[DayFile], bank: str, base_currency: str | None
) -> dict[tuple[str, str], set[str]]:
    """Make sure that what was taken in is of this bank, in this currency; gives the metadata.

    Raises:
        OtherBankError: it is not.
        DamagedDataError: a file is missing or cannot be read.
    """
    files = [entry.file for entry in listed if entry.day != REJECTED_DAY]
    with connect_to([folder.resolve()], []) as con:
        labels = labels_of(con, folder.resolve(), files)
    compare_labels(labels, folder, bank, base_currency)
    return labels


def digest_of(labels: dict[tuple[str, str], set[str]]) -> str:
    """The digest of the accounts held; "" if there are none."""
    return next((value for key, value in labels if key == "digest"), "")


def compare_labels(
    labels: dict[tuple[str, str], set[str]], folder: Path, bank: str, base_currency: str | None
) -> None:
    """The same, of metadata read already."""
    wanted = {"bank": canonical_bank(bank), "base_currency": base_currency}
    for key, value in labels:
        want = wanted.get(key)
        if want is not None and value != want:
            raise OtherBankError(
                f"{folder}: the data there are of {key.replace('_', ' ')} {value}, not {want}",
                "Use another folder, or empty this one and take everything in again",
            )
