"""From a source to a staged batch: which files or rows are new, and what could not be used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bank_node.errors import DataError, UnreadableFileError
from bank_node.intake.accounts import Snapshot, stage_accounts
from bank_node.intake.batch import Batch, Source, stage_payments
from bank_node.intake.errors import ChangingFileError, MissingSourceError
from bank_node.intake.files import Found, read_steadily
from bank_node.intake.position import Position
from bank_node.intake.report import Refused
from bank_node.raw_tables import TableSpec
from bank_node.rules import ACCOUNTS, TRANSACTIONS

if TYPE_CHECKING:
    from bank_node.intake.postgresql import Reader

__all__ = ["Gathered", "gather_database", "gather_files"]


@dataclass
class Gathered:
    """What has been staged.

    Attributes:
        position: how far the source has been read when this batch is listed.
        held: digest of the accounts held; "" if there are none.
        refused: files that could not be used.
        notes: what the bank should know.
        accounts_label: what the source of the accounts is called.
        snapshot: the accounts staged; None if those held still count.
    """

    position: Position
    held: str
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    accounts_label: str = ""
    snapshot: Snapshot | None = None


def gather_files(
    batch: Batch,
    files: tuple[Sequence[Found], Sequence[Found]],
    position: Position,
    held: str,
    now: int,
) -> Gathered:
    """Stage the files of payments that are not known as they are, and the accounts.

    Args:
        batch: the batch.
        files: the files of payments, and those of accounts, of which the last counts.
        position: how far the source has been read.
        held: digest of the accounts held; "" if there are none.
        now: microseconds since 1970.

    Raises:
        MissingSourceError: there are no accounts, here or held.
    """
    payments, snapshots = files
    gathered = Gathered(position, held)
    marks = {}
    for found in payments:
        known = position.files.get(str(found.path)) == found.mark
        mark = found.mark if known else _read(batch, found, now, gathered, stage_payments)
        if mark is not None:
            marks[str(found.path)] = mark
    if not payments:
        gathered.notes.append(f"no file matches {batch.config.pattern('transactions')}")
    gathered.position = replace(gathered.position, files=marks)
    _gather_snapshot(batch, snapshots, gathered, now)
    return gathered


def _read(
    batch: Batch,
    found: Found,
    now: int,
    gathered: Gathered,
    stage: Callable[[Batch, Source], object],
) -> str | None:
    """Stage a file; one that cannot be used is put on the list of those."""
    kind: Literal["csv", "parquet"] = "parquet" if batch.config.source == "parquet" else "csv"
    try:
        return read_steadily(found, kind, batch.work, now, lambda source: stage(batch, source))
    except (DataError, ChangingFileError) as error:
        gathered.refused.append(Refused(str(found.path), error.code, str(error)))
    except FileNotFoundError:
        gathered.notes.append(f"{found.path} was removed before it was read")
    except PermissionError:
        closed = UnreadableFileError(f"{found.path}: no access", "Let this user read the file")
        gathered.refused.append(Refused(str(found.path), closed.code, str(closed)))
    return None


def _gather_snapshot(
    batch: Batch, snapshots: Sequence[Found], gathered: Gathered, now: int
) -> None:
    if not snapshots:
        if not gathered.held:
            raise MissingSourceError(
                f"{batch.config.folder}: no file matches {batch.config.pattern('accounts')}",
                "Put the accounts there, or name them in [data]",
            )
        return
    found = snapshots[-1]
    if gathered.held and gathered.position.accounts == f"{found.path}:{found.mark}":
        return
    gathered.accounts_label = str(found.path)
    staged: list[Snapshot] = []
    mark = _read(batch, found, now, gathered, lambda b, s: staged.append(stage_accounts(b, s)))
    if mark is not None:
        gathered.position = replace(gathered.position, accounts=f"{found.path}:{mark}")
        _keep_if_new(gathered, staged[-1])
    elif gathered.held:
        gathered.notes.append("the accounts taken in before still count")
    else:
        why = gathered.refused[-1].message if gathered.refused else f"{found.path} was removed"
        raise MissingSourceError(f"There are no accounts: {why}", "Mend the file of accounts")


def _keep_if_new(gathered: Gathered, snapshot: Snapshot) -> None:
    """Accounts with the same rows as those held are not new, however they came to be read."""
    if snapshot.digest == gathered.held:
        return
    gathered.snapshot = snapshot
    if snapshot.undated:
        gathered.notes.append(
            f"{snapshot.undated:,} balances have no time (balance_at): they are taken as those "
            "before the first payment held"
        )


def gather_database(batch: Batch, position: Position, held: str) -> Gathered:
    """Stage the accounts, and the payments from the watermark on.

    Raises:
        DataError: a column is missing, or the text is not UTF-8.
        DatabaseSourceError: the database cannot be reached, or refuses.
    """
    from bank_node.intake.postgresql import open_reader  # The driver, for those who need it.

    gathered = Gathered(position, held, accounts_label="PostgreSQL, accounts")
    with open_reader(batch.config) as reader:
        accounts = _copied(batch, reader, ACCOUNTS, "")
        payments = _copied(batch, reader, TRANSACTIONS, position.value)
        value = reader.highest(position.value)
    _keep_if_new(gathered, stage_accounts(batch, accounts))
    stage_payments(batch, payments)
    payments.path.unlink()
    gathered.position = replace(gathered.position, value=value)
    return gathered


def _copied(batch: Batch, reader: "Reader", spec: TableSpec, last: str) -> Source:
    target: Path = batch.work / f"copied-{spec.name}.csv"
    theirs = {name: text for name, text in batch.config.columns.items() if name in spec.columns}
    reader.copy(replace(spec, names=theirs), target, reader.since(last))
    return Source(target, "csv", f"PostgreSQL, {spec.name}")
