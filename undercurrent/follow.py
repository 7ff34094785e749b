"""Following the money of accounts that a joint run raised: round trips, then a trace of one.

Each bank puts the accounts that rose, and those of its own highest risk scores, into scope; the
banks compute round trips jointly, and each bank computes the same alone for comparison.  The
account whose money comes back most, and not so alone, is traced: the bank that holds it gets
amounts per day at its own accounts, the others learn neither the account nor the answer.
"""

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

from bank_node.ingest import canonical_bank, read_bank
from bank_node.partition import build_partition
from flow_tracing.flows import Balances
from flow_tracing.local_round_trip import local_round_trips
from simdata.dataset import Dataset, bank_folder
from undercurrent.demo_consortium import HOPS, DemoConsortium

__all__ = ["RoundTrip", "follow_the_money"]

_SHOWN = 8
_OF_RISK = 0.05


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
    consortium: DemoConsortium,
    console: Console,
) -> dict[str, Any]:
    """Compute round trips of the accounts that rose, trace one of them, and print both.

    Args:
        data: the data set's folder; the banks' accounts tables get a column ``in_scope``.
        dataset: its description.
        risen: accounts of each bank that the joint run raised.
        consortium: the running nodes.
        console: where to print.

    Returns:
        what was found, for ``--json``.
    """
    for bank in dataset.banks:
        _put_in_scope(bank_folder(data, bank) / "accounts.parquet", risen[canonical_bank(bank)])
    consortium.take_in()
    found = _round_trips(data, dataset, consortium, console)
    console.print(_table(found))
    best = max(found, key=lambda r: (r.joint - r.alone, r.joint))
    trace = _trace(best, consortium, console)
    return {
        "round_trips": [vars(r) for r in found],
        "trace": {"bank": best.bank, "account": best.account} | trace,
    }


def _put_in_scope(path: Path, accounts: Sequence[str]) -> None:
    """Let the bank's own rule say which accounts may be asked about: risen, or of high risk."""
    table = pq.read_table(path)
    has_risen = pc.is_in(table["account"], value_set=pa.array(accounts, pa.string()))
    risk = table["risk_score"].to_numpy()
    scope = pc.or_(has_risen, pa.array(risk >= np.quantile(risk, 1 - _OF_RISK)))
    pq.write_table(table.append_column("in_scope", scope), path)


def _round_trips(
    data: Path,
    dataset: Dataset,
    consortium: DemoConsortium,
    console: Console,
) -> list[RoundTrip]:
    run = consortium.round_trips()
    found = []
    for bank in dataset.banks:
        rows = consortium.result(canonical_bank(bank), run["run_id"])
        joint = {row["account"]: float(row["value"]) for row in rows}
        alone = _alone(data, dataset, bank, list(joint))
        found += [RoundTrip(bank, a, joint[a], float(s)) for a, s in zip(joint, alone, strict=True)]
    console.print(
        f"\n[bold]5. Round trips[/] of the {len(found)} accounts in scope, those that rose and"
        " those that their own bank holds for the riskiest: what part of their money comes back"
        f" within {HOPS} payments?\n   Joint secure run,"
        f" {run['measured']['seconds']:.1f} s; beside it what each bank sees alone."
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
    return local_round_trips(partition.graph, balances, vertices, HOPS)


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


def _trace(best: RoundTrip, consortium: DemoConsortium, console: Console) -> dict[str, Any]:
    run = consortium.trace(canonical_bank(best.bank), best.account)
    rows: list[dict[str, Any]] = run["rows"]
    console.print(
        f"\n[bold]6. One trace[/]: where did the money of {best.account} at {best.bank} go?"
        f" By days, up to {HOPS} payments a day, {run['measured']['seconds']:.1f} s,"
        f" asked of the running node.\n   Only {best.bank} gets the answer; the others"
        " learn neither the account nor the answer."
    )
    largest = sorted(rows, key=lambda row: -float(row["amount"]))[:_SHOWN]
    table = Table(title=f"{best.bank}: own accounts that the money reached", title_justify="left")
    for name in ("day", "account", "kind"):
        table.add_column(name)
    table.add_column("amount", justify="right")
    for row in sorted(largest, key=lambda row: int(row["slice"])):
        kind = "[bold red]came back[/]" if row["kind"] == "returned" else "received"
        table.add_row(str(row["slice"]), row["account"], kind, f"{float(row['amount']):,.2f}")
    console.print(table)
    return {"run_id": run["run_id"], "rows": rows}
