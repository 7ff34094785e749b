"""Evaluating rules over the results of a run, for all accounts at once.

A rule first makes a mask over all accounts from its joint conditions, by comparisons of whole
arrays; the bank's own payments are asked for the survivors only.  The hits are then grouped by
customer: one customer, one alert of a rule, with its accounts from the most to the least telling.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from alerts.local_view import LocalView, require_own
from alerts.results import Aligned
from alerts.rules import Joint, Rule

__all__ = ["TOLERANCE", "Hits", "find_hits", "matching_rows", "rule_window", "subjects_of"]

TOLERANCE = 1e-9
"""How far a difference of two values may miss a bound: 0.95 - 0.85 is a little less than 0.1."""
_AMOUNTS = frozenset({"inflow", "outflow"})


@dataclass(frozen=True)
class Hits:
    """Accounts for which a rule holds, grouped by customer.

    Rows are sorted by subject, then from the most to the least telling account: more conditions
    held, then the higher value of the leading analysis, then by account.

    Attributes:
        rule: the rule.
        row: int64 (m,), row of each account in ``Aligned.accounts``.
        held: int64 (m,), number of joint conditions that hold.
        lead: int64 (m,), number of the first joint condition that holds.
        subjects: subject of each group (string, (g,)), sorted.
        start: int64 (g + 1,), group j is rows start[j] to start[j + 1].
    """

    rule: Rule
    row: NDArray[np.int64]
    held: NDArray[np.int64]
    lead: NDArray[np.int64]
    subjects: Sequence[str]
    start: NDArray[np.int64]


def find_hits(rule: Rule, data: Aligned, view: LocalView) -> Hits:
    """Find the accounts for which ``rule`` holds, grouped by customer."""
    row, holds = matching_rows(rule, data, view)
    return _grouped(rule, data, view, row, holds)


def matching_rows(
    rule: Rule, data: Aligned, view: LocalView
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows (m,) for which ``rule`` holds, and which joint conditions do (conditions, m).

    Raises:
        ForeignAccount: one of the accounts found is not the bank's own.
    """
    holds = np.stack([_holds(condition, data) for condition in rule.joint])
    row = np.flatnonzero(holds.sum(axis=0) >= rule.enough)
    require_own(view, data.accounts.take(pa.array(row)), f"a result for rule {rule.name}")
    keep = _local(rule, data, view, row)
    return row[keep], holds[:, row[keep]]


def _holds(condition: Joint, data: Aligned) -> NDArray[np.bool_]:
    """Where a joint condition holds; NaN, which is no result, holds nowhere."""
    if condition.analysis not in data.values:
        return np.zeros(len(data.accounts), np.bool_)
    value = data.values[condition.analysis]
    mask = ~np.isnan(value)
    if condition.reached is not None:
        mask &= value >= condition.reached
    if condition.rise is not None:
        mask &= value - data.previous[condition.analysis] >= condition.rise - TOLERANCE
    return mask


def rule_window(rule: Rule, data: Aligned) -> tuple[int | None, int | None]:
    """Return the window of the payments behind a rule: that of its first analysis with a result."""
    for condition in rule.joint:
        if condition.analysis in data.runs:
            run = data.runs[condition.analysis]
            return run.since, run.until
    return None, None


def _local(rule: Rule, data: Aligned, view: LocalView, row: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.ones(len(row), np.bool_)
    if not rule.local or not len(row):
        return mask
    metrics = view.metrics(data.accounts.take(pa.array(row)), *rule_window(rule, data))
    for condition in rule.local:
        value = metrics[condition.metric].to_numpy().astype(np.float64)
        if condition.metric in _AMOUNTS:
            value = value / 10.0**view.decimals
        mask &= (condition.min is None or value >= condition.min) & (
            condition.max is None or value <= condition.max
        )
    return mask


def subjects_of(view: LocalView, accounts: pa.Array) -> pa.Array:
    """Return whom each account's alerts are about: its customer, or the account itself."""
    customers = view.customers(accounts).cast(pa.string())
    named = pc.binary_join_element_wise("customer:", customers, "")
    alone = pc.binary_join_element_wise("account:", accounts.cast(pa.string()), "")
    return pc.coalesce(named, alone)


def _grouped(
    rule: Rule,
    data: Aligned,
    view: LocalView,
    row: NDArray[np.int64],
    holds: NDArray[np.bool_],
) -> Hits:
    accounts = data.accounts.take(pa.array(row))
    coded = subjects_of(view, accounts).dictionary_encode()
    rank = np.empty(len(coded.dictionary), np.int64)
    by_name = pc.sort_indices(coded.dictionary).to_numpy()
    rank[by_name] = np.arange(len(rank))
    group = rank[coded.indices.to_numpy()] if len(row) else np.zeros(0, np.int64)
    held, lead = holds.sum(axis=0), np.argmax(holds, axis=0) if len(row) else row
    order = np.lexsort((row, -_lead_values(rule, data, row, lead), -held, group))
    return Hits(
        rule=rule,
        row=row[order],
        held=held[order].astype(np.int64),
        lead=lead[order].astype(np.int64),
        subjects=coded.dictionary.take(pa.array(by_name)).to_pylist(),
        start=np.searchsorted(group[order], np.arange(len(rank) + 1)),
    )


def _lead_values(
    rule: Rule, data: Aligned, row: NDArray[np.int64], lead: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Value of each account in the analysis of its leading condition."""
    value = np.zeros(len(row))
    for number, condition in enumerate(rule.joint):
        chosen = lead == number
        if condition.analysis in data.values:
            value[chosen] = data.values[condition.analysis][row[chosen]]
    return value
