"""Random payment graphs of a wanted size, as data set folders."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["write_graph"]

Ints = NDArray[np.int64]


def write_graph(
    folder: Path, accounts: int, edges: int, banks: int = 3, sigma: float = 2.5, seed: int = 1
) -> None:
    """Write a graph with hubs on both sides and log-normal amounts over equal banks.

    Every edge is one payment between a pair of accounts of its own.
    """
    rng = np.random.default_rng(seed)
    bank = rng.integers(0, banks, accounts)
    payer, payee = _pairs(rng, accounts, edges)
    payments = len(payer)
    cents = np.maximum(1, np.exp(rng.normal(8.0, sigma, payments))).astype(np.int64)
    names = _names("A", np.arange(accounts))
    bank_names = pa.array([f"bank{b + 1}" for b in range(banks)])
    columns = {
        "tx_id": _names("T", np.arange(payments)),
        "timestamp": pa.array(np.full(payments, "2026-01-05")),
        "from_bank": bank_names.take(pa.array(bank[payer])),
        "from_account": names.take(pa.array(payer)),
        "to_bank": bank_names.take(pa.array(bank[payee])),
        "to_account": names.take(pa.array(payee)),
        "amount": pa.array(np.round(cents / 100, 2)),
        "currency": pa.array(np.full(payments, "EUR")),
    }
    table = pa.table(columns)
    for b in range(banks):
        place = folder / "banks" / f"bank{b + 1}"
        place.mkdir(parents=True)
        own = np.flatnonzero(bank == b)
        pq.write_table(
            pa.table({"account": names.take(pa.array(own)), "risk_score": rng.random(len(own))}),
            place / "accounts.parquet",
        )
        touched = (bank[payer] == b) | (bank[payee] == b)
        pq.write_table(table.filter(pa.array(touched)), place / "transactions.parquet")


def _pairs(rng: np.random.Generator, accounts: int, edges: int) -> tuple[Ints, Ints]:
    """Return distinct (payer, payee); the largest hub is in one of 200 edges at most."""
    weight = np.minimum(rng.pareto(1.2, accounts) + 0.1, accounts / 200)
    popularity = weight / weight.sum()
    pairs = np.zeros(0, np.int64)
    while len(pairs) < edges:
        more = edges - len(pairs) + edges // 50
        payer = rng.integers(0, accounts, more)
        payer[: more // 10] = rng.choice(accounts, more // 10, p=popularity)
        payee = rng.choice(accounts, more, p=popularity)
        pairs = np.unique(np.concatenate([pairs, payer * accounts + payee]))
    chosen = rng.permutation(pairs)[:edges]
    return chosen // accounts, chosen % accounts


def _names(prefix: str, numbers: Ints) -> pa.Array:
    digits = pa.array(numbers).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, pa.scalar(""))
