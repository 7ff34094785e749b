"""The demo's consortium: the banks' nodes on this machine, what they agreed on, their runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bank_node.ingest import canonical_bank
from bank_node.node.errors import RunRefusedError
from simdata.dataset import Dataset, bank_folder, describe_time
from undercurrent.demo_morning import Morning, add_people, write_rules
from undercurrent.local_consortium import (
    LocalConsortium,
    LocalMember,
    found,
    free_ports,
    running_broker,
)
from undercurrent.waiting import wait_for_run

__all__ = ["HOPS", "DemoConsortium", "running_consortium"]

HOPS = 4
"""Payments in a row that round trips and the trace follow."""

_NAME = "demo"
_DAY = 86_400_000_000
# Exact results suit simulated data; banks would agree on bands (docs/choosing-bands.md).
_TERMS: dict[str, Any] = {
    "scope": "Accounts that rose in the joint detection.",
    "analyses": [
        {
            "name": "pagerank",
            "version": "1",
            "policies": ["exact"],
            "parameters": {"personalisation": {"value": "risk_score"}},
        },
        {
            "name": "round-trip",
            "version": "1",
            "policies": ["exact"],
            "max_window": "62d",
            "parameters": {"scope": {"value": "in_scope"}, "hops": {"min": "1", "max": "5"}},
        },
        {
            "name": "trace",
            "version": "1",
            "policies": ["exact"],
            "max_window": "62d",
            "parameters": {
                "hops": {"min": "1", "max": "5"},
                "slice": {"one_of": ["1d", "7d"]},
                "direction": {"one_of": ["forward", "backward"]},
                "traces": {"min": "1", "max": "3"},
            },
        },
    ],
    # The slot of the last night is still valid when the demo starts, so it is due at once.
    "schedules": [
        {
            "name": "nightly",
            "analysis": "pagerank",
            "policy": "exact",
            "cron": "0 2 * * *",
            "parameters": {"personalisation": "risk_score"},
            "valid": "25h",
        }
    ],
}


@dataclass(frozen=True)
class DemoConsortium:
    """The running nodes.

    Attributes:
        nodes: their processes.
        banks: ids of the banks.
        since, until: days between which the payments lie.
    """

    nodes: LocalConsortium
    banks: tuple[str, ...]
    since: str
    until: str

    def scheduled(self) -> dict[str, Any]:
        """Return the scheduled detection when every bank has stored it."""
        first = self.banks[0]
        self.nodes.wait_for(
            lambda: bool(self.nodes.ask(first, "GET", "/runs")), "the scheduled run is not due"
        )
        return self._stored(self.nodes.ask(first, "GET", "/runs")[0]["run_id"])

    def round_trips(self) -> dict[str, Any]:
        """Propose joint round trips of the accounts in scope, and return the run when stored."""
        parameters = {"since": self.since, "until": self.until, "hops": str(HOPS)}
        body = {"analysis": "round-trip", "parameters": parameters}
        return self._stored(self.nodes.ask(self.banks[0], "POST", "/runs", body)["run_id"])

    def trace(self, bank: str, account: str) -> dict[str, Any]:
        """Let ann ask where the money of an account of her bank went; return run and rows."""
        parameters = {"since": self.since, "until": self.until, "hops": str(HOPS), "slice": "1d"}
        run = self._stored(self.morning(bank, Console(quiet=True)).ask_trace(account, parameters))
        return run | {"rows": self.result(bank, run["run_id"])}

    def morning(self, bank: str, console: Console) -> Morning:
        """Return what the people of a bank do in the morning."""
        return Morning(bank, self.nodes.node(bank), console)

    def result(self, bank: str, run_id: str) -> list[dict[str, Any]]:
        """Return what a run released to a bank."""
        found = self.nodes.ask(bank, "GET", f"/runs/{run_id}/result")
        return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]

    def take_in(self) -> None:
        """Let every node take in what its bank's files have now."""
        for bank in self.banks:
            self.nodes.ask(bank, "POST", "/ingest")

    def audited(self) -> dict[str, int]:
        """Return the number of entries in each bank's audit log, after verifying it."""
        counts = {}
        for bank in self.banks:
            counts[bank] = self.nodes.verified_entries(bank)
        return counts

    def _stored(self, run_id: str) -> dict[str, Any]:
        """Wait until every bank has stored a run; return it as the first bank knows it."""
        runs: dict[str, Mapping[str, Any]] = {}
        for bank in self.banks:
            self.nodes.wait_until_known(bank, run_id)
            runs[bank] = wait_for_run(self.nodes.node(bank), run_id)
            if runs[bank]["phase"] != "stored":
                raise RunRefusedError(
                    f"run {run_id} is {runs[bank]['phase']} at {bank}: {runs[bank]['reason']}",
                    f"See the logs in {self.nodes.folder}",
                )
        return dict(runs[self.banks[0]])


@contextmanager
def running_consortium(
    folder: Path, data: Path, dataset: Dataset, accounts: int, *, with_pages: bool = False
) -> Iterator[DemoConsortium]:
    """Set up and run a node for each bank of a data set, under one agreement.

    Args:
        folder: new folder for the nodes.
        data: folder of the data set. dataset: its description. accounts: of all banks together.
        with_pages: whether each bank's application is served on a port of this machine.
    """
    banks = {canonical_bank(b): bank_folder(data, b) for b in dataset.banks}
    currency = dataset.base_currency or "EUR"
    members = [
        LocalMember(bank, path, base_currency=currency, web_port=free_ports(1) if with_pages else 0)
        for bank, path in banks.items()
    ]
    first, last = dataset.first or 0, dataset.last or 0
    since, until = first // _DAY * _DAY, (last // _DAY + 1) * _DAY
    with running_broker() as url:
        nodes = found(folder, _NAME, members, url, _TERMS)
        try:
            for bank in banks:
                write_rules(nodes.node(bank), accounts)
                add_people(nodes.node(bank))
                nodes.start(bank)
            nodes.wait_until_ready()
            yield DemoConsortium(
                nodes, tuple(banks), describe_time(since) or "", describe_time(until) or ""
            )
        finally:
            nodes.close()
