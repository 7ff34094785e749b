"""What one taking-in came to, as counts: nothing of a row stands in it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["IntakeReport", "Refused"]


def _nothing() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Refused:
    """A file of the source that could not be used at all; it is tried again the next time.

    Attributes:
        source: the file.
        code: code of the error.
        message: what is wrong and what to do.
    """

    source: str
    code: str
    message: str


@dataclass(frozen=True)
class IntakeReport:
    """What one taking-in came to.

    ``rows`` = ``accepted`` + ``repeated`` + ``expired`` + the sum of ``rejected``.

    Attributes:
        batch: name of this taking-in.
        at: when it began, microseconds since 1970.
        source: kind of source.
        rows: payments read.
        accepted: payments taken in.
        repeated: payments that were there already, the same in every field.
        expired: payments older than the retention, not kept.
        rejected: payments that cannot be used, by reason.
        rounded: accepted payments with more decimals than their currency has.
        days: days (UTC) that got payments.
        accounts: accounts of the snapshot that counts now.
        accounts_changed: whether that is a new one.
        rejected_accounts: rows of the new snapshot that cannot be used, by reason.
        ibans: distinct account ids that read as IBANs, among what was taken in.
        wrong_ibans: those that are wrong, by what is wrong; a warning, they were taken in.
        rejected_file: the rejected rows with reason and remedy, from the data folder; "" if none.
        warnings_file: the wrong IBANs, from the data folder; "" if none.
        refused: files that could not be used at all.
        notes: what else the bank should know.
        watermark: how far the source has been read; "" where files say it.
        seconds: how long it took.
    """

    batch: str
    at: int
    source: str
    rows: int = 0
    accepted: int = 0
    repeated: int = 0
    expired: int = 0
    rejected: Mapping[str, int] = field(default_factory=_nothing)
    rounded: int = 0
    days: tuple[str, ...] = ()
    accounts: int = 0
    accounts_changed: bool = False
    rejected_accounts: Mapping[str, int] = field(default_factory=_nothing)
    ibans: int = 0
    wrong_ibans: Mapping[str, int] = field(default_factory=_nothing)
    rejected_file: str = ""
    warnings_file: str = ""
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()
    watermark: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        maps = {
            name: dict(getattr(self, name))
            for name in ("rejected", "rejected_accounts", "wrong_ibans")
        }
        plain = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in {*maps, "refused", "days", "notes"}
        }
        return (
            plain
            | maps
            | {
                "days": list(self.days),
                "notes": list(self.notes),
                "refused": [asdict(entry) for entry in self.refused],
            }
        )

    def lines(self) -> list[str]:
        """The report for people."""
        lines = [
            f"{self.rows:,} payments read in {self.seconds:.1f} s: {self.accepted:,} taken in, "
            f"{self.repeated:,} there already, {sum(self.rejected.values()):,} rejected, "
            f"{self.expired:,} older than the retention",
            f"{self.accounts:,} accounts" + (" (new snapshot)" if self.accounts_changed else ""),
        ]
        if self.days:
            lines.append(f"{len(self.days):,} days from {self.days[0]} to {self.days[-1]}")
        for table, counts in (("payments", self.rejected), ("accounts", self.rejected_accounts)):
            lines += [f"rejected {table}: {reason}: {n:,}" for reason, n in counts.items()]
        lines += [f"warning: IBAN with {what}: {n:,}" for what, n in self.wrong_ibans.items()]
        lines += [f"refused: {entry.code}: {entry.message}" for entry in self.refused]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"see {file}" for file in (self.rejected_file, self.warnings_file) if file]
        return lines
