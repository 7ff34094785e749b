"""A labelled data set over several banks, as a folder.

::

    DIR/dataset.toml                name, seed, base currency, first and last time, banks, rates
    DIR/banks/<bank>/accounts       what the bank's node reads, and nothing else
    DIR/banks/<bank>/transactions
    DIR/labels/accounts             bank, account, is_illicit, pattern, typology
    DIR/labels/patterns             pattern, typology, tx_id, hop

``dataset.toml`` is optional: without it the banks are the folder names.  A folder is written beside
its place and renamed at the end, so that nobody sees half a data set.
"""

import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bank_node.errors import (
    MissingFileError,
    OutputExistsError,
    ParameterError,
    RosterError,
    UnreadableFileError,
)
from bank_node.ingest import canonical_bank
from bank_node.raw_tables import TableSpec, connect, load
from simdata.writer import write_table

__all__ = [
    "Dataset",
    "bank_folder",
    "check_bank_names",
    "dataset_toml",
    "decimal_column",
    "describe_time",
    "fresh_folder",
    "read_dataset",
    "read_labels",
    "write_dataset",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Dataset:
    """What stands in ``dataset.toml``.

    Attributes:
        name: name of the data set.
        banks: ids of the banks, in the order of the roster; also the names of their folders.
        seed: seed it was generated with; None if it was not generated.
        base_currency: currency of all amounts inside; None: take it from the payments.
        first: time of the first payment, microseconds since 1970 UTC; None if unknown.
        last: time of the last payment.
        rates: units of the base currency for one unit of each other currency.
    """

    name: str
    banks: tuple[str, ...]
    seed: int | None = None
    base_currency: str | None = None
    first: int | None = None
    last: int | None = None
    rates: Mapping[str, float] = field(default_factory=dict)


def bank_folder(folder: Path, bank: str) -> Path:
    """The folder that the node of ``bank`` reads."""
    return folder / "banks" / bank


def read_dataset(folder: Path) -> Dataset:
    """Read ``dataset.toml``, or find out from the folders what it would say.

    Raises:
        DataError: there is no data set, or its description is wrong.
    """
    banks_folder = folder / "banks"
    if not banks_folder.is_dir():
        raise MissingFileError(
            f"{folder}: there is no folder banks in it", "Name the folder of a data set"
        )
    found = sorted(path.name for path in banks_folder.iterdir() if path.is_dir())
    path = folder / "dataset.toml"
    bare = Dataset(folder.resolve().name, tuple(found))
    dataset = _read_toml(path, found) if path.is_file() else bare
    _check_banks(folder, dataset.banks, found)
    return dataset


def _check_banks(folder: Path, banks: Sequence[str], found: Sequence[str]) -> None:
    if not banks:
        raise MissingFileError(f"{folder}: there is no bank in it", "Add a folder for each bank")
    missing = [bank for bank in banks if bank not in found]
    if missing:
        raise MissingFileError(
            f"{folder}: the folder of bank {missing[0]} is missing in banks",
            "Add it, or take the bank out of dataset.toml",
        )
    if len({canonical_bank(bank) for bank in banks}) < len(banks):
        raise RosterError(
            f"{folder}: two banks have the same id apart from leading zeros", "Rename one of them"
        )


def _read_toml(path: Path, found: Sequence[str]) -> Dataset:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnreadableFileError(f"{path}: {error}", "Correct it, or remove it") from error
    banks = _value(path, values, "banks", list, list(found))
    rates = _value(path, values, "rates", dict, {})
    if not all(isinstance(bank, str) for bank in banks):
        raise UnreadableFileError(f"{path}: banks is not a list of names", "Put them in quotes")
    if not all(isinstance(rate, int | float) for rate in rates.values()):
        raise UnreadableFileError(f"{path}: a rate is not a number", "Correct it")
    return Dataset(
        name=_value(path, values, "name", str, path.parent.name),
        banks=tuple(banks),
        seed=_value(path, values, "seed", int, None),
        base_currency=_value(path, values, "base_currency", str, None),
        first=_micros(path, values, "first_timestamp"),
        last=_micros(path, values, "last_timestamp"),
        rates={name: float(rate) for name, rate in rates.items()},
    )


def _value(path: Path, values: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = values.get(key, default)
    if value is not default and not isinstance(value, kind):
        raise UnreadableFileError(f"{path}: {key} is not a {kind.__name__}", "Correct it")
    return value


def _micros(path: Path, values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise UnreadableFileError(f"{path}: {key} is not a time", "Write ISO 8601") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def describe_time(micros: int | None) -> str | None:
    """Microseconds since 1970 UTC as ISO 8601."""
    if micros is None:
        return None
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


def dataset_toml(dataset: Dataset) -> str:
    """The text of ``dataset.toml``."""
    lines = [f"name = {json.dumps(dataset.name)}"]
    if dataset.seed is not None:
        lines.append(f"seed = {dataset.seed}")
    if dataset.base_currency is not None:
        lines.append(f"base_currency = {json.dumps(dataset.base_currency)}")
    for key, micros in (("first", dataset.first), ("last", dataset.last)):
        if micros is not None:
            lines.append(f"{key}_timestamp = {describe_time(micros)}")
    lines.append(f"banks = {json.dumps(list(dataset.banks))}")
    if dataset.rates:
        lines.append("\n[rates]")
        lines += [f"{json.dumps(name)} = {float(rate)!r}" for name, rate in dataset.rates.items()]
    return "\n".join(lines) + "\n"


@contextmanager
def fresh_folder(out: Path, *, force: bool = False, holding: str = "banks") -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place when the block ends without error.

    Args:
        out: the folder to write.
        force: whether older content in its place may be replaced.
        holding: what must stand in the older content, so that nothing else is ever replaced.

    Raises:
        OutputExistsError: ``out`` is there, not empty, and may not be replaced.
    """
    out = out.resolve()
    _check_place(out, holding, force=force)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise OutputExistsError(
            f"{out}: cannot be written ({error.strerror})", "Choose another place"
        ) from error
    try:
        work, old = temporary / "new", temporary / "old"
        work.mkdir()
        yield work
        _take_place(work, out, old)
    finally:
        if out.exists() or not old.exists():  # otherwise this is the only place of the old one
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(work: Path, out: Path, old: Path) -> None:
    """Put the new folder in the place of one that may be there, which comes back if that fails."""
    try:
        if out.exists():
            out.rename(old)
        work.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise


def _check_place(out: Path, holding: str, *, force: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputExistsError(f"{out}: there is a file in its place", "Choose another place")
    if not any(out.iterdir()):
        return
    if not force:
        raise OutputExistsError(
            f"{out}: the folder is not empty", "Choose another place, or use --force to replace it"
        )
    if not (out / holding).exists():
        raise OutputExistsError(
            f"{out}: the folder holds something else (there is no {holding} in it)",
            "Choose another place",
        )


def decimal_column(minor: NDArray[np.int64]) -> pa.Array:
    """Amounts in hundredths, int64 (n,), as an exact decimal column with two places."""
    words = np.empty((len(minor), 2), np.int64)
    words[:, 0] = minor
    words[:, 1] = minor >> 63
    return pa.Array.from_buffers(
        pa.decimal128(20, 2), len(minor), [None, pa.py_buffer(words.tobytes())]
    )


def write_dataset(
    out: Path,
    dataset: Dataset,
    *,
    accounts: pa.Table,
    payments: pa.Table,
    labels: pa.Table,
    patterns: pa.Table,
    csv: bool = False,
    force: bool = False,
) -> None:
    """Split a data set over its banks and write it.

    Args:
        out: the folder to write; its parent is made if it is missing.
        dataset: its description.
        accounts: bank, account and any of the optional columns.
        payments: the columns of a bank's transactions, in the order to write; ``timestamp`` is
            int64, microseconds since 1970 UTC.
        labels: bank, account, is_illicit, pattern, typology.
        patterns: pattern, typology, tx_id, hop.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Raises:
        OutputExistsError: ``out`` is there and may not be replaced.
        ParameterError: a bank's id cannot be the name of a folder.
    """
    check_bank_names(dataset.banks)
    with fresh_folder(out, force=force) as work:
        (work / "dataset.toml").write_text(dataset_toml(dataset), "utf-8")
        for bank in dataset.banks:
            folder = bank_folder(work, bank)
            folder.mkdir(parents=True)
            own = accounts.filter(pc.equal(accounts["bank"], bank)).drop_columns(["bank"])
            sides = pc.or_kleene(
                pc.equal(payments["from_bank"], bank), pc.equal(payments["to_bank"], bank)
            )
            write_table(own, folder / "accounts", csv=csv)
            write_table(_with_time(payments.filter(sides)), folder / "transactions", csv=csv)
        (work / "labels").mkdir()
        write_table(labels, work / "labels" / "accounts", csv=csv)
        write_table(patterns, work / "labels" / "patterns", csv=csv)


def check_bank_names(banks: Sequence[str]) -> None:
    """Refuse banks whose id cannot be the name of a folder.

    Raises:
        ParameterError: there is one.
    """
    for bank in banks:
        if not bank or bank.startswith(".") or any(c in bank for c in "/\\\0"):
            raise ParameterError(
                f"The bank id {bank!r} cannot be the name of a folder", "Rename the bank"
            )


def _with_time(payments: pa.Table) -> pa.Table:
    place = payments.column_names.index("timestamp")
    times = payments["timestamp"].cast(pa.timestamp("us", "UTC"))
    return payments.set_column(place, "timestamp", times)


def read_labels(folder: Path) -> pa.Table | None:
    """The labels of all accounts (bank, account, is_illicit, pattern, typology), or None.

    Columns that the file lacks are null; ``is_illicit`` is a bool.

    Raises:
        DataError: there are labels but they cannot be read.
    """
    place = folder / "labels"
    if not any((place / f"accounts{suffix}").is_file() for suffix in (".csv", ".parquet")):
        return None
    spec = TableSpec("accounts", ("bank", "account", "is_illicit"), ("pattern", "typology"))
    with connect(place) as con:
        load(con, place, spec)
        return con.sql("""
            SELECT bank, account, lower(is_illicit) IN ('true', 't', 'yes', '1', '1.0')
                AS is_illicit, pattern, typology
            FROM accounts_text WHERE account IS NOT NULL ORDER BY bank, account
        """).to_arrow_table()
