"""How much joining finds, what each analysis adds, and the weights that the package ships.

``python -m benchmarks.uplift``.  Data sets of a preset are generated; the weights are fitted on
seeds 101 to 103 and judged on others.  Printed: each measure alone and joint as means over the
judged seeds, with 95 % intervals of the difference, the recall of each typology at 2 % alerts, and
an ablation: both scores fitted and judged anew with some of the parts.

*Joint* is computed in plain; with ``--secure`` by the real workers, the ablation is left out, and
printed is too how the secure runs agree with the plain ones and what they cost.

``--fit`` writes the fitted weights to ``simdata/comparison/model.json``.  ``--cross-bank SHARE``
judges data sets with another share of scheme steps that lead to another bank.
"""

import argparse
import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from bank_node.launcher import OnEvent
from simdata.comparison import (
    Comparison,
    Labelled,
    Model,
    compare_worlds,
    fit_on,
    marks_of,
    read_labelled,
    run_secure,
)
from simdata.comparison.agreement import agreements, different_alerts
from simdata.comparison.analyses import ANALYSES, alone, pooled
from simdata.comparison.combining import analysis_signals, fit_weights
from simdata.comparison.local_signals import LOCAL_SIGNALS, local_signals
from simdata.comparison.marking import Marks
from simdata.comparison.measures import average_precision, chosen, curve
from simdata.comparison.payments import Payments
from simdata.generator import build_dataset, find_preset
from simdata.generator.config import check_config, merged

FITTED = (101, 102, 103)
JUDGED = (301, 302, 303, 304, 305)
MODEL = Path(__file__).parent.parent / "simdata" / "comparison" / "model.json"
BUDGETS = (0.01, 0.02, 0.05)

Floats = NDArray[np.float64]
World = Callable[[Labelled, Payments, Marks], dict[str, Floats]]


def judge(comparison: Comparison, world: str) -> dict[str, float]:
    """Return the measures of a world on one data set.

    Recall at the precision alone: the largest recall of any budget whose alerts are right as often
    as those of the banks alone at that budget of the row.
    """
    lone = curve(comparison.data.bank, comparison.score["alone"], comparison.data.labels.illicit)
    data, score = comparison.data, comparison.score[world]
    line = curve(data.bank, score, data.labels.illicit)
    found = {"PR-AUC": average_precision(line), "precision at 20 % recall": line.precision_at(0.2)}
    for budget in BUDGETS:
        alerts = max(1, round(budget * len(data)))
        flagged = chosen(data.bank, score, alerts)
        told = f"at {budget:.0%} alerts"
        found[f"precision {told}"] = float(line.precision[alerts - 1])
        found[f"recall {told}"] = float(line.recall[alerts - 1])
        reference = float(lone.precision[alerts - 1])
        found[f"recall at the precision alone {told}"] = line.recall_at_precision(reference)
        cross = int(np.count_nonzero(flagged & comparison.cross))
        found[f"recall across banks {told}"] = cross / int(np.count_nonzero(comparison.cross))
    return found


def uplift(sets: Sequence[Comparison]) -> None:
    """Print alone, joint (of the secure runs, if there were any) and the difference."""
    print("| | alone | joint | difference |\n|---|---:|---:|---:|")
    rows = [[judge(one, world) for one in sets] for world in ("alone", "secure")]
    for name in rows[0][0]:
        alone, joint = (np.array([one[name] for one in world]) for world in rows)
        print(f"| {name} | {alone.mean():.3f} | {joint.mean():.3f} | {interval(joint - alone)} |")


def typologies(sets: Sequence[Comparison]) -> None:
    """Print the recall of each typology at the middle budget."""
    print("\n| typology | accounts | alone | joint | difference |\n|---|---:|---:|---:|---:|")
    names = np.unique(np.concatenate([s.data.labels.typology[s.data.labels.illicit] for s in sets]))
    for name in names:
        rows, accounts = [], 0
        for one in sets:
            member = one.data.labels.illicit & (one.data.labels.typology == name)
            accounts += int(member.sum())
            alerts = round(BUDGETS[1] * len(one.data))
            rows.append(
                [
                    float(chosen(one.data.bank, one.score[world], alerts)[member].mean())
                    for world in ("alone", "secure")
                ]
            )
        found = np.array(rows)
        means = found.mean(axis=0)
        change = interval(found[:, 1] - found[:, 0])
        print(f"| {name} | {accounts} | {means[0]:.3f} | {means[1]:.3f} | {change} |")


def interval(values: Floats) -> str:
    """Return a mean with its 95 % interval over data sets."""
    if len(values) < 2:
        return f"{values.mean():+.3f}"
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():+.3f} ({values.mean() - half:+.3f} to {values.mean() + half:+.3f})"


