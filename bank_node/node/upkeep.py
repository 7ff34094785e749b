"""What a node does once in a while: retention of payments, runs and audit entries."""

import asyncio
from collections.abc import Callable

import structlog

from bank_node.intake import forget_before
from bank_node.node.config import NodeConfig
from bank_node.node.records import Entry, Records

__all__ = ["upkeep"]

_LOG = structlog.get_logger(__name__)
_DAY = 86_400_000_000


async def upkeep(
    config: NodeConfig, records: Records, data_in_use: asyncio.Lock, clock: Callable[[], int]
) -> None:
    """Remove what is older than its retention; each removal is on record."""
    now = clock()
    if config.data is not None and config.data.retention_days:
        async with data_in_use:
            removed = await asyncio.to_thread(
                forget_before,
                config.data_folder,
                records.days(),
                now // _DAY - config.data.retention_days,
            )
        if removed:
            entry = Entry(config.node.id, "retention.payments", {"days": removed})
            await records.append(entry, now)
    await records.end_sessions(now)
    if config.runs.keep_days:
        gone = await records.forget(now - config.runs.keep_days * _DAY, now)
        if gone:
            await records.append(Entry(config.node.id, "retention.runs", {"runs": gone}), now)
    _LOG.info("upkeep_done")
