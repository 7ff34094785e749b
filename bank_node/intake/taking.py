"""Taking in what a source has: stage, compare with what is held, write, and list in one step."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from bank_node.intake.accounts import store_accounts
from bank_node.intake.batch import Batch, join_staged, open_batch
from bank_node.intake.config import DataConfig
from bank_node.intake.days import ACCOUNTS_DAY, REJECTED_DAY, DayFile, DayList
from bank_node.intake.files import Found, find
from bank_node.intake.folders import batch_name, exclusive, let_go, sweep
from bank_node.intake.gathering import Gathered, gather_database, gather_files
from bank_node.intake.labels import check_labels, digest_of
from bank_node.intake.position import Position
from bank_node.intake.rejects import find_faults, store_rejected, store_warnings
from bank_node.intake.repeats import find_repeats
from bank_node.intake.report import IntakeReport
from bank_node.intake.retention import RETENTION
from bank_node.intake.storing import store_days

__all__ = ["Progress", "ignore_progress", "take_in"]

Progress = Callable[[str, float], None]
"""Told what is done at the moment, and how much of the whole is done (0 to 1)."""

_DAY = 86_400_000_000


def ignore_progress(step: str, share: float) -> None:
    """Nobody wants to know."""


def take_in(
    config: DataConfig,
    bank: str,
    folder: Path,
    days: DayList,
    now: int,
    progress: Progress = ignore_progress,
    *,
    again: bool = False,
) -> IntakeReport:
    """Take in what the source has that is not held yet.

    Reading the same rows again changes nothing.  Files that cannot be used are told in the report
    and tried again the next time; the others are taken in.

    Args:
        config: the data source; relative paths are those of the process.
        bank: id of the bank.
        folder: folder of the data; made if it is not there.
        days: the list of files that count.
        now: microseconds since 1970.
        progress: told how far it is.
        again: read the source from the start.

    Raises:
        DataError: there is no snapshot of accounts, or the rates cannot be used.
        IntakeError: source, disk or another process are in the way; nothing was taken in.
    """
    began = perf_counter()
    with exclusive(folder) as work:
        listed = list(days.listed())
        sweep(folder, listed, now=now / 1e6)
        held = digest_of(check_labels(folder, listed, bank, config.base_currency))
        mark = None if again else days.watermark(config.source)
        position = Position.parse(mark, config.digest(bank))
        files = _look(config)
        paths = [found.path for table in files for found in table]
        name, cut = batch_name(now), _cut(config, days, now)
        with open_batch(config, bank, (folder, work), name, cut, paths) as batch:
            progress("reading", 0.0)
            if config.source == "postgresql":
                gathered = gather_database(batch, position, held)
            else:
                gathered = gather_files(batch, files, position, held, now)
            report = IntakeReport(name, now, config.source, watermark=gathered.position.value)
            added, removed, report = _write(batch, gathered, listed, report, progress)
            report = replace(report, seconds=round(perf_counter() - began, 3))
        # should this fail, the new files are left where they are: they may be listed all the same
        days.commit(added, removed, config.source, gathered.position.text(), report.as_dict())
    let_go(folder, removed, now / 1e6)
    progress("done", 1.0)
    return report


def _look(config: DataConfig) -> tuple[list[Found], list[Found]]:
    """The files of payments, and the file of accounts that counts."""
    if config.source == "postgresql":
        return [], []
    return find(config, "transactions"), find(config, "accounts")[-1:]


def _cut(config: DataConfig, days: DayList, now: int) -> int:
    """The first microsecond whose payments are kept."""
    first = now // _DAY - config.retention_days if config.retention_days else -(10**5) * 365
    return max(first, int(days.watermark(RETENTION) or first)) * _DAY


def _write(
    batch: Batch,
    gathered: Gathered,
    listed: Sequence[DayFile],
    report: IntakeReport,
    progress: Progress,
) -> tuple[list[DayFile], list[str], IntakeReport]:
    """Compare, and write all files: the new ones, those that they replace, and the report."""
    payments, accounts = bool(batch.staged), gathered.snapshot is not None
    held = [entry for entry in listed if entry.day not in (ACCOUNTS_DAY, REJECTED_DAY)]
    added: list[DayFile] = []
    removed: list[str] = []
    if payments:
        join_staged(batch)
        progress("comparing", 0.5)
        find_repeats(batch, [batch.folder / entry.file for entry in held])
        progress("writing", 0.6)
        added, removed = store_days(batch, held)
    report = replace(
        report,
        days=tuple(entry.day for entry in added),
        accounts=next((e.rows for e in listed if e.day == ACCOUNTS_DAY), 0),
    )
    if gathered.snapshot is not None:
        snapshot = store_accounts(batch, gathered.snapshot)
        added.append(snapshot)
        removed += [entry.file for entry in listed if entry.day == ACCOUNTS_DAY]
        report = replace(report, accounts=snapshot.rows, accounts_changed=True)
    progress("checking", 0.9)
    find_faults(batch, payments=payments, accounts=accounts)
    rejected = store_rejected(batch, gathered.accounts_label)
    warnings = store_warnings(batch, payments=payments, accounts=accounts)
    added += [entry for entry in (rejected, warnings) if entry is not None]
    report = replace(
        report,
        refused=tuple(gathered.refused),
        notes=tuple(dict.fromkeys(gathered.notes)),
        rejected_file=rejected.file if rejected else "",
        warnings_file=warnings.file if warnings else "",
    )
    return added, removed, _counted(batch, report, payments=payments)


def _counted(batch: Batch, report: IntakeReport, *, payments: bool) -> IntakeReport:
    reasons = """SELECT reason, count(*) FROM (
        SELECT split_part(fault, '|', 2) AS reason FROM faults WHERE part = '{0}'
        UNION ALL SELECT reason FROM broken WHERE part = '{0}') GROUP BY reason ORDER BY reason"""
    rejected = batch.counts(reasons.format("transactions"))
    broken = batch.number("SELECT count(*) FROM broken WHERE part = 'transactions'")
    fresh = batch.number("SELECT count(*) FROM fresh") if payments else 0
    good = batch.number("SELECT count(*) FROM judged WHERE fault IS NULL") if payments else 0
    return replace(
        report,
        rows=broken + (batch.number("SELECT count(*) FROM judged") if payments else 0),
        accepted=batch.number("SELECT count(*) FROM accepted") if payments else 0,
        rounded=batch.number("SELECT count_if(rounded) FROM accepted") if payments else 0,
        repeated=batch.number("SELECT count(*) FROM verdicts WHERE verdict = 'repeated'"),
        expired=good - fresh,
        rejected=rejected,
        rejected_accounts=batch.counts(reasons.format("accounts")),
        ibans=batch.number("SELECT count(*) FROM ibans"),
        wrong_ibans=batch.counts("""SELECT fault, count(*) FROM ibans WHERE fault IS NOT NULL
            GROUP BY fault ORDER BY fault"""),
    )
