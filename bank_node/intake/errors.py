"""Errors of taking in transactions.

::

    UndercurrentError
    └── IntakeError                 base (exit code 2)
        ├── ReadableSecretError     others can read the file with the way into the database
        ├── MissingSourceError      no file or address to read from
        ├── ChangingFileError       a file is changed in a way that cannot be followed
        ├── DatabaseSourceError     PostgreSQL cannot be reached or refuses (exit code 1)
        ├── IntakeBusyError         another process takes in or removes at this moment (exit code 1)
        ├── IntakeStorageError      the disk or the memory given is full (exit code 1)
        ├── OtherBankError          what was taken in belongs to another bank or currency
        └── DamagedDataError        a file that is listed is missing or cannot be read (exit code 1)

No message holds anything of a row.  What cannot be used of a source's files is an error of
:mod:`bank_node.errors`.
"""

from bank_node.errors import UndercurrentError

__all__ = [
    "ChangingFileError",
    "DamagedDataError",
    "DatabaseSourceError",
    "IntakeBusyError",
    "IntakeError",
    "IntakeStorageError",
    "MissingSourceError",
    "OtherBankError",
    "ReadableSecretError",
]


class IntakeError(UndercurrentError):
    """Transactions cannot be taken in."""

    code = "intake.error"
    exit_code = 2


class ReadableSecretError(IntakeError):
    """Other users can read the file with the way into the database."""

    code = "intake.readable-dsn"


class MissingSourceError(IntakeError):
    """There is no file, or no address of a database, to read from."""

    code = "intake.missing-source"


class ChangingFileError(IntakeError):
    """A file was replaced, shortened or rewritten while it was read."""

    code = "intake.changing-file"


class DatabaseSourceError(IntakeError):
    """PostgreSQL cannot be reached, or refuses what is asked."""

    code = "intake.database"
    exit_code = 1


class IntakeBusyError(IntakeError):
    """Another process takes in or removes transactions at this moment."""

    code = "intake.busy"
    exit_code = 1


class IntakeStorageError(IntakeError):
    """The disk is full or not writable, or the memory given is too small."""

    code = "intake.storage"
    exit_code = 1


class OtherBankError(IntakeError):
    """What was taken in belongs to another bank, or is in another base currency."""

    code = "intake.other-bank"


class DamagedDataError(IntakeError):
    """A file that is listed is missing or cannot be read."""

    code = "intake.damaged"
    exit_code = 1
