"""The numbers of a node for Prometheus.

Labels are words of the program only (phases, codes, names of analyses and of members, reasons),
each with a form and a bounded number of values; nothing that stands in a bank's data is a label.
"""

import re
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["NodeMetrics", "label"]

_LABEL = re.compile(r"[a-z]{1,24}(?:[ ._-](?:[a-z]{1,24}|[0-9])){0,6}|")
_OTHER = "other"
_MOST_VALUES = 100
_SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10800.0)


def label(text: str) -> str:
    """Return the text if it is words of the program, else ``other``.

    >>> label("coordination.clock"), label("DE02100100100006820101")
    ('coordination.clock', 'other')
    """
    return text if _LABEL.fullmatch(text) else _OTHER


class NodeMetrics:
    """All numbers of one node, in a registry of their own.

    Attributes:
        registry: for ``/metrics``.
    """

    def __init__(self, version: str = "") -> None:
        self.registry = CollectorRegistry()
        self._seen: dict[str, set[str]] = {}
        self._runs = self._counter("runs", "Joint runs that entered a phase.", "phase", "reason")
        self._seconds = Histogram(
            "undercurrent_run_seconds",
            "Seconds of a joint run, by analysis.",
            ["analysis"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._bytes = self._counter("run_bytes", "Bytes sent to peers in runs.", "analysis")
        self._last = self._gauge(
            "last_run_timestamp_seconds", "When a run was last stored, by analysis.", "analysis"
        )
        self._queue = self._gauge("runs_queued", "Runs that wait for a place.")
        self._running = self._gauge("runs_running", "Runs that are being computed.")
        self._refused = self._counter("messages_refused", "Messages refused, by reason.", "reason")
        self._accepted = self._counter("messages_accepted", "Messages of other members taken in.")
        self._connected = self._gauge("broker_connected", "1 while connected to the broker.")
        self._budget = self._gauge(
            "budget_left_bits", "Bits that may still be disclosed in the period, by bank.", "bank"
        )
        self._rows = self._counter("intake_rows", "Rows read from the bank's source.")
        self._rejected = self._counter(
            "intake_rows_rejected", "Rows that cannot be used, by reason.", "reason"
        )
        self._taken = self._gauge(
            "last_intake_timestamp_seconds", "When transactions were last taken in."
        )
        self._days_left = self._gauge(
            "certificate_days_left", "Days until a certificate ends.", "certificate"
        )
        self._dropped = self._gauge("log_fields_dropped", "Words kept out of the log so far.")
        self._about = self._gauge("build", "1; the version is a label.", "version")
        if re.fullmatch(r"[0-9][0-9a-z.+-]{0,30}", version):
            self._about.labels(version).set(1)

    def run_entered(self, phase: str, reason: str = "") -> None:
        """Count a run that entered a phase, with the code of why if there is one."""
        self._runs.labels(self._value("phase", phase), self._value("reason", reason)).inc()

    def run_stored(self, analysis: str, seconds: float, sent: int, at: int) -> None:
        """Take the figures of a run whose result is stored; ``at`` in microseconds."""
        name = self._value("analysis", analysis)
        self._seconds.labels(name).observe(seconds)
        self._bytes.labels(name).inc(sent)
        self._last.labels(name).set(at / 1e6)

    def runs(self, running: int, queued: int) -> None:
        """Set how many runs are computed and how many wait."""
        self._running.set(running)
        self._queue.set(queued)

    def message_accepted(self) -> None:
        """Count a message of another member."""
        self._accepted.inc()

    def message_refused(self, reason: str) -> None:
        """Count a refused message under the code of why."""
        self._refused.labels(self._value("message", reason)).inc()

    def connected(self, is_connected: bool) -> None:
        """Set whether the broker is connected."""
        self._connected.set(int(is_connected))

    def budgets(self, left: Mapping[str, int]) -> None:
        """Set the bits left of the banks of the agreement; banks that are not named are gone."""
        self._budget.clear()
        for bank, bits in left.items():
            self._budget.labels(bank).set(bits)

    def taken_in(self, rows: int, rejected: Mapping[str, int], at: int) -> None:
        """Add the figures of an intake; ``at`` in microseconds."""
        self._rows.inc(rows)
        self._taken.set(at / 1e6)
        for reason, count in rejected.items():
            self._rejected.labels(self._value("rejected", reason)).inc(count)

    def certificate(self, name: str, days: float) -> None:
        """Set the days that a certificate (tls, authority, broker) has left."""
        self._days_left.labels(self._value("certificate", name)).set(days)

    def log_dropped(self, count: int) -> None:
        """Set how many words were kept out of the log."""
        self._dropped.set(count)

    def _value(self, of: str, text: str) -> str:
        """Return the label for a text: words of the program, and not too many of them."""
        seen = self._seen.setdefault(of, set())
        value = label(text)
        if value not in seen and len(seen) >= _MOST_VALUES:
            return _OTHER
        seen.add(value)
        return value

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"undercurrent_{name}", told, labels, registry=self.registry)

    def _gauge(self, name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"undercurrent_{name}", told, labels, registry=self.registry)
