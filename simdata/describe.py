"""What is in a data set: counts for each bank, and the labels."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bank_node.ingest import BankData, minor_units, read_bank
from simdata.dataset import Dataset, bank_folder, describe_time, read_dataset, read_labels

__all__ = ["describe"]


def describe(folder: Path) -> dict[str, Any]:
    """Count what is in a data set folder, each bank's part as its node would read it.

    Returns:
        ``name``, ``seed``, ``base_currency``, ``first_timestamp``, ``last_timestamp`` (ISO 8601),
        ``banks`` (a list with one entry for each bank: bank, accounts, accounts_only_in_payments,
        payments, cross_bank_payments, cross_bank_share, amount (units of the base currency, as
        text), first_timestamp, last_timestamp, illicit_accounts, rounded, rejected), ``typologies``
        (illicit accounts of each) and ``illicit_accounts``; the last two are None without labels.

    Raises:
        DataError: a file cannot be used at all.
    """
    dataset = read_dataset(folder)
    labels = read_labels(folder)
    illicit = None if labels is None else labels.filter(labels["is_illicit"])
    banks = [_describe_bank(folder, dataset, bank, illicit) for bank in dataset.banks]
    starts = [bank["first_timestamp"] for bank in banks if bank["first_timestamp"]]
    ends = [bank["last_timestamp"] for bank in banks if bank["last_timestamp"]]
    return {
        "name": dataset.name,
        "seed": dataset.seed,
        "base_currency": dataset.base_currency,
        "first_timestamp": min(starts, default=None),
        "last_timestamp": max(ends, default=None),
        "banks": banks,
        "illicit_accounts": None if illicit is None else illicit.num_rows,
        "typologies": None if illicit is None else _typologies(illicit),
    }


def _describe_bank(
    folder: Path, dataset: Dataset, bank: str, illicit: pa.Table | None
) -> dict[str, Any]:
    data = read_bank(
        bank_folder(folder, bank), bank, base_currency=dataset.base_currency, rates=dataset.rates
    )
    cross = pc.sum(
        pc.not_equal(data.transactions["from_bank"], data.transactions["to_bank"])
    ).as_py()
    payments = data.counts.transactions
    first, last = _span(data)
    return {
        "bank": bank,
        "accounts": data.counts.accounts,
        "accounts_only_in_payments": data.counts.accounts_only_in_payments,
        "payments": payments,
        "cross_bank_payments": cross or 0,
        "cross_bank_share": round((cross or 0) / payments, 4) if payments else 0.0,
        "amount": _amount(data),
        "first_timestamp": first,
        "last_timestamp": last,
        "illicit_accounts": None if illicit is None else _count(illicit, bank),
        "rounded": data.counts.rounded,
        "rejected": dict(data.counts.rejected),
    }


def _span(data: BankData) -> tuple[str | None, str | None]:
    if data.counts.transactions == 0:
        return None, None
    times = data.transactions["timestamp"]
    return describe_time(times[0].as_py()), describe_time(times[-1].as_py())  # sorted by time


def _amount(data: BankData) -> str:
    """The sum of all amounts as decimal text; wider than 64 bits if it has to be."""
    total = pc.sum(data.transactions["amount"].cast(pa.decimal128(38, 0))).as_py() or 0
    places = minor_units(data.base_currency)
    whole, part = divmod(int(total), 10**places)
    return f"{whole}.{part:0{places}d}" if places else str(whole)


def _count(illicit: pa.Table, bank: str) -> int:
    return int(pc.sum(pc.equal(illicit["bank"], bank)).as_py() or 0)


def _typologies(illicit: pa.Table) -> dict[str, int]:
    counted = pc.value_counts(pc.fill_null(illicit["typology"], "unknown"))
    pairs = ((str(entry["values"]), int(entry["counts"])) for entry in counted.to_pylist())
    return dict(sorted(pairs))
