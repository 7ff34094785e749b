"""How much a bank learns about other banks' private risk scores from its own released results.

One slice and one iteration of risk propagation give account i the result

    r_i = (1 - delta) s_i + delta (sum_j a_ji s_j) / (sum_j a_ji),

and (1 - delta) s_i if it received nothing.  The attacker is a bank that follows the protocol and
then calculates.  It knows the payments that touch its accounts (amounts, and the payers' accounts
at other banks), its own scores, and what the policy released of r_i for its own accounts.  Its
unknowns are the scores of its *external senders*: accounts at other banks that paid one of its own.
Each own account with an external sender gives one row  low <= sum_j w_j s_j <= high,  where w adds
up to 1 and low = high under the policy ``exact``.

- *determined* (``exact`` only): the equations alone give the score.
- *interval*: the smallest and largest score that the rows and 0 <= s <= 1 allow.  Of the senders
  that need linear programmes for it at most ``programmes`` of each bank, drawn at random, get them;
  means, shares and quantiles weigh these for the ones not drawn (``simdata.unknowns``).

The *in-degree of a sender* is the number of external senders of the account it paid that has the
fewest of them: of the row that says most about it.  Source of the analysis: van Egmond et al.,
*Privacy-preserving anti-money laundering using secure multi-party computation*, FC 2024.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from graph_mpc.policy import Policy
from simdata.unknowns import determined, score_intervals

__all__ = [
    "LAST_GROUP",
    "Exposure",
    "Group",
    "ScoredGraph",
    "Scores",
    "measure",
    "random_graph",
    "released_range",
]

Scores = Literal["uniform", "skewed"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LAST_GROUP = 5
"""Senders with this in-degree or more form the last group."""


@dataclass(frozen=True)
class ScoredGraph:
    """All payments that count, with the scores that the banks keep to themselves.

    Attributes:
        bank: int64 (n,), index of each account's bank.
        score: float64 (n,), private risk score in [0, 1].
        source: int64 (e,), paying account of each edge.
        target: int64 (e,), receiving account of each edge.
        weight: float64 (e,), amount, above 0.
        run: int64 (e,), which of several runs on the same scores the edge belongs to.
    """

    bank: Ints
    score: Floats
    source: Ints
    target: Ints
    weight: Floats
    run: Ints


@dataclass(frozen=True)
class Group:
    """The senders of one in-degree (the last group: that many or more)."""

    in_degree: int
    senders: int
    determined: float | None
    pinned: float | None
    mean_width: float | None


@dataclass(frozen=True)
class Exposure:
    """What one policy gives away, over all banks; each (bank, external sender) counts once.

    Attributes:
        policy: as on the command line.
        senders: number of (bank, external sender) pairs.
        intervals: number of them whose interval was calculated; the rest was not drawn.
        unsolved: bounds that the solver gave up on; they are too wide, so the shares too low.
        determined: share whose score the equations alone give; None unless the policy is exact.
        pinned: share whose interval is narrower than the bound asked for.
        narrow: share whose interval is narrower than a tenth of [0, 1].
        halved: share whose interval is narrower than half of it.
        mean_width: mean width of the intervals.
        quantiles: widths at 10, 50 and 90 %.
        groups: the same by in-degree.

    Without any external sender shares and widths are None.
    """

    policy: str
    senders: int
    intervals: int
    unsolved: int
    determined: float | None
    pinned: float | None
    narrow: float | None
    halved: float | None
    mean_width: float | None
    quantiles: tuple[float, float, float] | None
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class _View:
    """One bank's rows: ``result = known + gain * (weights @ scores)``; rows of weights sum to 1."""

    senders: Ints
    weights: sp.csr_array
    known: Floats
    gain: Floats


@dataclass(frozen=True)
class _Found:
    """Per sender of one view: what is known of it, and for how many senders it stands (0: none)."""

    in_degree: Ints
    determined: Bools
    width: Floats
    share: Floats
    unsolved: int


def random_graph(
    accounts: int,
    banks: int,
    in_degree: float,
    rng: np.random.Generator,
    *,
    scores: Scores = "uniform",
    runs: int = 1,
) -> ScoredGraph:
    """Draw payments and scores.

    Each account receives from a Poisson(in_degree) number of distinct other accounts; amounts are
    log-normal (sigma 1); accounts go round the banks.  ``skewed`` scores are Beta(1, 9): the mean
    is 0.1 and one in ten thousand lies above 0.64.  Several runs have the same scores and payments
    of their own.
    """
    number = np.minimum(rng.poisson(in_degree, runs * accounts), accounts - 1)
    row = np.repeat(np.arange(runs * accounts), number)
    source = _distinct_senders(row, accounts, rng)
    score = rng.random(accounts) if scores == "uniform" else rng.beta(1.0, 9.0, accounts)
    return ScoredGraph(
        bank=np.arange(accounts) % banks,
        score=score,
        source=source,
        target=row % accounts,
        weight=rng.lognormal(0.0, 1.0, len(row)),
        run=row // accounts,
    )


def _distinct_senders(row: Ints, accounts: int, rng: np.random.Generator) -> Ints:
    """Return a sender for each edge, never the receiver and never twice in a row."""
    source = rng.integers(0, accounts, len(row))
    while True:
        keep = np.zeros(len(row), np.bool_)
        keep[np.unique(row * accounts + source, return_index=True)[1]] = True
        again = np.flatnonzero(~keep | (source == row % accounts))
        if len(again) == 0:
            return source
        source[again] = rng.integers(0, accounts, len(again))


