"""A trace over a graph of the size that banks have, against the plaintext reference."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bank_node.job import Deadlines
from flow_tracing.reference import PooledFlows, plain_trace
from simdata.generate import generate

from .support import Watch, request_of

DAY = 86_400_000_000


def pooled(data: Path, days: int) -> tuple[PooledFlows, dict[tuple[str, str], int]]:
    """All payments of all banks' files, once each, and the number of each account."""
    number: dict[tuple[str, str], int] = {}
    balance: list[int] = []
    payments: dict[str, tuple[int, int, int, int]] = {}
    folders = sorted((data / "banks").iterdir())
    for folder in folders:
        for row in pq.read_table(folder / "accounts.parquet").to_pylist():
            number[folder.name, row["account"]] = len(number)
            balance.append(round(row["balance"] * 100))
    for folder in folders:
        table = pq.read_table(folder / "transactions.parquet")
        for row in table.to_pylist():
            ends = [
                number.get((row[f"{side}_bank"], row[f"{side}_account"]), -1)
                for side in ("from", "to")
            ]
            day = int(row["timestamp"].timestamp() * 1_000_000) // DAY
            payments[row["tx_id"]] = (*ends, day, round(row["amount"] * 100))
    source, target, t, amount = (
        np.array(c, np.int64) for c in zip(*payments.values(), strict=True)
    )
    flows = PooledFlows(
        len(number), days, source, target, t - t.min(), amount, np.array(balance, np.int64),
        np.ones(len(number), np.bool_),
    )  # fmt: skip
    return flows, number


@pytest.mark.slow
def test_trace_over_a_large_graph(tmp_path: Path, scratch: Path) -> None:
    """30,000 accounts, 300,000 payments, 30 days, 3 hops: within 1e-8 of what was injected."""
    data = tmp_path / "data"
    generate(data, accounts=30_000, days=30, seed=4)
    flows, number = pooled(data, 30)
    paid = np.bincount(flows.source[flows.source >= 0], minlength=flows.accounts)
    own = [key for key in number if key[0] == "bank1"]
    asked = sorted(own, key=lambda key: -paid[number[key]])[:3]
    request = request_of(
        data,
        tmp_path / "out",
        analysis="trace",
        parameters={"bank": "bank1", "account": [a for _b, a in asked], "hops": "3"},
        deadlines=Deadlines(start=120, silence=60, receive=600),
    )
    Watch(request).run()
    plain = plain_trace(flows, np.array([number[key] for key in asked]), 3)
    found = np.zeros((2, *plain.received.shape))
    with (tmp_path / "out" / "bank1" / "trace.csv").open() as file:
        for row in csv.DictReader(file):
            place = (int(row["slice"]), number["bank1", row["account"]])
            found[(int(row["kind"] == "returned"), *place)] = float(row["amount"]) * 100
    mine = np.array([number[key] for key in own])
    for secure, expected in zip(found, (plain.received, plain.returned), strict=True):
        shown = np.where(expected > 0.5, expected, 0.0)[:, mine]
        error = np.abs(secure[:, mine] - shown)
        error[np.abs(expected[:, mine] - 0.5) < 0.01] = 0.0  # Half a cent may be shown or not.
        assert error.max() <= 1e-8 * plain.injected
    assert np.count_nonzero(found) > 100
