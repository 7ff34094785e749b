"""The numbers of the running node: what its parts did, as Prometheus reads it."""

import time
from collections.abc import Mapping

from bank_node.coordination import BusStatistics
from bank_node.identity import expiry
from bank_node.intake import IntakeReport
from bank_node.job import CredentialPaths
from bank_node.node.open_run import OpenRun
from bank_node.operation.metrics import NodeMetrics

__all__ = ["Measuring"]

_DAY = 86_400_000_000


class Measuring:
    """Turns what happens into numbers; ``metrics`` holds them."""

    def __init__(self, version: str) -> None:
        self.metrics = NodeMetrics(version)
        self._refused: dict[str, int] = {}

    def run(self, run: OpenRun) -> None:
        """Count a change of the node's standing in a run."""
        self.metrics.run_entered(run.own.phase, run.own.code)
        if run.own.phase == "stored" and run.report:
            seconds = float(run.report["seconds"]["total"])
            sent = int(run.report["bytes_sent"]["all_with_framing"])
            self.metrics.run_stored(run.manifest.analysis, seconds, sent, run.since)

    def intake(self, report: IntakeReport) -> None:
        """Take the counts of what was taken in."""
        self.metrics.taken_in(report.rows, report.rejected, report.at)

    def bus(self, counters: BusStatistics | None, *, connected: bool) -> None:
        """Take over what the bus has refused since it was opened."""
        self.metrics.connected(connected)
        refused = {} if counters is None else dict(counters.refused)
        for reason, count in refused.items():
            for _ in range(count - self._refused.get(reason, 0)):
                self.metrics.message_refused(reason)
        self._refused = refused

    def budgets(self, left: Mapping[str, int]) -> None:
        """Set what is left of the banks' budgets."""
        self.metrics.budgets(left)

    def certificates(self, paths: CredentialPaths) -> None:
        """Set the days that the node's certificate and its authority's have left."""
        now = time.time_ns() // 1000
        for name, path in (("tls", paths.certificate), ("authority", paths.authority)):
            self.metrics.certificate(name, (expiry(path.read_text("ascii")) - now) / _DAY)
