"""How much joining finds, what each analysis adds, and the weights that the package ships.

``python -m benchmarks.uplift``.  Data sets of a preset are generated; the weights are fitted on
seeds 101 to 103 and judged on others, in plain (the secure run equals it: ``lab compare``).
Printed: each measure alone and joint as means over the judged seeds, with 95 % intervals of the
difference, and an ablation: the joint score fitted and judged anew without one of its parts.

``--fit`` writes the fitted weights to ``simdata/comparison/model.json``.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from simdata.comparison import (
    Comparison,
    Labelled,
    Model,
    compare_worlds,
    fit_on,
    marks_of,
    read_labelled,
)
from simdata.comparison.analyses import ANALYSES, pooled
from simdata.comparison.combining import analysis_signals, fit_weights
from simdata.comparison.local_signals import LOCAL_SIGNALS, local_signals
from simdata.comparison.measures import average_precision, chosen, curve
from simdata.generator import build_dataset, find_preset

FITTED = (101, 102, 103)
MODEL = Path(__file__).parent.parent / "simdata" / "comparison" / "model.json"
BUDGETS = (0.01, 0.02, 0.05)

Floats = NDArray[np.float64]


def judge(comparison: Comparison, world: str) -> dict[str, float]:
    """Return the measures of a world on one data set."""
    data, score = comparison.data, comparison.score[world]
    line = curve(data.bank, score, data.labels.illicit)
    found = {"PR-AUC": average_precision(line), "precision at 20 % recall": line.precision_at(0.2)}
    for budget in BUDGETS:
        alerts = max(1, round(budget * len(data)))
        flagged = chosen(data.bank, score, alerts)
        told = f"at {budget:.0%} alerts"
        found[f"precision {told}"] = float(line.precision[alerts - 1])
        found[f"recall {told}"] = float(line.recall[alerts - 1])
        cross = int(np.count_nonzero(flagged & comparison.cross))
        found[f"recall across banks {told}"] = cross / int(np.count_nonzero(comparison.cross))
    return found


def uplift(sets: Sequence[Comparison]) -> None:
    """Print alone, joint and the difference with its interval."""
    print("| | alone | joint | difference |\n|---|---:|---:|---:|")
    rows = [[judge(one, world) for one in sets] for world in ("alone", "pooled")]
    for name in rows[0][0]:
        alone, joint = (np.array([one[name] for one in world]) for world in rows)
        print(f"| {name} | {alone.mean():.3f} | {joint.mean():.3f} | {interval(joint - alone)} |")


def interval(values: Floats) -> str:
    """Return a mean with its 95 % interval over data sets."""
    if len(values) < 2:
        return f"{values.mean():+.3f}"
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():+.3f} ({values.mean() - half:+.3f} to {values.mean() + half:+.3f})"


def ablation(model: Model, fitted: Sequence[Labelled], judged: Sequence[Labelled]) -> None:
    """Print the joint PR-AUC with some of the parts, fitted anew for each."""
    results = {id(data): signals_of(model, data) for data in (*fitted, *judged)}
    choices = {"all": ANALYSES, "local signals only": ()}
    choices |= {f"without {name}": tuple(a for a in ANALYSES if a != name) for name in ANALYSES}
    choices |= {f"local signals and {name}": (name,) for name in ANALYSES}
    print("\n| parts | PR-AUC |\n|---|---:|")
    for told, names in choices.items():
        columns = [
            *range(len(LOCAL_SIGNALS)),
            *(len(LOCAL_SIGNALS) + ANALYSES.index(n) for n in names),
        ]
        weights = fit_weights(
            (*LOCAL_SIGNALS, *names),
            np.concatenate([results[id(data)][:, columns] for data in fitted]),
            np.concatenate([data.labels.illicit for data in fitted]),
        )
        areas = [
            average_precision(
                curve(
                    data.bank,
                    weights.probability(results[id(data)][:, columns]),
                    data.labels.illicit,
                )
            )
            for data in judged
        ]
        print(f"| {told} | {np.mean(areas):.3f} |")


def signals_of(model: Model, data: Labelled) -> Floats:
    """Return local signals and joint analyses, (n, signals)."""
    marks = marks_of(data, model, data.payments)
    found = analysis_signals(pooled(data, data.payments, marks))
    return np.concatenate([local_signals(data, data.payments), found], axis=1)


def compared(data: Labelled, model: Model) -> Comparison:
    """Return the worlds in plain."""
    marks = marks_of(data, model, data.payments)
    return compare_worlds(data, model, marks, pooled(data, data.payments, marks))


def main() -> None:
    """Generate, fit, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--seeds", type=int, nargs="+", default=[201, 202, 203, 204, 205])
    parser.add_argument("--fit", action="store_true", help="write the weights into the package")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="undercurrent-bench-") as folder:
        fitted, judged = (
            [generated(Path(folder), options.preset, seed) for seed in seeds]
            for seeds in (FITTED, options.seeds)
        )
        model = fit_on(fitted)
        if options.fit:
            MODEL.write_text(model.to_json(), "utf-8")
        uplift([compared(data, model) for data in judged])
        ablation(model, fitted, judged)


def generated(folder: Path, preset: str, seed: int) -> Labelled:
    """Generate a data set and read it."""
    place = folder / f"{preset}-{seed}"
    build_dataset(place, find_preset(preset), seed)
    return read_labelled(place)


if __name__ == "__main__":
    main()
