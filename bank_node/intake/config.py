"""``[data]`` of ``node.toml``: where a bank's transactions come from, and how long they stay."""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bank_node.errors import CurrencyError
from bank_node.intake.errors import MissingSourceError, ReadableSecretError
from bank_node.rules import ACCOUNTS, TRANSACTIONS

__all__ = ["DataConfig"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RULES = 1
"""Raised when the rules change, so that sources are read once more from the start."""


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    return int(number) * _SECONDS[unit]


def _duration(text: str) -> str:
    if not re.fullmatch("[0-9]{1,6}[smhd]", text):
        raise ValueError("write a number and s, m, h or d, such as 15m")
    return text


Duration = Annotated[str, AfterValidator(_duration)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


class DataConfig(BaseModel):
    """The data source of a bank.

    Attributes:
        source: csv, parquet or postgresql.
        folder: where ``transactions`` and ``accounts`` are looked for (csv, parquet).
        transactions: pattern of file names; or a table's name or a query (postgresql).
        accounts: the same.  Of several files the last by name counts: a full snapshot.
        columns: name of a column here = its name in the source, for both tables.
        dsn_file: file (0600) with the connection string of PostgreSQL.
        dsn_env: environment variable with it.
        watermark: column of ``transactions`` that only grows (postgresql); only rows from its
            last value on are read.  Empty: all rows every time.
        overlap: how far behind the last value of a time column reading starts again, for rows
            that were committed late.
        overlap_number: the same for a column of numbers.
        base_currency: currency of all amounts inside.
        rates: units of the base currency for one unit of each other currency.
        rates_file: CSV (currency, rate) or TOML (currency = rate) instead of ``rates``.
        retention_days: payments older than this many days are not kept; 0: no limit.
        every: how often the node takes in.
        memory_mb: memory for taking in, in MiB.
        threads: threads for taking in; 0: one for each core.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["csv", "parquet", "postgresql"]
    folder: Path | None = None
    transactions: str = ""
    accounts: str = ""
    columns: dict[str, str] = Field(default_factory=dict)
    dsn_file: Path | None = None
    dsn_env: str = ""
    watermark: str = ""
    overlap: Duration = "1h"
    overlap_number: int = Field(10_000, ge=0)
    base_currency: Currency = "EUR"
    rates: dict[Currency, float] = Field(default_factory=dict)
    rates_file: Path | None = None
    retention_days: int = Field(400, ge=0, le=36_500)
    every: Duration = "15m"
    memory_mb: int = Field(1024, ge=256)
    threads: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> "DataConfig":
        unknown = set(self.columns) - {*TRANSACTIONS.columns, *ACCOUNTS.columns}
        if unknown:
            raise ValueError(f"columns: there is no column {', '.join(sorted(unknown))}")
        if self.source == "postgresql" and bool(self.dsn_file) == bool(self.dsn_env):
            raise ValueError("postgresql needs dsn_file or dsn_env, one of the two")
        if self.source != "postgresql" and (self.dsn_file or self.dsn_env or self.watermark):
            raise ValueError("dsn_file, dsn_env and watermark are for postgresql only")
        if self.source != "postgresql" and self.folder is None:
            raise ValueError(f"{self.source} needs folder")
        if self.rates and self.rates_file is not None:
            raise ValueError("give rates or rates_file, not both")
        if self.every_seconds < 1:
            raise ValueError("every must be a second at least")
        return self

    @property
    def every_seconds(self) -> int:
        """``every`` in seconds."""
        return _seconds(self.every)

    @property
    def overlap_seconds(self) -> int:
        """``overlap`` in seconds."""
        return _seconds(self.overlap)

    def beside(self, folder: Path) -> "DataConfig":
        """The same with relative paths taken from ``folder``."""
        paths = {
            name: folder / path
            for name in ("folder", "dsn_file", "rates_file")
            if (path := getattr(self, name)) is not None
        }
        return self.model_copy(update=paths)

    def pattern(self, table: Literal["accounts", "transactions"]) -> str:
        """What to look for: a pattern of file names, or a table or query."""
        given = self.transactions if table == "transactions" else self.accounts
        return given or (table if self.source == "postgresql" else f"{table}*.{self.source}")

    def all_rates(self) -> Mapping[str, float]:
        """The rates, from the file if there is one.

        Raises:
            CurrencyError: the file cannot be used.
        """
        return self.rates if self.rates_file is None else _read_rates(self.rates_file)

    def dsn(self) -> str:
        """The connection string of PostgreSQL.

        Raises:
            MissingSourceError: it is not there.
            ReadableSecretError: others can read it.
        """
        text = os.environ.get(self.dsn_env, "") if self.dsn_file is None else _secret(self.dsn_file)
        if not text.strip():
            place = self.dsn_file or f"environment variable {self.dsn_env}"
            raise MissingSourceError(
                f"{place}: no connection string is there",
                "Write it there, such as postgresql://user@host/name",
            )
        return text.strip()

    def digest(self, bank: str) -> str:
        """What decides which rows can be used; if it changes, a source is read from the start."""
        text = json.dumps(
            [
                _RULES,
                bank,
                self.base_currency,
                sorted(self.all_rates().items()),
                sorted(self.columns.items()),
                [str(self.folder), self.pattern("transactions"), self.pattern("accounts")],
                self.watermark,
            ]
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _secret(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ReadableSecretError(
                    f"{path}: other users can read the connection string", f"chmod 600 {path}"
                )
            return file.read(10_000)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise MissingSourceError(
            f"{path}: cannot be read ({reason})", "Write the connection string there"
        ) from None


def _read_rates(path: Path) -> dict[str, float]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".toml":
            return {str(name).upper(): float(rate) for name, rate in tomllib.loads(text).items()}
        return _rates_of(text)
    except OSError as error:
        raise CurrencyError(
            f"{path}: cannot be read ({error.strerror})", "Name a file with the rates"
        ) from None
    except (ValueError, TypeError):
        raise CurrencyError(
            f"{path}: is no table of rates",
            "Write a line currency,rate and then one line for each currency, such as USD,0.92",
        ) from None


def _rates_of(text: str) -> dict[str, float]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0].replace(" ", "").lower() != "currency,rate":
        raise ValueError
    rates: dict[str, float] = {}
    for line in lines[1:]:
        name, rate = line.split(",")
        if not re.fullmatch("[A-Za-z]{3}", name.strip()) or name.strip().upper() in rates:
            raise ValueError
        rates[name.strip().upper()] = float(rate)
    return rates
