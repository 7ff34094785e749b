"""``generate``: a small data set with the two schemes that cross banks at every step.

The generator itself is :mod:`simdata.generator`, with all its settings and typologies.  This is the
call for demonstrations, tests and benchmarks: chains of mules and cycles only, each step at another
bank, each scheme begun with cash.
"""

from pathlib import Path

from simdata.dataset import Dataset
from simdata.generator import build_dataset
from simdata.generator.config import GeneratorConfig, check_config

__all__ = ["crossing_schemes", "generate"]


def generate(
    out: Path,
    *,
    banks: int = 3,
    accounts: int = 3000,
    days: int = 30,
    seed: int = 1,
    payments_per_account: float = 10.0,
    schemes: int | None = None,
    csv: bool = False,
    force: bool = False,
) -> Dataset:
    """Write a simulated data set to ``out``.

    Args:
        out: the folder to write.
        banks: number of banks, bank1 being the largest.
        accounts: accounts of all banks together, at least 10 for each bank.
        days: length of the window, from 2026-01-01.
        seed: seed of all randomness.
        payments_per_account: payments that launder nothing, on average.
        schemes: laundering schemes (fewer if a bank runs out of accounts); None: one for each 150
            accounts, two at least.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Returns:
        the description of the data set.

    Raises:
        DataError: a parameter is out of its range, or ``out`` is in use.
    """
    config = crossing_schemes(
        banks=banks,
        accounts=accounts,
        days=days,
        payments_per_account=payments_per_account,
        schemes=min(max(2, accounts // 150), accounts // 12) if schemes is None else schemes,
    )
    return build_dataset(out, config, seed, csv=csv, force=force)


def crossing_schemes(
    *, banks: int, accounts: int, days: int, payments_per_account: float, schemes: int
) -> GeneratorConfig:
    """The settings of :func:`generate`."""
    size = {
        "banks": banks,
        "accounts": accounts,
        "days": days,
        "payments_per_account": payments_per_account,
    }
    laundering = {
        "schemes": schemes,
        "cross_bank": 1.0,
        "placement": 1.0,
        "typologies": {"chain": 1.0, "cycle": 1.0},
    }
    return check_config({"size": size, "laundering": laundering})
