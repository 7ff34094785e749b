"""A bank for tests: files of a source, a data folder, and the list of what counts."""

import csv
import datetime as dt
from pathlib import Path
from typing import Any

from bank_node.ingest import BankData
from bank_node.intake import DataConfig, IntakeReport, JsonDays, forget_before, read_taken, take_in

HEADER = "tx_id,timestamp,from_bank,from_account,to_bank,to_account,amount,currency,channel\n"
NOW = int(dt.datetime(2026, 6, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000
DAY = 86_400_000_000


def at(text: str) -> int:
    """Microseconds since 1970 of an ISO time."""
    return round(dt.datetime.fromisoformat(text).timestamp() * 1_000_000)


def day(text: str) -> int:
    """Days since 1970 of an ISO date."""
    return (dt.date.fromisoformat(text) - dt.date(1970, 1, 1)).days


def payment(number: int | str, time: str = "2026-05-02", **fields: str) -> str:
    """A line of a transactions file: ten euros from A1 here to B1 at bank b, unless told."""
    values = {
        "tx_id": str(number),
        "timestamp": time,
        "from_bank": "a",
        "from_account": "A1",
        "to_bank": "b",
        "to_account": "B1",
        "amount": "10",
        "currency": "EUR",
        "channel": "wire",
    } | fields
    return ",".join(values.values()) + "\n"


class Bank:
    """Bank a, which takes in CSV files from a folder.

    Args:
        place: folder for all of it.
    """

    def __init__(self, place: Path) -> None:
        self.source = place / "source"
        self.data = place / "data"
        self.list = place / "days.json"
        self.source.mkdir(exist_ok=True)

    @property
    def days(self) -> JsonDays:
        """The list, as a process that starts now reads it."""
        return JsonDays(self.list)

    @property
    def files(self) -> list[str]:
        """The files that count."""
        return [entry.file for entry in self.days.listed()]

    def accounts(self, text: str, name: str = "accounts.csv") -> None:
        """Write the source's accounts."""
        (self.source / name).write_text(text)

    def payments(self, *lines: str, name: str = "transactions.csv", header: str = HEADER) -> Path:
        """Write a file of the source."""
        path = self.source / name
        path.write_text(header + "".join(lines))
        return path

    def config(self, **settings: Any) -> DataConfig:
        """The source, in euros and without retention unless told."""
        plain = {"source": "csv", "folder": self.source, "retention_days": 0, "threads": 1}
        return DataConfig.model_validate(plain | settings)

    def take(self, now: int = NOW, *, again: bool = False, **settings: Any) -> IntakeReport:
        """Take in what is new."""
        return take_in(self.config(**settings), "a", self.data, self.days, now, again=again)

    def read(self) -> BankData:
        """What was taken in."""
        return read_taken(self.data, self.files, "a", "EUR")

    def ids(self) -> list[str]:
        """The payments taken in."""
        return list(self.read().transactions["tx_id"].to_pylist())

    def forget(self, first: str) -> int:
        """Remove all days before an ISO date."""
        return forget_before(self.data, self.days, day(first))

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file in the data folder."""
        with (self.data / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def state(self) -> dict[str, Any]:
        """All that a worker would read, for comparing."""
        data = self.read()
        return {
            "accounts": data.accounts.to_pydict(),
            "transactions": data.transactions.to_pydict(),
            "scope": data.scope_declared,
        }
