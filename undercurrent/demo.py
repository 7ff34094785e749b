"""``undercurrent demo``: the main job on this machine, with simulated data and nothing else.

Three banks run their nodes, real processes over an agreement that all have signed, and take their
payments in.  The night's scheduled run is due: PageRank seeded by the private risk scores, over
all payments together.  Then each bank does the same over its own payments, in plain, and compares:
which of its accounts rank high only when the banks compute jointly?  The comparison uses what the
bank knows, its two results; the simulation's hidden labels are only counted at the end.  Then the
money of the accounts that rose is followed through the running nodes (``undercurrent.follow``):
joint round trips, and one trace.  At last the people of one bank triage what came of it
(``undercurrent.demo_morning``).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bank_node.ingest import canonical_bank
from simdata.dataset import Dataset, fresh_folder, read_labels
from simdata.generate import generate
from undercurrent.alone import OwnView, pagerank_alone
from undercurrent.demo_consortium import DemoConsortium, running_consortium
from undercurrent.demo_serving import serve_pages
from undercurrent.follow import follow_the_money

__all__ = ["demo"]

_TOP = 5
_HIGH_SHARE = 0.01


@dataclass(frozen=True)
class BankFinding:
    """What one bank learned.

    Attributes:
        bank: id of the bank.
        accounts: its accounts.
        joint: float64 (n,), scores of the secure joint run.
        joint_rank: int64 (n,), 1 = highest.
        alone_rank: the same for the bank by itself.
        risen: positions of the accounts that gained most: high jointly, not high alone.
    """

    bank: str
    accounts: list[str]
    joint: NDArray[np.float64]
    joint_rank: NDArray[np.int64]
    alone_rank: NDArray[np.int64]
    risen: NDArray[np.int64]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, results and report.")] = Path(
        "demo-out"
    ),
    accounts: Annotated[int, typer.Option(min=60, help="Accounts of all banks together.")] = 3000,
    seed: Annotated[int, typer.Option(help="Seed of the simulated payments.")] = 1,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the banks' applications at the end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Simulate three banks and run their nodes: detect jointly and alone, follow the difference.

    The people of one bank then triage its alerts and close a case. With
    --serve the banks' applications stay up until Ctrl-C.

    Examples:

      undercurrent demo

      undercurrent demo --serve

      undercurrent demo --accounts 20000 --seed 7 --out /tmp/demo
    """
    console = Console(stderr=as_json, record=True, width=None)
    replace = (out / "report.html").is_file()
    with fresh_folder(out, force=replace, holding="report.html") as work:
        data = work / "data"
        dataset = generate(data, banks=3, accounts=accounts, seed=seed)
        console.print(
            f"[bold]1. Simulated[/] {accounts:,} accounts at {len(dataset.banks)} banks, 30 days,"
            " with laundering chains that cross banks"
        )
        with running_consortium(
            work / "nodes", data, dataset, accounts, with_pages=serve
        ) as consortium:
            _tell_consortium(consortium, console)
            record = _run_jointly(consortium, work / "joint", console)
            findings = _compare(data, dataset, consortium, record["run_id"])
            for finding in findings:
                console.print(_table(finding))
            _count_labels(console, data, findings)
            risen = {f.bank: [f.accounts[v] for v in f.risen] for f in findings}
            followed = follow_the_money(data, dataset, risen, consortium, console)
            morning = _morning(consortium, followed["trace"], console)
            _tell_audit(consortium, console)
            if serve:
                serve_pages(consortium, console)
        console.print(f"Results and report: {out}/report.html", highlight=False)
        (work / "report.html").write_text(console.export_html(clear=False), "utf-8")
    if as_json:
        told = _as_json(record, findings) | followed | {"morning": morning}
        typer.echo(json.dumps(told, indent=2))


def _morning(consortium: DemoConsortium, trace: dict[str, Any], console: Console) -> dict[str, Any]:
    """Let the people of the bank that traced work on its alerts."""
    morning = consortium.morning(canonical_bank(trace["bank"]), console)
    return morning.work(trace["account"], trace["run_id"])


def _tell_consortium(consortium: DemoConsortium, console: Console) -> None:
    agreement = consortium.nodes.agreement
    console.print(
        f"[bold]2. A consortium[/]: {len(consortium.banks)} nodes, each a process with keys and a"
        " database of its own; an agreement on what may be computed, signed by all of them"
        f" ({agreement.hash[:12]}…); signed messages over an embedded broker."
        "\n   Each node has taken its bank's payments in."
    )


