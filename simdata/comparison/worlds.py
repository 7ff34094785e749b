"""The worlds side by side on one data set: a score of every account in each, from the same marks.

- *signals*: what each bank knows of its accounts, no analysis of the graph;
- *alone*: with the analyses over what each bank sees;
- *secure*: with the analyses of the secure joint run;
- *pooled*: with the same analyses in plain over all payments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simdata.comparison.analyses import alone, pooled
from simdata.comparison.combining import (
    Model,
    TrainingSet,
    Weights,
    analysis_signals,
    fit_model,
    fit_weights,
)
from simdata.comparison.local_signals import LOCAL_SIGNALS, local_signals
from simdata.comparison.marking import Marks, mark
from simdata.comparison.payments import (
    Labelled,
    Payments,
    between_banks,
    listed_payments,
)

__all__ = ["WORLDS", "Comparison", "compare_worlds", "cross_bank_accounts", "fit_on", "marks_of"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

WORLDS = ("signals", "alone", "secure", "pooled")


@dataclass(frozen=True)
class Comparison:
    """One data set in all worlds.

    Attributes:
        data: the data set.
        marks: what the banks put in.
        results: for each of alone, secure and pooled the results of the analyses, (n,) each.
        score: for each world the score of each account, (n,).
        cross: bool (n,), illicit accounts with a scheme payment to or from another bank.
    """

    data: Labelled
    marks: Marks
    results: Mapping[str, Mapping[str, Floats]]
    score: Mapping[str, Floats]
    cross: Bools


def compare_worlds(
    data: Labelled, model: Model, marks: Marks, secure: Mapping[str, Floats]
) -> Comparison:
    """Return the worlds, given the results of the secure runs with the same marks."""
    signals = local_signals(data, data.payments)
    results = {
        "alone": alone(data, data.payments, marks),
        "secure": secure,
        "pooled": pooled(data, data.payments, marks),
    }
    score = {"signals": model.local.probability(signals)} | {
        world: _weights(model, world).probability(
            np.concatenate([signals, analysis_signals(found)], axis=1)
        )
        for world, found in results.items()
    }
    return Comparison(data, marks, results, score, cross_bank_accounts(data))


def marks_of(data: Labelled, model: Model, payments: Payments) -> Marks:
    """Return what the banks put into the analyses, from some of the payments."""
    return mark(data, model.local.probability(local_signals(data, payments)))


def cross_bank_accounts(data: Labelled) -> Bools:
    """Return the illicit accounts with a laundering payment over a border of banks, (n,).

    Where the data set lists no laundering payments, those between two illicit accounts count.
    """
    illicit = data.labels.illicit
    crossing = between_banks(data)
    ends = data.payments.source, data.payments.target
    scheme = listed_payments(data)
    if scheme is None:
        scheme = illicit[ends[0]] & illicit[ends[1]]
    touched = np.zeros(len(data), np.bool_)
    for end in ends:
        touched[end[crossing & scheme]] = True
    return touched & illicit


def _training_set(data: Labelled, local: Weights) -> TrainingSet:
    """Return a data set's signals, alone and joint, to fit on; joint is pooled, which it equals."""
    signals = local_signals(data, data.payments)
    marks = mark(data, local.probability(signals))
    both = [
        np.concatenate([signals, analysis_signals(world(data, data.payments, marks))], axis=1)
        for world in (alone, pooled)
    ]
    return TrainingSet(both[0], both[1], data.labels.illicit)


def fit_on(sets: Sequence[Labelled]) -> Model:
    """Fit a model on data sets that no comparison with it should be judged on."""
    signals = [local_signals(data, data.payments) for data in sets]
    illicit = np.concatenate([data.labels.illicit for data in sets])
    local = fit_weights(LOCAL_SIGNALS, np.concatenate(signals), illicit)
    names = [data.dataset.name for data in sets]
    return fit_model(names, local, [_training_set(data, local) for data in sets])


def _weights(model: Model, world: str) -> Weights:
    return model.alone if world == "alone" else model.joint
