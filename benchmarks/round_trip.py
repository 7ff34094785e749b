"""How well round trips tell illicit accounts, and at what price.

``python -m benchmarks.round_trip``.  Both AMLSim samples, accounts over three banks by a hash, one
slice, 4 hops; in scope the illicit accounts and 3,000 others.  Average precision of the exact joint
round trip (plaintext; the secure one equals it), beside PageRank, in-degree, and what each bank
finds alone; then of the batched estimate for several accounts per column and repetitions, with the
seconds that its columns take.

The samples are in the folder that ``UNDERCURRENT_TEST_DATA`` names.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bank_node.ingest import read_bank
from flow_tracing.reference import PooledFlows, plain_round_trip, walked_slices
from pagerank import PooledGraph, plain_pagerank
from simdata.amlsim import import_amlsim
from simdata.dataset import bank_folder, read_labels

HOPS = 4
OTHERS = 3000
PER_COLUMN = (1, 2, 5, 10, 50)
REPETITIONS = (1, 2, 4, 8)
_BLOCK = 512


@dataclass(frozen=True)
class Sample:
    """A sample, pooled.

    Attributes:
        flows: all payments.
        bank: int64 (n,), bank of each account.
        illicit: bool (n,).
        scope: int64, accounts in scope.
    """

    flows: PooledFlows
    bank: NDArray[np.int64]
    illicit: NDArray[np.bool_]
    scope: NDArray[np.int64]


def read_sample(archive: Path) -> Sample:
    """Import a sample, pool it, and draw the scope."""
    with tempfile.TemporaryDirectory(prefix="undercurrent-bench-") as folder:
        data = Path(folder) / "data"
        banks = import_amlsim(archive, data, banks=3).banks
        labels = read_labels(data)
        if labels is None:
            raise ValueError("a sample has labels")
        rows = labels.to_pydict()
        read = [read_bank(bank_folder(data, bank), bank) for bank in banks]
    number = {key: v for v, key in enumerate(zip(rows["bank"], rows["account"], strict=True))}
    balance = np.zeros(len(number), np.int64)
    payments: dict[str, tuple[int, int, int]] = {}
    for bank, one in zip(banks, read, strict=True):
        accounts = one.accounts.select(["account", "balance"]).to_pydict()
        for account, amount in zip(accounts["account"], accounts["balance"], strict=True):
            balance[number[bank, account]] = max(amount, 0)
        columns = ["tx_id", "from_bank", "from_account", "to_bank", "to_account", "amount"]
        found = one.transactions.select(columns).to_pydict()
        for tx, fb, fa, tb, ta, amount in zip(*found.values(), strict=True):
            payments[tx] = (number.get((fb, fa), -1), number.get((tb, ta), -1), amount)
    source, target, amount = (np.array(c) for c in zip(*payments.values(), strict=True))
    flows = PooledFlows(
        accounts=len(number),
        slices=1,
        source=source,
        target=target,
        slice=np.zeros(len(source), np.int64),
        amount=amount,
        balance=balance,
        balance_known=np.ones(len(number), np.bool_),
    )
    illicit = np.array(rows["is_illicit"], np.bool_)
    others = np.random.default_rng(7).choice(np.flatnonzero(~illicit), OTHERS, replace=False)
    bank_of = np.array([banks.index(bank) for bank in rows["bank"]])
    scope = np.sort(np.concatenate([np.flatnonzero(illicit), others]))
    return Sample(flows, bank_of, illicit, scope)


def average_precision(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the area under precision over recall; equal scores are taken together."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    found = np.cumsum(truth[order])[last]
    precision = found / (np.flatnonzero(last) + 1)
    recall = np.concatenate([[0.0], found / truth.sum()])
    return float((np.diff(recall) * precision).sum())


def plain_scores(sample: Sample) -> dict[str, NDArray[np.float64]]:
    """Return the score of each account by each method, (n,)."""
    flows, n = sample.flows, sample.flows.accounts
    everybody = np.arange(n)
    alone = np.zeros(n)
    for bank in range(3):
        mine = sample.bank == bank
        there = replace(
            flows,
            source=np.where(mine[flows.source], flows.source, -1),
            target=np.where(mine[flows.target], flows.target, -1),
        )
        own = np.flatnonzero(mine)
        alone[own] = plain_round_trip(there, own, HOPS)
    payers = sp.csr_array((np.ones(len(flows.source)), (flows.target, flows.source)), shape=(n, n))
    graph = PooledGraph(n, flows.source, flows.target, flows.amount.astype(np.float64))
    return {
        "round trip, joint": plain_round_trip(flows, everybody, HOPS),
        "round trip, banks alone": alone,
        "PageRank": plain_pagerank(graph),
        "in-degree": np.asarray((payers > 0).sum(axis=1)).ravel().astype(np.float64),
    }


def readings(
    sample: Sample, per_column: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], int]:
    """Return one batched reading for each account in scope, and the number of columns."""
    (_t, walked), *_ = walked_slices(sample.flows, "forward")
    n = sample.flows.accounts
    out = np.asarray(walked.paid.sum(axis=0)).ravel() + walked.paid_outside
    unit = np.divide(1.0, out, out=np.zeros(n), where=out > 0)
    groups = [
        group
        for bank in range(3)
        for group in _groups(sample.scope[sample.bank[sample.scope] == bank], per_column, rng)
    ]
    value = np.zeros(n)
    for start in range(0, len(groups), _BLOCK):
        block = groups[start : start + _BLOCK]
        account = np.concatenate(block)
        column = np.repeat(np.arange(len(block)), [len(g) for g in block])
        sign = rng.choice([-1.0, 1.0], len(account))
        paying = np.zeros((n, len(block)))
        paying[account, column] = sign * unit[account]
        r = walked.paid @ paying
        total = np.zeros(len(account))
        for hop in range(HOPS):
            total += r[account, column]
            r[account, column] = 0.0
            if hop < HOPS - 1:
                r = walked.spread @ r
        value[account] = sign * total
    return value[sample.scope], len(groups)


def _groups(
    accounts: NDArray[np.int64], per_column: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    shuffled = rng.permutation(accounts)
    yield from np.array_split(shuffled, -(-len(shuffled) // per_column))


def batched(sample: Sample, per_column: int) -> Iterator[dict[str, Any]]:
    """Yield the average precision of the batched estimate for several repetitions."""
    rng = np.random.default_rng(per_column)
    truth = sample.illicit[sample.scope]
    drawn = [readings(sample, per_column, rng) for _ in range(max(REPETITIONS))]
    for count in REPETITIONS:
        values = np.stack([value for value, _columns in drawn[:count]])
        yield {
            "per_column": per_column,
            "repetitions": count,
            "columns": sum(columns for _value, columns in drawn[:count]),
            "ap_minimum": average_precision(truth, np.clip(values.min(axis=0), 0, 1)),
            "ap_mean": average_precision(truth, np.clip(values.mean(axis=0), 0, 1)),
        }


def study(sample: Sample) -> dict[str, Any]:
    """Return all figures of a sample."""
    truth = sample.illicit[sample.scope]
    scores = plain_scores(sample)
    return {
        "illicit": int(sample.illicit.sum()),
        "in_scope": len(sample.scope),
        "chance": {"in scope": float(truth.mean()), "all": float(sample.illicit.mean())},
        "methods": {
            name: {
                "in scope": average_precision(truth, score[sample.scope]),
                "all": average_precision(sample.illicit, score),
            }
            for name, score in scores.items()
        },
        "batched": [row for g in PER_COLUMN for row in batched(sample, g)],
    }


def main() -> None:
    """Study both samples and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds-per-column", type=float, default=0.073)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    folder = Path(os.environ.get("UNDERCURRENT_TEST_DATA", "")) / "amlsim"
    samples = sorted(folder.glob("20K_*200.tgz"))
    if not samples:
        parser.error(
            f"no AMLSim sample (20K_*200.tgz) in {folder}; set UNDERCURRENT_TEST_DATA to the"
            " folder above amlsim"
        )
    found = {path.stem: study(read_sample(path)) for path in samples}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, result in found.items():
        print(f"\n{name}: {result['illicit']} illicit, {result['in_scope']} in scope\n")
        print("| method | in scope | all accounts |\n|---|---:|---:|")
        for method, ap in [*result["methods"].items(), ("chance", result["chance"])]:
            print(f"| {method} | {ap['in scope']:.2f} | {ap['all']:.2f} |")
        print("\n| accounts per column | repetitions | columns | s | minimum | mean |")
        print("|" + "---:|" * 6)
        for row in result["batched"]:
            seconds = row["columns"] * options.seconds_per_column
            print(
                f"| {row['per_column']} | {row['repetitions']} | {row['columns']:,} |"
                f" {seconds:,.0f} | {row['ap_minimum']:.2f} | {row['ap_mean']:.2f} |"
            )


if __name__ == "__main__":
    main()
