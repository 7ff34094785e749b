"""The bank's own payments of the last days, at hand for explaining alerts.

Kept in memory once for all who ask, since an alert must explain itself within a breath; read again
when something was taken in.  DuckDB's connection is one, so only one asks at a time.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from alerts import PaymentsView
from bank_node.ingest import canonical_bank
from bank_node.intake import read_taken
from bank_node.node.config import NodeConfig
from bank_node.rules import minor_units

__all__ = ["OwnPayments"]

_DAY = 86_400_000_000


@dataclass(frozen=True)
class _Loaded:
    """What was read, from which files."""

    files: tuple[str, ...]
    view: PaymentsView
    scoped: pa.Array | None


class OwnPayments:
    """Own accounts and payments, read when first needed.

    Args:
        config: the node's configuration.
        day_files: names of the files that the database lists.
        clock: microseconds since 1970.
    """

    def __init__(
        self, config: NodeConfig, day_files: Callable[[], list[str]], clock: Callable[[], int]
    ) -> None:
        self._config = config
        self._day_files = day_files
        self._clock = clock
        self._using = threading.Lock()
        self._loading = threading.Lock()
        self._loaded: _Loaded | None = None
        self.bank = canonical_bank(config.node.id)
        self.currency = "EUR" if config.data is None else config.data.base_currency
        self.decimals = minor_units(self.currency)

    @contextmanager
    def view(self) -> Iterator[PaymentsView]:
        """Give the payments to one who asks; the others wait."""
        with self._current() as loaded:
            yield loaded.view

    def in_scope(self, accounts: Sequence[str]) -> list[bool]:
        """Say of each own account whether the bank's scope rule lets it be asked about."""
        with self._current() as loaded:
            if loaded.scoped is None:
                return [True] * len(accounts)
            known = pc.is_in(pa.array(accounts, pa.string()), value_set=loaded.scoped)
            return [bool(value) for value in known.to_pylist()]

    def refresh(self) -> None:
        """Read again if other files count now; whoever asks meanwhile gets what was there."""
        with self._loading:
            files = self._wanted()
            if self._loaded is not None and self._loaded.files == files:
                return
            fresh = self._load(files)
            with self._using:
                old, self._loaded = self._loaded, fresh
                if old is not None:
                    old.view.close()

    def close(self) -> None:
        """Let go of what was read."""
        with self._using:
            if self._loaded is not None:
                self._loaded.view.close()
            self._loaded = None

    @contextmanager
    def _current(self) -> Iterator[_Loaded]:
        if self._loaded is None:
            self.refresh()
        with self._using:
            if self._loaded is None:  # closed in between: the node ends
                raise RuntimeError("the payments were let go")
            yield self._loaded

    def _wanted(self) -> tuple[str, ...]:
        """Return the files of accounts, and of the last days of payments."""
        files = self._day_files()
        days = {name: _day_of(name) for name in files if name.startswith("days/")}
        # Data that end in the past count from their last day: a node may be tried on old data.
        last = min(_today(self._clock()), max(days.values(), default=date.max))
        first = last - timedelta(days=self._config.alerts.payment_days)
        return tuple(name for name in files if name not in days or days[name] >= first)

    def _load(self, files: tuple[str, ...]) -> _Loaded:
        data = read_taken(self._config.data_folder, files, self.bank, self.currency)
        scoped = None
        if data.scope_declared:
            scoped = data.accounts.filter(data.accounts["in_scope"])["account"].combine_chunks()
        view = PaymentsView(
            self.bank, self.currency, self.decimals, data.accounts, data.transactions
        )
        return _Loaded(files, view, scoped)


def _day_of(name: str) -> date:
    """Return the day of a file ``days/<day>/<batch>.parquet``."""
    return date.fromisoformat(name.split("/")[1])


def _today(now: int) -> date:
    return date(1970, 1, 1) + timedelta(days=now // _DAY)
