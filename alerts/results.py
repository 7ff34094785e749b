"""What a joint run gave this bank, as arrays over its own accounts, and how that was before.

Results come as they were stored: one row per account of an analysis.  :func:`align` puts all
analyses of a run onto one list of accounts, so that conditions are comparisons of whole arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alerts.errors import EntryError

__all__ = ["Aligned", "AnalysisValues", "Results", "RunFacts", "align"]


@dataclass(frozen=True)
class RunFacts:
    """What everybody in the consortium knows about a run.

    Attributes:
        run_id: its id. analysis, policy: what was computed and how it was released.
        agreement: hash of the agreement under which it ran; empty for a lab run.
        at: when it was computed, microseconds since 1970 UTC.
        since, until: window of the payments, microseconds; None: open.
    """

    run_id: str
    analysis: str
    policy: str
    agreement: str
    at: int
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class AnalysisValues:
    """The released values of one run.

    Attributes:
        run: facts of the run.
        accounts: own accounts (string), each at most once.
        values: float64 (n,), band number or score of each.
    """

    run: RunFacts
    accounts: pa.Array
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Results:
    """What rules are evaluated on: the newest values of each analysis, and those before.

    Attributes:
        run_id: the run that was just computed; alerts are raised in its name.
        at: when, microseconds since 1970 UTC.
        current: the newest run of each analysis, this one included.
        previous: of each analysis the run before its current one, where there is one.
    """

    run_id: str
    at: int
    current: tuple[AnalysisValues, ...]
    previous: tuple[AnalysisValues, ...] = ()


@dataclass(frozen=True)
class Aligned:
    """Results on one list of accounts.

    Attributes:
        accounts: all accounts with a result (string), sorted.
        values: analysis → float64 (n,), NaN where the account has no result.
        previous: analysis → float64 (n,), 0 where the account had no result then; all NaN where no
            earlier run can be compared.
        runs: analysis → facts of the current run.
        before: analysis → facts of the run before, where there is one to compare with.
    """

    accounts: pa.Array
    values: Mapping[str, NDArray[np.float64]]
    previous: Mapping[str, NDArray[np.float64]]
    runs: Mapping[str, RunFacts]
    before: Mapping[str, RunFacts]


def align(results: Results) -> Aligned:
    """Put all analyses onto one list of accounts.

    A run before under another policy is not compared: band 2 of 4 is not band 2 of 8.
    """
    current = _by_analysis(results.current)
    previous = _by_analysis(results.previous)
    accounts = _all_accounts([part.accounts for part in current.values()])
    comparable = {
        name: part
        for name, part in previous.items()
        if name in current and part.run.policy == current[name].run.policy
    }
    unknown = np.full(len(accounts), np.nan)
    return Aligned(
        accounts=accounts,
        values={name: _spread(part, accounts, np.nan) for name, part in current.items()},
        previous={
            name: _spread(comparable[name], accounts, 0.0) if name in comparable else unknown
            for name in current
        },
        runs={name: part.run for name, part in current.items()},
        before={name: part.run for name, part in comparable.items()},
    )


def _by_analysis(parts: tuple[AnalysisValues, ...]) -> dict[str, AnalysisValues]:
    found: dict[str, AnalysisValues] = {}
    for part in parts:
        name = part.run.analysis
        if name in found:
            raise EntryError(f"two results of {name} are given", "give one run of each analysis")
        if len(part.accounts) != len(part.values):
            raise EntryError(
                f"run {part.run.run_id} has {len(part.accounts)} accounts and"
                f" {len(part.values)} values",
                "give one value for each account",
            )
        found[name] = part
    return found


def _all_accounts(columns: list[pa.Array]) -> pa.Array:
    if not columns:
        return pa.array([], pa.string())
    first, *others = (column.cast(pa.string()) for column in columns)
    if all(column.equals(first) for column in others):  # the usual case: same accounts, sorted
        together = first
    else:
        together = pc.unique(pa.chunked_array([first, *others]))
    order = pc.sort_indices(together)
    return together.take(order)


def _spread(part: AnalysisValues, accounts: pa.Array, missing: float) -> NDArray[np.float64]:
    values = np.asarray(part.values, np.float64)
    own = part.accounts.cast(pa.string())
    if own.equals(accounts):
        return values
    where = pc.index_in(accounts, value_set=own)
    index: NDArray[Any] = pc.fill_null(where, -1).to_numpy(zero_copy_only=False)
    spread = np.full(len(accounts), missing)
    spread[index >= 0] = values[index[index >= 0]]
    return spread
