"""A large, hard graph: 200,000 accounts, a million payments, hubs, amounts over ten decades."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from bank_node.job import Deadlines
from pagerank import PooledGraph, plain_pagerank

from .support import Watch, request_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ACCOUNTS, PAYMENTS, BANKS = 200_000, 1_000_000, 3
PATIENT = Deadlines(start=180, silence=120, receive=900)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.float64]]:
    """The data set's folder and the scores of its accounts, by number."""
    rng = np.random.default_rng(3)
    weight = rng.pareto(1.1, ACCOUNTS) + 0.02
    ladder = np.cumsum(weight) / weight.sum()
    payer = np.searchsorted(ladder, rng.random(PAYMENTS)).astype(np.int64)
    payee = np.searchsorted(ladder, rng.random(PAYMENTS))[rng.permutation(PAYMENTS)]
    payee = ACCOUNTS - 1 - payee.astype(np.int64)
    cents = np.maximum(1, np.round(rng.lognormal(9.0, 2.5, PAYMENTS))).astype(np.int64)
    bank = rng.integers(0, BANKS, ACCOUNTS)
    data = tmp_path_factory.mktemp("large") / "data"
    _write(data, bank, payer, payee, cents)
    graph = PooledGraph(ACCOUNTS, payer, payee, cents.astype(np.float64))
    return data, plain_pagerank(graph)


def _write(
    data: Path,
    bank: NDArray[np.int64],
    payer: NDArray[np.int64],
    payee: NDArray[np.int64],
    cents: NDArray[np.int64],
) -> None:
    names = np.char.add("A", np.char.zfill(np.arange(ACCOUNTS).astype(str), 6))
    banks = np.char.add("bank", bank.astype(str))
    payments = pa.table(
        {
            "tx_id": np.char.add("t", np.arange(PAYMENTS).astype(str)),
            "timestamp": np.full(PAYMENTS, "2026-01-05T10:00:00Z"),
            "from_bank": banks[payer],
            "from_account": names[payer],
            "to_bank": banks[payee],
            "to_account": names[payee],
            "amount": pa.array(cents).cast(pa.decimal128(19, 0)).cast(pa.decimal128(24, 2)),
            "currency": np.full(PAYMENTS, "JPY"),
        }
    )
    for b in range(BANKS):
        folder = data / "banks" / f"bank{b}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"account": names[bank == b]}), folder / "accounts.parquet")
        sides = (bank[payer] == b) | (bank[payee] == b)
        pq.write_table(payments.filter(pa.array(sides)), folder / "transactions.parquet")


def _scores(out: Path) -> NDArray[np.float64]:
    scores = np.full(ACCOUNTS, np.nan)
    for b in range(BANKS):
        table = pa_csv.read_csv(out / f"bank{b}" / "scores.csv")
        numbers = np.array([int(name[1:]) for name in table["account"].to_pylist()])
        scores[numbers] = table["score"].to_numpy()
    return scores


@pytest.mark.parametrize(("precision", "limit"), [("high", 1e-5), ("standard", 1.0)])
def test_a_large_graph_with_hubs(
    large: tuple[Path, NDArray[np.float64]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    precision: str,
    limit: float,
) -> None:
    """With high precision every account is within 1e-5; what standard reaches is printed."""
    data, expected = large
    request = request_of(
        data, tmp_path / "out", parameters={"precision": precision}, deadlines=PATIENT
    )
    began = time.monotonic()
    record = Watch(request).run()
    error = np.abs(_scores(tmp_path / "out") - expected) / expected
    with capsys.disabled():
        print(
            f"\n{precision}: worst {error.max():.1e}, 99th percentile"
            f" {np.quantile(error, 0.99):.1e}, median {np.median(error):.1e};"
            f" {time.monotonic() - began:.0f} s in all, {record['seconds']};"
            f" peak {max(record['peak_memory_bytes'].values()) / 1e6:,.0f} MB a party;"
            f" accuracy {record['accuracy']}"
        )
    assert error.max() <= limit
