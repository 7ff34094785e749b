"""What results give away about other banks' scores: the figures of ``docs/choosing-bands.md``.

Random graphs of 1,500 accounts over 3 banks, mean of ``--seeds`` seeds; the figures depend on the
seeds and not on the machine::

    python -m benchmarks.identifiability [--table bands] [--seeds 3] [--programmes 60] [--json]
"""

import argparse
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from graph_mpc.policy import Policy, parse_policy
from simdata.identifiability import Exposure, Scores, measure, random_graph

ACCOUNTS, BANKS = 1500, 3
DEGREES = (1, 2, 4, 8)
BANDS = (2, 4, 8, 16, 32)
DELTAS = (0.1, 0.3, 0.5, 1.0)
RUNS = (1, 3, 10)
TABLES = ("exact", "bands", "skewed", "runs", "threshold")
THRESHOLDS = ("threshold:0.5:0.05", "threshold:0.8:0.05", "threshold:0.8:0.2")


@dataclass(frozen=True)
class Case:
    """One line of a table."""

    table: str
    policy: Policy
    degree: float
    delta: float = 0.3
    scores: Scores = "uniform"
    runs: int = 1


def equal_bands(number: int) -> Policy:
    """Return the policy of so many bands of one width."""
    return parse_policy("bands:" + ",".join(repr(i / number) for i in range(1, number)))


def cases() -> list[Case]:
    """Return all lines of all tables."""
    exact, usual = parse_policy("exact"), parse_policy("bands:0.2,0.5,0.8")
    rows = [Case("exact", exact, d, scores=s) for s in ("uniform", "skewed") for d in DEGREES]
    rows += [
        Case("bands", equal_bands(b), d, delta) for delta in DELTAS for b in BANDS for d in DEGREES
    ]
    rows += [Case("bands", usual, d) for d in DEGREES]
    rows += [Case("skewed", equal_bands(b), d, scores="skewed") for b in BANDS for d in DEGREES]
    rows += [Case("skewed", usual, d, scores="skewed") for d in DEGREES]
    rows += [Case("runs", equal_bands(b), 2, runs=r) for b in (4, 8, 16, 32) for r in RUNS]
    rows += [Case("runs", p, 2, runs=r) for p in (exact, usual) for r in RUNS]
    policies = [parse_policy(text) for text in THRESHOLDS]
    return rows + [
        Case("threshold", p, d, scores=s)
        for s in ("uniform", "skewed")
        for p in policies
        for d in DEGREES
    ]


def line(case: Case, seeds: int, programmes: int) -> dict[str, Any]:
    """Measure a case with each seed and return the means."""
    found = [_measure(case, seed, programmes) for seed in range(1, seeds + 1)]
    return {
        "table": case.table,
        "policy": _short(case.policy),
        "in_degree": case.degree,
        "delta": case.delta,
        "scores": case.scores,
        "runs": case.runs,
        "senders": sum(e.senders for e in found),
        "intervals": sum(e.intervals for e in found),
        "unsolved": sum(e.unsolved for e in found),
        "determined": _mean([e.determined for e in found]),
        "pinned": _mean([e.pinned for e in found]),
        "narrow": _mean([e.narrow for e in found]),
        "halved": _mean([e.halved for e in found]),
        "mean_width": _mean([e.mean_width for e in found]),
    }


def _short(policy: Policy) -> str:
    """Return the policy's text, or the number of its bands if they are of one width."""
    if policy.name != "bands":
        return policy.text
    number = len(policy.borders) + 1
    return f"{number} equal bands" if policy == equal_bands(number) else policy.text


def _measure(case: Case, seed: int, programmes: int) -> Exposure:
    graph = random_graph(
        ACCOUNTS,
        BANKS,
        case.degree,
        np.random.default_rng([seed, 0]),
        scores=case.scores,
        runs=case.runs,
    )
    rng = np.random.default_rng([seed, 1])
    return measure(graph, [case.policy], case.delta, rng, programmes=programmes)[0]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def main() -> None:
    """Print one row for each case as it is measured: a Markdown table, or JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", choices=TABLES, action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--programmes", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    headed = options.json
    for case in cases():
        if case.table not in (options.table or TABLES):
            continue
        row = line(case, options.seeds, options.programmes)
        if not headed:
            print("| " + " | ".join(row) + " |\n" + "|" + "---|" * len(row))
            headed = True
        text = json.dumps(row) if options.json else f"| {' | '.join(map(_text, row.values()))} |"
        print(text, flush=True)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
