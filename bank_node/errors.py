"""Errors that a user can cause and mend.

::

    UndercurrentError               base; knows its stable code and the exit code of the command
    └── DataError                   wrong input (exit code 2)
        ├── MissingFileError        a folder or file that must be there is not
        ├── AmbiguousFileError      the same table as CSV and as Parquet
        ├── MissingColumnError      a column that must be there is not, or stands there twice
        ├── UnreadableFileError     not a CSV or Parquet file, empty, broken, or no access
        ├── EncodingError           text that is not UTF-8
        ├── CurrencyError           no base currency, or a rate that is no rate
        ├── WindowError             a time window or slice that makes no sense
        ├── AmountOverflowError     added up, the amounts do not fit 64 bits
        ├── RosterError             the bank is not in the list of banks, or one stands there twice
        ├── OutputExistsError       the folder to write is there and not empty
        ├── UnknownFormatError      not a format that can be imported
        ├── PreparedColumnsError    columns prepared ahead are missing, used up, or for another run
        └── ParameterError          a parameter is out of its range

``str(error)`` is one line: what is wrong (who, what, where), then what to do about it.
"""

__all__ = [
    "AmbiguousFileError",
    "AmountOverflowError",
    "CurrencyError",
    "DataError",
    "EncodingError",
    "MissingColumnError",
    "MissingFileError",
    "OutputExistsError",
    "ParameterError",
    "PreparedColumnsError",
    "RosterError",
    "UndercurrentError",
    "UnknownFormatError",
    "UnreadableFileError",
    "WindowError",
]


class UndercurrentError(Exception):
    """Base of all errors with a remedy.

    Attributes:
        code: stable name of the kind of error, with a section in ``docs/errors.md``.
        exit_code: what the command line returns for it.
        message: what is wrong.
        remedy: what to do about it.
    """

    code: str = "error"
    exit_code: int = 1

    def __init__(self, message: str, remedy: str) -> None:
        self.message = _one_line(message)
        self.remedy = _one_line(remedy)
        super().__init__(f"{self.message}. {self.remedy}")

    def __reduce__(self) -> tuple[type["UndercurrentError"], tuple[str, str]]:
        return type(self), (self.message, self.remedy)


def _one_line(text: str) -> str:
    return " ".join(text.split()).removesuffix(".")


class DataError(UndercurrentError):
    """Wrong input."""

    code = "data.error"
    exit_code = 2


class MissingFileError(DataError):
    """A folder or file that must be there is not."""

    code = "data.missing-file"


class AmbiguousFileError(DataError):
    """The same table is there as CSV and as Parquet."""

    code = "data.ambiguous-file"


class MissingColumnError(DataError):
    """A column that must be there is not, or stands there twice."""

    code = "data.missing-column"


class UnreadableFileError(DataError):
    """A file cannot be read as what its name says it is."""

    code = "data.unreadable-file"


class EncodingError(DataError):
    """A text file is not UTF-8."""

    code = "data.encoding"


class CurrencyError(DataError):
    """There is no base currency, or a rate is no rate."""

    code = "data.currency"


class WindowError(DataError):
    """A time window or a slice makes no sense."""

    code = "data.window"


class AmountOverflowError(DataError):
    """Added up, the amounts do not fit 64 bits."""

    code = "data.amount-overflow"


class RosterError(DataError):
    """The bank is not in the list of banks, or a bank stands there twice."""

    code = "data.roster"


class OutputExistsError(DataError):
    """The folder to write is there already and not empty."""

    code = "data.output-exists"


class UnknownFormatError(DataError):
    """Not a format that can be imported."""

    code = "data.unknown-format"


class PreparedColumnsError(DataError):
    """Columns prepared ahead are missing, used up, or were prepared for something else."""

    code = "data.prepared-columns"


class ParameterError(DataError):
    """A parameter is out of its range."""

    code = "data.parameter"
