"""From settings and a seed to a data set folder.

Each part draws from a stream of its own (the seed and the part's number), so that changing one part
leaves the others as they are.  The same settings and seed give the same bytes, with the same
versions of NumPy and PyArrow.
"""

from pathlib import Path

import numpy as np

from bank_node.errors import ParameterError
from simdata.dataset import Dataset, fresh_folder
from simdata.generator.config import GeneratorConfig, config_toml
from simdata.generator.launder import launder
from simdata.generator.lookalikes import draw_lookalikes
from simdata.generator.ordinary import draw_ordinary
from simdata.generator.payments import Ints, Payments, in_order, stacked
from simdata.generator.population import Population, draw_population
from simdata.generator.schemes import Plan, plan_schemes
from simdata.generator.tables import Simulation, write_simulation

__all__ = ["build_dataset", "simulate"]

_PARTS = ("people", "schemes", "ordinary", "lookalikes", "laundering", "accounts")


def build_dataset(
    out: Path, config: GeneratorConfig, seed: int, *, csv: bool = False, force: bool = False
) -> Dataset:
    """Write a simulated data set to ``out``.

    Beside the files of every data set it has ``generator.toml``, the settings it was made with, and
    ``labels/lookalikes``, the innocent accounts that look like a scheme (bank, account, kind).

    Args:
        out: the folder to write.
        config: the settings.
        seed: seed of all randomness, 0 or more.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Raises:
        DataError: the seed is negative, or ``out`` is in use.
    """
    if seed < 0:
        raise ParameterError(f"The seed {seed} is negative", "Give a seed of 0 or more")
    with fresh_folder(out, force=force) as work:  # before the work, so that a place in use is told
        dataset = write_simulation(work, simulate(config, seed), csv=csv)
        (work / "generator.toml").write_text(config_toml(config), "utf-8")
    return dataset


def simulate(config: GeneratorConfig, seed: int) -> Simulation:
    """Draw everything, in memory."""
    streams = np.random.SeedSequence(seed).spawn(len(_PARTS))
    rng = {part: np.random.default_rng(s) for part, s in zip(_PARTS, streams, strict=True)}
    size = config.size
    people = draw_population(rng["people"], size, config.behaviour, config.lookalikes)
    plan = _plan(rng["schemes"], people, config)
    partners: Ints = np.flatnonzero(people.lookalike < 0)
    payments = _payments(rng, people, plan, partners, config)
    return Simulation(config, seed, people, plan, payments, rng["accounts"])


def _plan(rng: np.random.Generator, people: Population, config: GeneratorConfig) -> Plan:
    setting = config.laundering
    illicit = round(setting.illicit * config.size.accounts)
    return plan_schemes(rng, people.bank, people.quiet(), setting, illicit)


def _payments(
    rng: dict[str, np.random.Generator],
    people: Population,
    plan: Plan,
    partners: Ints,
    config: GeneratorConfig,
) -> Payments:
    size, setting = config.size, config.laundering
    return in_order(
        stacked([
            *draw_ordinary(rng["ordinary"], people, size, config.behaviour),
            *draw_lookalikes(rng["lookalikes"], people, partners, size, setting.limit),
            launder(rng["laundering"], plan, setting, size.days),
        ])
    )  # fmt: skip
