"""Which column of a CSV file is what: the map of ``simdata import csv`` and ``export csv``.

Without a map, the files are ``transactions.csv`` and ``accounts.csv`` with the columns of a data
set folder, ``bank`` before them in the accounts, and ``is_illicit``, ``pattern``, ``typology``
after them in the transactions.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bank_node.errors import ParameterError
from simdata.generator.config import read_toml

__all__ = ["ACCOUNT_FIELDS", "PAYMENT_FIELDS", "ColumnMap", "TableMap", "read_map"]

PAYMENT_FIELDS = (
    "tx_id", "timestamp", "from_bank", "from_account", "to_bank", "to_account", "amount",
    "currency", "channel", "is_illicit", "pattern", "typology",
)  # fmt: skip
ACCOUNT_FIELDS = ("bank", "account", "customer", "opened", "kind", "risk_score", "balance")

_NEEDED = ("timestamp", "from_account", "to_account", "amount")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TableMap(_Section):
    """One file.

    Attributes:
        file: its name in the folder.
        delimiter: what stands between fields.
        decimal: the decimal mark; if it is a comma, points are taken as thousands.
        time: format of times, as of strptime; empty: ISO 8601.
        columns: name of the file's column for each field.
        constants: value of a field that has no column.
    """

    file: str
    delimiter: str = Field(",", min_length=1, max_length=1)
    decimal: str = Field(".", pattern=r"^[.,]$")
    time: str = ""
    columns: Mapping[str, str] = Field(default_factory=dict)
    constants: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("file")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not name or Path(name).name != name:
            raise ValueError(f"{name!r} is not the name of a file")
        return name

    def has(self, field: str) -> bool:
        """Whether the field has a column or a constant."""
        return field in self.columns or field in self.constants


def _same(fields: tuple[str, ...]) -> dict[str, str]:
    return {field: field for field in fields}


class ColumnMap(_Section):
    """A map.

    Attributes:
        base_currency: currency of all amounts inside, and of payments without one; None: the one
            that most payments are in, or euros.
        banks: the banks; empty: those that the accounts or payments name.  Others are outside.
        illicit: texts of ``is_illicit``, in lower case, that mean yes.
        transactions: the payments; None: the columns of a data set, of both files.
        accounts: the accounts; None: there is no such file.
        rates: units of the base currency for one unit of each other, by code in upper case.
    """

    base_currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    banks: tuple[str, ...] = ()
    illicit: tuple[str, ...] = ("1", "1.0", "true", "t", "yes", "y")
    transactions: TableMap | None = None
    accounts: TableMap | None = None
    rates: Mapping[str, float] = Field(default_factory=dict)

    @field_validator("rates")
    @classmethod
    def _upper_case(cls, rates: Mapping[str, float]) -> Mapping[str, float]:
        upper = {name.upper(): rate for name, rate in rates.items()}
        if len(upper) < len(rates):
            raise ValueError("a currency is there twice, in upper and in lower case")
        return upper

    @model_validator(mode="after")
    def _complete(self) -> "ColumnMap":
        if self.transactions is not None:
            _check_fields("transactions", self.transactions, PAYMENT_FIELDS, _NEEDED)
            if self.transactions.has("from_bank") != self.transactions.has("to_bank"):
                raise ValueError("transactions: give both from_bank and to_bank, or neither")
        elif self.accounts is not None:
            raise ValueError("give transactions as well, or leave out accounts")
        if self.accounts is not None:
            _check_fields("accounts", self.accounts, ACCOUNT_FIELDS, ("account",))
        for name, rate in self.rates.items():
            if not 1e-9 <= rate <= 1e9:
                raise ValueError(f"rates: {name} is not from 1e-9 to 1e9")
        return self

    @property
    def own_columns(self) -> bool:
        """Whether the files have the columns of a data set, as far as they have them at all."""
        return self.transactions is None

    @property
    def payments(self) -> TableMap:
        """The map of the payments."""
        return self.transactions or _PAYMENTS

    @property
    def account_table(self) -> TableMap | None:
        """The map of the accounts, if there is one."""
        return _ACCOUNTS if self.own_columns else self.accounts


def _check_fields(
    section: str, table: TableMap, known: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    for field in (*table.columns, *table.constants):
        if field not in known:
            raise ValueError(f"{section}: {field} is none of {', '.join(known)}")
    for field in needed:
        if not table.has(field):
            raise ValueError(f"{section}: {field} has no column")


_PAYMENTS = TableMap(file="transactions.csv", columns=_same(PAYMENT_FIELDS))
_ACCOUNTS = TableMap(file="accounts.csv", columns=_same(ACCOUNT_FIELDS))


def read_map(path: Path | None) -> ColumnMap:
    """Read a map, or return the default one.

    Raises:
        DataError: the file is not there, not TOML, or names a field that does not exist.
    """
    if path is None:
        return ColumnMap()
    try:
        return ColumnMap.model_validate(read_toml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        raise ParameterError(
            f"{path}: {place + ': ' if place else ''}{text}",
            "Correct the map; docs/data-sets.md shows one",
        ) from error
