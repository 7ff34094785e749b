"""A simulation as the files of a data set folder.

Payments are turned into Arrow tables a block at a time, so that the text of ten million payments is
never in memory at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from simdata.dataset import Dataset, bank_folder, dataset_toml, decimal_column
from simdata.generator.account_view import lowest_balance
from simdata.generator.config import GeneratorConfig, LookAlikes
from simdata.generator.payments import CHANNELS, Floats, Ints, Payments
from simdata.generator.population import Population
from simdata.generator.risk import risk_scores
from simdata.generator.schemes import Plan
from simdata.writer import write_blocks, write_table

__all__ = ["Simulation", "write_simulation"]

_BLOCK = 500_000
_CURRENCY = "EUR"
_OPENED = np.datetime64("2010-01-01")
_OPENED_DAYS = 5600


@dataclass(frozen=True)
class Simulation:
    """All that was drawn.

    Attributes:
        config: the settings.
        seed: the seed.
        people: the accounts.
        plan: the schemes.
        payments: all payments, in order of time.
        rng: stream for the names and particulars of accounts.
    """

    config: GeneratorConfig
    seed: int
    people: Population
    plan: Plan
    payments: Payments
    rng: np.random.Generator

    @property
    def start(self) -> int:
        """Start of the window, seconds since 1970."""
        first = self.config.size.start
        return int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class _Names:
    """Texts by number: ids of accounts, and their banks; the last of each is the cash desk's."""

    account: pa.Array
    bank: pa.Array
    banks: tuple[str, ...]


def write_simulation(work: Path, simulation: Simulation, *, csv: bool) -> Dataset:
    """Write everything to ``work``, and return the description."""
    names = _draw_names(simulation)
    accounts = _account_table(simulation, names)
    dataset = _describe(simulation, names.banks)
    (work / "dataset.toml").write_text(dataset_toml(dataset), "utf-8")
    bank = np.append(simulation.people.bank, -1)  # cash, account -1, is at no bank
    for number, name in enumerate(names.banks):
        folder = bank_folder(work, name)
        folder.mkdir(parents=True)
        write_table(accounts.filter(pc.equal(accounts["bank"], name)).drop_columns(["bank"]),
                    folder / "accounts", csv=csv)  # fmt: skip
        at_bank = bank == number
        own = at_bank[simulation.payments.payer] | at_bank[simulation.payments.payee]
        blocks = _payment_blocks(simulation, names, np.flatnonzero(own))
        write_blocks(blocks, folder / "transactions", csv=csv)
    _write_labels(work / "labels", simulation, names, csv=csv)
    return dataset


def _describe(simulation: Simulation, banks: tuple[str, ...]) -> Dataset:
    second = simulation.payments.second
    first, last = (simulation.start + int(second[i]) if len(second) else None for i in (0, -1))
    return Dataset(
        name=f"simulated-{simulation.seed}",
        banks=banks,
        seed=simulation.seed,
        base_currency=_CURRENCY,
        first=None if first is None else first * 1_000_000,
        last=None if last is None else last * 1_000_000,
    )


def _draw_names(simulation: Simulation) -> _Names:
    """Names in random order, so that they tell neither the bank nor the scheme."""
    n = len(simulation.people)
    account = _numbered("A", simulation.rng.permutation(n), 7)
    banks = tuple(f"bank{i + 1}" for i in range(simulation.config.size.banks))
    bank = pa.array(banks).take(pa.array(simulation.people.bank))
    return _Names(
        pa.concat_arrays([account, pa.array(["cash"])]),
        pa.concat_arrays([bank, pa.array(["cash"])]),
        banks,
    )


def _numbered(prefix: str, number: Ints, width: int) -> pa.Array:
    """Numbers as text of at least ``width`` digits after a letter."""
    digits = pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), width=width, padding="0")
    return pc.binary_join_element_wise(prefix, digits, "")


def _payment_blocks(simulation: Simulation, names: _Names, rows: Ints) -> Iterator[pa.Table]:
    """The payments at ``rows`` as tables; one without rows if there are none."""
    for start in range(0, max(len(rows), 1), _BLOCK):
        yield _payment_table(simulation, names, rows[start : start + _BLOCK])


