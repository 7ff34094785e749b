"""Following the money of accounts that a joint run raised: round trips, then a trace of one.

Each bank puts the accounts that rose into scope, the banks compute round trips jointly, and each
bank computes the same alone for comparison.  The account whose money comes back most, and not so
alone, is traced: the bank that holds it gets amounts per day at its own accounts, the others learn
neither the account nor the answer.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from bank_node.ingest import read_bank
from bank_node.partition import build_partition
from flow_tracing.flows import Balances
from flow_tracing.local_round_trip import local_round_trips
from simdata.dataset import Dataset, bank_folder
from simdata.lab import LabRequest, run_lab
from undercurrent.progress import run_interruptible, show_progress

__all__ = ["RoundTrip", "follow_the_money"]

_HOPS = 4
_SHOWN = 8


@dataclass(frozen=True)
class RoundTrip:
    """The share of an account's money that comes back to it.

    Attributes:
        bank: its bank.
        account: the account.
        joint: over all banks' payments, from the secure run.
        alone: over the payments that its bank sees itself.
    """

    bank: str
    account: str
    joint: float
    alone: float


def follow_the_money(
    data: Path,
    dataset: Dataset,
    risen: Mapping[str, Sequence[str]],
    out: Path,
    console: Console,
) -> dict[str, Any]:
    """Compute round trips of the accounts that rose, trace one of them, and print both.

    Args:
        data: the data set's folder; the banks' accounts tables get a column ``in_scope``.
        dataset: its description.
        risen: accounts of each bank that the joint run raised.
        out: folder for the results.
        console: where to print.

    Returns:
        what was found, for ``--json``.
    """
    for bank in dataset.banks:
        _put_in_scope(bank_folder(data, bank) / "accounts.parquet", risen[bank])
    found = _round_trips(data, dataset, risen, out / "round-trips", console)
    console.print(_table(found))
    best = max(found, key=lambda r: (r.joint - r.alone, r.joint))
    trace = _trace(data, best, out / "trace", console)
    return {
        "round_trips": [vars(r) for r in found],
        "trace": {"bank": best.bank, "account": best.account, "rows": trace},
    }


def _put_in_scope(path: Path, accounts: Sequence[str]) -> None:
    table = pq.read_table(path)
    scope = pc.is_in(table["account"], value_set=pa.array(accounts, pa.string()))
    pq.write_table(table.append_column("in_scope", scope), path)


def _round_trips(
    data: Path,
    dataset: Dataset,
    risen: Mapping[str, Sequence[str]],
    out: Path,
    console: Console,
) -> list[RoundTrip]:
    request = LabRequest(data, "round-trip", out, {"scope": "in_scope", "hops": str(_HOPS)})
    with show_progress("secure round trips") as on_event:
        record = run_interruptible(run_lab(request, on_event))
    found = []
    for bank in dataset.banks:
        joint = {row["account"]: float(row["score"]) for row in _rows(out / bank / "scores.csv")}
        alone = _alone(data, dataset, bank, list(joint))
        found += [RoundTrip(bank, a, joint[a], float(s)) for a, s in zip(joint, alone, strict=True)]
    asked = sum(len(accounts) for accounts in risen.values())
    console.print(
        f"\n[bold]4. Round trips[/] of the {asked} accounts that rose: what part of their money"
        f" comes back within {_HOPS} payments?\n   Joint secure run,"
        f" {record['seconds']['total']:.1f} s; beside it what each bank sees alone."
    )
    return found


def _alone(data: Path, dataset: Dataset, bank: str, accounts: Sequence[str]) -> Any:
    """Return what a bank finds by itself: money that leaves it does not come back."""
    read = read_bank(
        bank_folder(data, bank), bank, base_currency=dataset.base_currency, rates=dataset.rates
    )
    partition = build_partition(read, bank, list(dataset.banks))
    wanted = pc.index_in(pa.array(accounts, pa.string()), partition.accounts)
    balances = Balances(partition.balance, partition.balance_known)
    vertices = np.asarray(wanted.to_numpy(zero_copy_only=False), np.int64)
    return local_round_trips(partition.graph, balances, vertices, _HOPS)


def _table(found: Sequence[RoundTrip]) -> Table:
    table = Table(title="money that comes back", title_justify="left")
    for name in ("bank", "account"):
        table.add_column(name)
    for name in ("joint", "alone"):
        table.add_column(name, justify="right")
    table.add_column("")
    for r in sorted(found, key=lambda r: -r.joint)[:_SHOWN]:
        hidden = r.joint - r.alone > 0.01
        note = "[bold red]comes back over other banks[/]" if hidden else ""
        table.add_row(r.bank, r.account, f"{r.joint:.1%}", f"{r.alone:.1%}", note)
    return table


def _trace(data: Path, best: RoundTrip, out: Path, console: Console) -> list[dict[str, str]]:
    asked = {"bank": best.bank, "account": [best.account], "hops": str(_HOPS), "slice": "1d"}
    with show_progress("secure trace") as on_event:
        record = run_interruptible(run_lab(LabRequest(data, "trace", out, asked), on_event))
    rows = _rows(out / best.bank / "trace.csv")
    console.print(
        f"\n[bold]5. One trace[/]: where did the money of {best.account} at {best.bank} go?"
        f" {record['padded_sizes']['slices']} days, up to {_HOPS} payments a day,"
        f" {record['seconds']['total']:.1f} s.\n   Only {best.bank} gets the answer; the others"
        " learn neither the account nor the answer."
    )
    largest = sorted(rows, key=lambda row: -float(row["amount"]))[:_SHOWN]
    table = Table(title=f"{best.bank}: own accounts that the money reached", title_justify="left")
    for name in ("day", "account", "kind"):
        table.add_column(name)
    table.add_column("amount", justify="right")
    for row in sorted(largest, key=lambda row: int(row["slice"])):
        kind = "[bold red]came back[/]" if row["kind"] == "returned" else "received"
        table.add_row(row["slice"], row["account"], kind, f"{float(row['amount']):,.2f}")
    console.print(table)
    return rows


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
