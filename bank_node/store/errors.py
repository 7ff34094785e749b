"""Errors of the store.

::

    UndercurrentError
    └── StoreError                  the database did not do what was asked (exit code 1)
        ├── StoreUrlError           the setting that names the database is wrong (exit code 2)
        ├── UnavailableError        the database cannot be opened, reached or locked (exit code 1)
        ├── DiskFullError           there is no room left for the database (exit code 1)
        ├── NewerSchemaError        a newer program has written this database (exit code 1)
        ├── ConflictError           what is written contradicts what is there (exit code 1)
        ├── MissingRunError         there is no such run in the database (exit code 1)
        ├── ValuesError             results that cannot be stored as they are (exit code 1)
        ├── AuditDetailError        a detail that may not stand in the audit log (exit code 1)
        ├── AuditBrokenError        the audit log was changed after it was written (exit code 1)
        └── BudgetExceeded          a run would disclose more than agreed (exit code 3)

No message holds a value from the database: neither the text of the driver, which quotes rows, nor
parameters of a statement.
"""

from bank_node.errors import UndercurrentError

__all__ = [
    "AuditBrokenError",
    "AuditDetailError",
    "BudgetExceeded",
    "ConflictError",
    "DiskFullError",
    "MissingRunError",
    "NewerSchemaError",
    "StoreError",
    "StoreUrlError",
    "UnavailableError",
    "ValuesError",
]


class StoreError(UndercurrentError):
    """The database did not do what was asked."""

    code = "store.error"


class StoreUrlError(StoreError):
    """The setting that names the database is wrong."""

    code = "store.url"
    exit_code = 2


class UnavailableError(StoreError):
    """The database cannot be opened, reached or locked."""

    code = "store.unavailable"


class DiskFullError(StoreError):
    """There is no room left for the database."""

    code = "store.disk-full"


class NewerSchemaError(StoreError):
    """A newer program has written this database."""

    code = "store.newer-schema"


class ConflictError(StoreError):
    """What is to be written contradicts what is there."""

    code = "store.conflict"


class MissingRunError(StoreError):
    """There is no such run in the database."""

    code = "store.missing-run"


class ValuesError(StoreError):
    """Results that cannot be stored as they are."""

    code = "store.values"


class AuditDetailError(StoreError):
    """A detail that may not stand in the audit log."""

    code = "store.audit-detail"


class AuditBrokenError(StoreError):
    """The audit log was changed after it was written."""

    code = "store.audit-broken"


class BudgetExceeded(StoreError):
    """A run would disclose more to a bank than the agreement allows in the period.

    Attributes:
        bank: who would learn too much.
        period: label of the period of the budget.
        asked: bits that the run would add.
        left: bits that are left of the budget.
    """

    code = "store.budget"
    exit_code = 3

    def __init__(self, bank: str, period: str, asked: int, left: int) -> None:
        self.bank, self.period, self.asked, self.left = bank, period, asked, left
        super().__init__(
            f"The run could disclose {asked:,} bits to {bank}, and {left:,} bits of its budget "
            f"for {period} are left",
            "Wait for the next period, ask for less (fewer slices, coarser bands), or agree on a "
            "larger budget",
        )

    def __reduce__(self) -> tuple[type["BudgetExceeded"], tuple[str, str, int, int]]:  # type: ignore[override]
        return type(self), (self.bank, self.period, self.asked, self.left)