def measure(
    graph: ScoredGraph,
    policies: Sequence[Policy],
    delta: float,
    rng: np.random.Generator,
    *,
    pinned_below: float = 0.01,
    programmes: int = 100,
) -> list[Exposure]:
    """Measure what each policy gives away about external senders, over all banks.

    Args:
        graph: payments and scores.
        policies: the output policies to compare.
        delta: weight of what was received, above 0 and at most 1.
        rng: draws the senders that get linear programmes.
        pinned_below: a score is pinned if its interval is narrower.
        programmes: most senders of each bank and policy that get linear programmes.
    """
    views = [_view(graph, bank, delta) for bank in np.unique(graph.bank)]
    views = [view for view in views if len(view.senders)]
    exact = [determined(view.weights) for view in views]
    exposures = []
    for policy in policies:
        found = [
            _attack(view, known, policy, graph.score, rng, programmes)
            for view, known in zip(views, exact, strict=True)
        ]
        exposures.append(_summarise(policy, found, pinned_below))
    return exposures


def _view(graph: ScoredGraph, bank: int, delta: float) -> _View:
    mine = graph.bank[graph.target] == bank
    source, target, weight = graph.source[mine], graph.target[mine], graph.weight[mine]
    keys, row = np.unique(graph.run[mine] * len(graph.bank) + target, return_inverse=True)
    external = graph.bank[source] != bank
    total = np.bincount(row, weight, len(keys))
    outer = np.bincount(row[external], weight[external], len(keys))
    inner = np.bincount(row[~external], (weight * graph.score[source])[~external], len(keys))
    senders, column = np.unique(source[external], return_inverse=True)
    entries = (weight[external] / outer[row[external]], (row[external], column))
    used = outer > 0
    known = (1 - delta) * graph.score[keys % len(graph.bank)] + delta * inner / total
    return _View(
        senders=senders,
        weights=sp.csr_array(entries, shape=(len(keys), len(senders)))[used],
        known=known[used],
        gain=(delta * outer / total)[used],
    )


def _attack(
    view: _View,
    exact: Bools,
    policy: Policy,
    score: Floats,
    rng: np.random.Generator,
    programmes: int,
) -> _Found:
    truth = score[view.senders]
    mean = view.weights @ truth
    box = np.zeros(len(truth)), np.ones(len(truth))
    if policy.name == "exact":
        low = high = mean
        box = np.where(exact, truth, 0.0), np.where(exact, truth, 1.0)
    else:
        below, above = released_range(policy, view.known + view.gain * mean)
        low, high = (below - view.known) / view.gain, (above - view.known) / view.gain
    found = score_intervals(view.weights, low, high, box, rng, programmes)
    width = found.most - found.least
    return _Found(_in_degree(view.weights), exact, width, found.share, found.unsolved)


def _in_degree(weights: sp.csr_array) -> Ints:
    size = np.diff(weights.indptr)
    smallest = np.full(weights.shape[1], np.iinfo(np.int64).max)
    np.minimum.at(smallest, weights.indices, np.repeat(size, size))
    return smallest


def released_range(policy: Policy, result: Floats) -> tuple[Floats, Floats]:
    """Return the smallest and largest value that look like each result, float64 (n,) each."""
    if policy.name == "exact":
        return result, result
    edges = np.array([0.0, *policy.borders, 1.0])
    band = np.searchsorted(np.asarray(policy.borders), result, side="right")
    low, high = edges[band], edges[band + 1]
    if policy.step is None:
        return low, high
    rounded = np.floor(result / policy.step + 0.5)
    above = band > 0
    return (
        np.where(above, np.maximum(low, (rounded - 0.5) * policy.step), low),
        np.where(above, np.minimum(high, (rounded + 0.5) * policy.step), high),
    )


def _summarise(policy: Policy, found: Sequence[_Found], pinned_below: float) -> Exposure:
    width = np.concatenate([np.zeros(0), *(f.width for f in found)])
    share = np.concatenate([np.zeros(0), *(f.share for f in found)])
    in_degree = np.concatenate([np.zeros(0, np.int64), *(f.in_degree for f in found)])
    solved = np.concatenate([np.zeros(0, np.bool_), *(f.determined for f in found)])
    group = np.minimum(in_degree, LAST_GROUP)
    is_exact = policy.name == "exact"
    return Exposure(
        policy=policy.text,
        senders=len(width),
        intervals=int(np.count_nonzero(share)),
        unsolved=sum(f.unsolved for f in found),
        determined=_mean(solved) if is_exact else None,
        pinned=_mean(width < pinned_below, share),
        narrow=_mean(width < 0.1, share),
        halved=_mean(width < 0.5, share),
        mean_width=_mean(width, share),
        quantiles=_quantiles(width, share),
        groups=tuple(
            Group(
                in_degree=int(size),
                senders=int(np.count_nonzero(group == size)),
                determined=_mean(solved[group == size]) if is_exact else None,
                pinned=_mean((width < pinned_below)[group == size], share[group == size]),
                mean_width=_mean(width[group == size], share[group == size]),
            )
            for size in np.unique(group)
        ),
    )


def _mean(values: NDArray[Any], share: Floats | None = None) -> float | None:
    """Return the weighted mean; None if there is nothing to average."""
    share = np.ones(len(values)) if share is None else share
    total = share.sum()
    return float(share @ values / total) if total > 0 else None


def _quantiles(width: Floats, share: Floats) -> tuple[float, float, float] | None:
    """Return the widths below which 10, 50 and 90 % of the senders lie."""
    if not share.any():
        return None
    order = np.argsort(width)
    reached = np.cumsum(share[order]) / share.sum()
    places = np.searchsorted(reached, (0.1, 0.5, 0.9))
    low, middle, high = width[order][np.minimum(places, len(width) - 1)]
    return float(low), float(middle), float(high)