def _payment_table(simulation: Simulation, names: _Names, rows: Ints) -> pa.Table:
    block = simulation.payments.take(rows)
    cash = len(names.account) - 1
    payer = pa.array(np.where(block.payer < 0, cash, block.payer))
    payee = pa.array(np.where(block.payee < 0, cash, block.payee))
    micros = (block.second.astype(np.int64) + simulation.start) * 1_000_000
    return pa.table(
        {
            "tx_id": _numbered("t", rows + 1, 9),
            "timestamp": pa.array(micros).cast(pa.timestamp("us", "UTC")),
            "from_bank": names.bank.take(payer),
            "from_account": names.account.take(payer),
            "to_bank": names.bank.take(payee),
            "to_account": names.account.take(payee),
            "amount": decimal_column(block.amount),
            "currency": pa.repeat(_CURRENCY, len(rows)),
            "channel": pa.array(CHANNELS).take(pa.array(block.channel)),
        }
    )


def _account_table(simulation: Simulation, names: _Names) -> pa.Table:
    """All accounts with their banks, by bank and name; the order of banks is that of the roster."""
    rng, people, config = simulation.rng, simulation.people, simulation.config
    n = len(people)
    risk = risk_scores(rng, simulation.payments, n, config.laundering.limit * 100, config.risk)
    owner = _numbered("C", rng.permutation(n), 7)
    opened = _OPENED + rng.integers(0, _OPENED_DAYS, n)
    table = pa.table(
        {
            "bank": names.bank[:n],
            "account": names.account[:n],
            "customer": owner,
            "opened": pa.array(opened),
            "kind": pa.array(np.where(people.company, "business", "personal")),
            "risk_score": risk,
            "balance": decimal_column(_balances(rng, simulation.payments, n)),
        }
    )
    return table.sort_by([("bank", "ascending"), ("account", "ascending")])


def _balances(rng: np.random.Generator, payments: Payments, n: int) -> NDArray[np.int64]:
    """Balances before the first payment: enough that none ever falls below zero, and some more."""
    spare: Floats = rng.lognormal(6.0, 1.0, n) * 100
    balance: NDArray[np.int64] = spare.astype(np.int64) - lowest_balance(payments, n)
    return balance


def _write_labels(folder: Path, simulation: Simulation, names: _Names, *, csv: bool) -> None:
    folder.mkdir()
    n = len(simulation.people)
    scheme = np.full(n, -1)
    scheme[simulation.plan.account] = simulation.plan.scheme
    pattern, typology = _scheme_columns(simulation.plan, scheme)
    labels = pa.table(
        {"bank": names.bank[:n], "account": names.account[:n], "is_illicit": scheme >= 0,
         "pattern": pattern, "typology": typology}
    )  # fmt: skip
    order = [("bank", "ascending"), ("account", "ascending")]
    write_table(labels.sort_by(order), folder / "accounts", csv=csv)
    write_table(_pattern_table(simulation), folder / "patterns", csv=csv)
    alike = np.flatnonzero(simulation.people.lookalike >= 0)
    kinds = pa.array([name.replace("_", "-") for name in LookAlikes.model_fields])
    lookalikes = pa.table(
        {"bank": names.bank.take(pa.array(alike)), "account": names.account.take(pa.array(alike)),
         "kind": kinds.take(pa.array(simulation.people.lookalike[alike]))}
    )  # fmt: skip
    write_table(lookalikes.sort_by(order), folder / "lookalikes", csv=csv)


def _scheme_columns(plan: Plan, scheme: Ints) -> tuple[pa.Array, pa.Array]:
    """Pattern and typology for each scheme number; null for -1."""
    number = pa.array(scheme, mask=scheme < 0)
    patterns = pa.array([f"p{i + 1:04d}" for i in range(len(plan))], pa.string())
    return patterns.take(number), pa.array(plan.typology, pa.string()).take(number)


def _pattern_table(simulation: Simulation) -> pa.Table:
    """Every payment of a scheme; hop 0 are the cash deposits."""
    payments = simulation.payments
    rows = np.flatnonzero(payments.scheme >= 0)
    rows = rows[np.argsort(payments.scheme[rows], kind="stable")]
    pattern, typology = _scheme_columns(simulation.plan, payments.scheme[rows].astype(np.int64))
    return pa.table(
        {"pattern": pattern, "typology": typology, "tx_id": _numbered("t", rows + 1, 9),
         "hop": payments.hop[rows].astype(np.int64)}
    )  # fmt: skip
