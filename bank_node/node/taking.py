"""Taking in payments at the configured pace, never while a worker reads them."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from bank_node.errors import UndercurrentError
from bank_node.ingest import canonical_bank
from bank_node.intake import IntakeReport, take_in
from bank_node.node.accounts import count_accounts
from bank_node.node.config import NodeConfig
from bank_node.node.errors import ConfigurationError
from bank_node.node.records import Entry, Records

__all__ = ["Taking"]

_LOG = structlog.get_logger(__name__)


class Taking:
    """The data source of one bank.

    Args:
        config: the node's configuration.
        records: its database.
        data_in_use: held while a worker reads what was taken in.
        clock: microseconds since 1970.
        changed: called with the number of accounts and the report.
    """

    def __init__(
        self,
        config: NodeConfig,
        records: Records,
        data_in_use: asyncio.Lock,
        clock: Callable[[], int],
        changed: Callable[[int, IntakeReport], None],
    ) -> None:
        self.problem = ""
        self._config = config
        self._records = records
        self._in_use = data_in_use
        self._clock = clock
        self._changed = changed

    async def for_ever(self) -> None:
        """Take in again and again; a failure is logged and tried again the next time."""
        if self._config.data is None:
            return
        while True:
            try:
                await self.once(self._config.node.id)
            except UndercurrentError as error:
                self.problem = f"{error.code}: {error.message}"
                _LOG.error("intake_failed", code=error.code)
            except Exception as error:
                self.problem = f"taking in failed: {type(error).__name__}"
                _LOG.exception("intake_failed")
            await asyncio.sleep(self._config.data.every_seconds)

    async def once(self, person: str) -> IntakeReport:
        """Take in what the source has now, and put it on record."""
        data = self._config.data
        if data is None:
            raise ConfigurationError(
                f"{self._config.node.id} has no data source", "Add [data] to node.toml"
            )
        async with self._in_use:
            report: IntakeReport = await asyncio.to_thread(
                take_in,
                data.beside(self._config.folder),
                self._config.node.id,
                self._config.data_folder,
                self._records.days(),
                self._clock(),
            )
            accounts = await asyncio.to_thread(self._count)
        self.problem = ""
        await self._records.append(Entry(person, "intake", _told(report)), self._clock())
        await self._records.set_accounts(accounts)
        self._changed(accounts, report)
        _LOG.info("intake", rows=report.rows, accepted=report.accepted)
        return report

    def _count(self) -> int:
        me = canonical_bank(self._config.node.id)
        return count_accounts(self._config.data_folder, self._records.day_files(), me)


def _told(report: IntakeReport) -> dict[str, Any]:
    """Return the counts for the audit log."""
    return {
        "rows": report.rows,
        "accepted": report.accepted,
        "repeated": report.repeated,
        "rejected": dict(report.rejected),
        "in_table": report.accounts,
    }