def ablation(model: Model, fitted: Sequence[Labelled], judged: Sequence[Labelled]) -> None:
    """Print PR-AUC alone and joint with some of the parts, fitted anew for each."""
    worlds: tuple[World, ...] = (alone, pooled)
    signals = {(id(d), w): signals_of(model, d, w) for d in (*fitted, *judged) for w in worlds}
    choices = {"all": ANALYSES, "local signals only": ()}
    choices |= {f"without {name}": tuple(a for a in ANALYSES if a != name) for name in ANALYSES}
    choices |= {f"local signals and {name}": (name,) for name in ANALYSES}
    print("\n| parts | alone | joint |\n|---|---:|---:|")
    for told, names in choices.items():
        areas = [area(signals, w, names, fitted, judged) for w in worlds]
        print(f"| {told} | {areas[0]:.3f} | {areas[1]:.3f} |")


def area(
    signals: Mapping[tuple[int, World], Floats],
    world: World,
    names: Sequence[str],
    fitted: Sequence[Labelled],
    judged: Sequence[Labelled],
) -> float:
    """Return the mean PR-AUC of a score of local signals and the analyses ``names``."""
    columns = [
        *range(len(LOCAL_SIGNALS)),
        *(len(LOCAL_SIGNALS) + ANALYSES.index(name) for name in names),
    ]
    weights = fit_weights(
        (*LOCAL_SIGNALS, *names),
        np.concatenate([signals[id(data), world][:, columns] for data in fitted]),
        np.concatenate([data.labels.illicit for data in fitted]),
    )
    areas = []
    for data in judged:
        score = weights.probability(signals[id(data), world][:, columns])
        areas.append(average_precision(curve(data.bank, score, data.labels.illicit)))
    return float(np.mean(areas))


def signals_of(model: Model, data: Labelled, world: World) -> Floats:
    """Return local signals and the analyses of a world, (n, signals)."""
    marks = marks_of(data, model, data.payments)
    found = analysis_signals(world(data, data.payments, marks))
    return np.concatenate([local_signals(data, data.payments), found], axis=1)


def compared(data: Labelled, model: Model) -> Comparison:
    """Return the worlds in plain: pooled in the secure one's place, which it equals."""
    marks = marks_of(data, model, data.payments)
    return compare_worlds(data, model, marks, pooled(data, data.payments, marks))


def compared_securely(folder: Path, data: Labelled, model: Model) -> Comparison:
    """Return the worlds, joint by the real workers; print how they agree and what they cost."""
    marks = marks_of(data, model, data.payments)
    runs = asyncio.run(run_secure(folder, data, marks, _unheard))
    comparison = compare_worlds(data, model, marks, runs.results)
    plain = comparison.results["pooled"]
    for found in agreements(data, marks, runs.results, plain, runs.records):
        record = runs.records[found.analysis]
        sent = sum(bank["all_with_framing"] for bank in record["bytes_sent"].values())
        print(
            f"{data.dataset.name}, {found.analysis}: {found.used:.3f} of the bound used,"
            f" {record['seconds']['total']:.0f} s, {sent / 1e9:.1f} GB sent",
            flush=True,
        )
    counts = [different_alerts(comparison, max(1, round(budget * len(data)))) for budget in BUDGETS]
    print(f"{data.dataset.name}: alerts that differ at each budget: {counts}", flush=True)
    return comparison


@contextlib.contextmanager
def _unheard(_analysis: str) -> Iterator[OnEvent]:
    yield lambda _party, _event: None


def main() -> None:
    """Generate, fit, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(JUDGED))
    parser.add_argument("--fit", action="store_true", help="write the weights into the package")
    parser.add_argument("--cross-bank", type=float, help="share of steps to another bank")
    parser.add_argument("--secure", action="store_true", help="joint by the real workers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="undercurrent-bench-") as folder:
        fitted = [read_labelled(generated(Path(folder), options.preset, s)) for s in FITTED]
        places = [
            generated(Path(folder), options.preset, seed, options.cross_bank)
            for seed in options.seeds
        ]
        judged = [read_labelled(place) for place in places]
        model = fit_on(fitted)
        if options.fit:
            MODEL.write_text(model.to_json(), "utf-8")
        if options.secure:
            pairs = zip(places, judged, strict=True)
            sets = [compared_securely(place, data, model) for place, data in pairs]
        else:
            sets = [compared(data, model) for data in judged]
        uplift(sets)
        typologies(sets)
        if not options.secure:
            ablation(model, fitted, judged)


def generated(folder: Path, preset: str, seed: int, cross_bank: float | None = None) -> Path:
    """Generate a data set and return its folder."""
    place = folder / f"{preset}-{seed}"
    config = find_preset(preset)
    if cross_bank is not None:
        changed = {"laundering": {"cross_bank": cross_bank}}
        config = check_config(merged(config.model_dump(exclude_none=True), changed))
    build_dataset(place, config, seed)
    return place


if __name__ == "__main__":
    main()
