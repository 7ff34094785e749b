"""What a driver's error means, without its text: that quotes rows, and rows hold account ids."""

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from bank_node.store.errors import (
    ConflictError,
    DiskFullError,
    StoreError,
    UnavailableError,
)

__all__ = ["translated"]

_FULL = frozenset({"SQLITE_FULL", "53100"})
_REMEDY_AWAY = "Check that the database is there, reachable and writable: undercurrent doctor"


def translated(error: DBAPIError, where: str) -> StoreError:
    """Return the store's error for a driver's.

    Args:
        error: as SQLAlchemy raised it.
        where: the database, without a password.
    """
    code = _code(error)
    if code in _FULL:
        return DiskFullError(f"{where}: no room left ({code})", "Free disk space; nothing was lost")
    if code.startswith("SQLITE_BUSY") or code == "55P03":
        return UnavailableError(
            f"{where}: another program holds the database ({code})", "Stop it, or try again"
        )
    if isinstance(error, IntegrityError):
        return ConflictError(
            f"{where}: a row contradicts what is there ({code})",
            "Report this with the log: a node does not write the same thing twice",
        )
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return UnavailableError(f"{where}: cannot be used ({code})", _REMEDY_AWAY)
    return StoreError(f"{where}: the database refused a statement ({code})", _REMEDY_AWAY)


def _code(error: DBAPIError) -> str:
    """Return the driver's own name of the fault: SQLITE_FULL, 53100, or the class of the error."""
    original = error.orig
    name = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return str(name or type(original).__name__)
