"""Random payment graphs of a wanted size, as data set folders."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["write_graph"]


def write_graph(
    folder: Path, accounts: int, payments: int, banks: int = 3, sigma: float = 2.5, seed: int = 1
) -> None:
    """Write a graph with hubs on both sides and log-normal amounts over equal banks."""
    rng = np.random.default_rng(seed)
    bank = rng.integers(0, banks, accounts)
    popularity = rng.pareto(1.2, accounts) + 0.1
    popularity /= popularity.sum()
    payer = rng.integers(0, accounts, payments)
    payer[: payments // 10] = rng.choice(accounts, payments // 10, p=popularity)
    payee = rng.choice(accounts, payments, p=popularity)
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


def _names(prefix: str, numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> pa.Array:
    digits = pa.array(numbers).cast(pa.string())
    return pc.binary_join_element_wise(pa.scalar(prefix), digits, pa.scalar(""))