def _run_jointly(consortium: DemoConsortium, joint: Path, console: Console) -> dict[str, Any]:
    record = consortium.scheduled()
    measured = record["measured"]
    console.print(
        "[bold]3. The night's scheduled run[/]: secure PageRank, begun by all nodes by themselves;"
        f" mutual TLS, {measured['iterations']} iterations, {measured['seconds']:.1f} s,"
        f" {measured['bytes_sent'] * len(consortium.banks) / 1e6:,.0f} MB sent."
        "\n   Each bank gives its payments and risk scores to nobody and gets the scores of its own"
        " accounts only."
    )
    console.print("[bold]4. Each bank alone[/]: the same analysis over its own payments\n")
    joint.mkdir()
    (joint / "run.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return record


def _compare(
    data: Path, dataset: Dataset, consortium: DemoConsortium, run_id: str
) -> list[BankFinding]:
    return [
        _find(view, _scores(view, consortium.result(view.bank, run_id)))
        for view in pagerank_alone(data, dataset)
    ]


def _scores(view: OwnView, rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    """Return a bank's joint scores in the order of its own view."""
    joint = {row["account"]: row["value"] for row in rows}
    return np.array([joint[account] for account in view.accounts])


def _tell_audit(consortium: DemoConsortium, console: Console) -> None:
    counts = ", ".join(f"{bank} {n}" for bank, n in consortium.audited().items())
    console.print(
        f"\n[bold]9. On record[/]: who did what under which manifest, and what it disclosed."
        f" Audit logs verified, entries: {counts}."
    )


def _find(view: OwnView, joint: NDArray[np.float64]) -> BankFinding:
    joint_rank, alone_rank = _ranks(joint), _ranks(view.scores)
    # Shares of the bank's own total make the two results comparable.
    gain = joint / joint.sum() - view.scores / view.scores.sum()
    high = max(_TOP, round(len(joint) * _HIGH_SHARE))
    order = np.argsort(-gain, kind="stable")
    risen = order[alone_rank[order] > high][:high]
    return BankFinding(view.bank, view.accounts, joint, joint_rank, alone_rank, risen)


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    ranks = np.empty(len(scores), np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks


def _table(finding: BankFinding) -> Table:
    table = Table(
        title=f"{finding.bank}: {len(finding.accounts):,} own accounts", title_justify="left"
    )
    table.add_column("account")
    for name in ("joint score", "joint rank", "rank alone"):
        table.add_column(name, justify="right")
    table.add_column("")
    top = np.argsort(finding.joint_rank)[:_TOP]
    risen = [v for v in finding.risen[:_TOP] if v not in top]
    high = max(_TOP, round(len(finding.accounts) * _HIGH_SHARE))
    _add_rows(table, finding, top, high)
    table.add_section()
    _add_rows(table, finding, risen, high)
    return table


def _add_rows(table: Table, finding: BankFinding, rows: Iterable[Any], high: int) -> None:
    for v in rows:
        hidden = finding.alone_rank[v] > high
        table.add_row(
            finding.accounts[v],
            f"{finding.joint[v]:.2e}",
            f"{finding.joint_rank[v]:,}",
            f"{finding.alone_rank[v]:,}",
            "[bold red]risen by the joint run[/]" if hidden else "",
        )


def _count_labels(console: Console, data: Path, findings: list[BankFinding]) -> None:
    """Say how many of the risen accounts the simulation made launderers; no bank knows this."""
    labels = read_labels(data)
    if labels is None:
        return
    rows = labels.select(["bank", "account", "is_illicit"]).to_pydict()
    illicit = {
        (bank, account)
        for bank, account, bad in zip(
            rows["bank"], rows["account"], rows["is_illicit"], strict=True
        )
        if bad
    }
    risen = [(f.bank, f.accounts[v]) for f in findings for v in f.risen]
    caught = sum(key in illicit for key in risen)
    share = len(illicit) / max(sum(len(f.accounts) for f in findings), 1)
    console.print(
        f"\nThe simulation knows, the banks do not: of the {len(risen)} accounts that rose most and"
        f" that no bank ranked high alone, {caught} belong to a laundering scheme"
        f" ({caught / max(len(risen), 1):.0%}; by chance {share:.0%})."
    )


def _as_json(record: dict[str, Any], findings: list[BankFinding]) -> dict[str, Any]:
    return {
        "run": record,
        "banks": {
            f.bank: [
                {
                    "account": f.accounts[v],
                    "joint_score": float(f.joint[v]),
                    "joint_rank": int(f.joint_rank[v]),
                    "rank_alone": int(f.alone_rank[v]),
                }
                for v in f.risen
            ]
            for f in findings
        },
    }
