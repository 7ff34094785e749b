"""One score of many signals: a logistic regression with ridge, fitted on other data sets.

The score of an account is the sum of its signals, each less its mean and divided by its deviation
on the data sets of the fit, times a weight.  The weights of the graph analyses are never negative:
a result may raise an alert, not excuse one.  Three scores are fitted:

- *local*: local signals only; what a bank puts into the analyses comes from it;
- *alone*: local signals and the analyses over what each bank sees;
- *joint*: local signals and the analyses over all payments.

Fitting *alone* on its own is what makes it a fair baseline: it weighs its analyses by what they are
worth to a bank alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from bank_node.errors import ParameterError
from simdata.comparison.analyses import ANALYSES, PAGERANKS
from simdata.comparison.local_signals import LOCAL_SIGNALS

__all__ = [
    "Model",
    "Weights",
    "analysis_signals",
    "fit_model",
    "fit_weights",
    "load_model",
    "shipped_model",
]

Floats = NDArray[np.float64]
_RIDGE = 1.0


@dataclass(frozen=True)
class Weights:
    """A fitted score.

    Attributes:
        names: the signals.
        mean: of each signal in the fit. deviation: the same.
        weight: of each signal, in deviations.
        constant: what is added; it makes probabilities of the fit's data sets.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weight: tuple[float, ...]
    constant: float

    def probability(self, signals: Floats) -> Floats:
        """Return the score of each account in (0, 1), given (n, number of names)."""
        scaled = (signals - np.array(self.mean)) / np.array(self.deviation)
        return np.asarray(expit(scaled @ np.array(self.weight) + self.constant), np.float64)


@dataclass(frozen=True)
class Model:
    """The three scores, and the names of the data sets that they were fitted on."""

    fitted_on: tuple[str, ...]
    local: Weights
    alone: Weights
    joint: Weights

    def to_json(self) -> str:
        """Return it as text that ``load_model`` reads."""
        return json.dumps(asdict(self), indent=1) + "\n"


def analysis_signals(results: Mapping[str, Floats], names: Sequence[str] = ANALYSES) -> Floats:
    """Return the analyses' results as signals, (n, number of names).

    PageRank is taken as the logarithm of its multiple of the mean, cut below at a thousandth.
    """
    n = len(next(iter(results.values())))
    columns = [
        np.log(results[name] * n + 1e-3) if name in PAGERANKS else results[name] for name in names
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0))


def fit_weights(names: Sequence[str], signals: Floats, illicit: NDArray[np.bool_]) -> Weights:
    """Fit a score to labels.

    Args:
        names: of the signals; those of the graph analyses get no negative weight.
        signals: float64 (n, number of names).
        illicit: bool (n,).
    """
    mean, deviation = signals.mean(axis=0), signals.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    scaled = np.column_stack([(signals - mean) / deviation, np.ones(len(signals))])
    truth = illicit.astype(np.float64)

    def loss(weight: Floats) -> tuple[float, Floats]:
        value = scaled @ weight
        kept = np.append(weight[:-1], 0.0)
        lost = float((np.logaddexp(0.0, value) - truth * value).sum() + _RIDGE / 2 * kept @ kept)
        return lost, scaled.T @ (expit(value) - truth) + _RIDGE * kept

    bounds = [(0.0 if name in ANALYSES else None, None) for name in names] + [(None, None)]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B")
    *weight, constant = (float(w) for w in found.x)
    return Weights(
        tuple(names), tuple(map(float, mean)), tuple(map(float, deviation)), tuple(weight), constant
    )


def fit_model(fitted_on: Sequence[str], local: Weights, sets: Sequence["TrainingSet"]) -> Model:
    """Fit the scores that use analyses, given the local one that their inputs came from."""
    names = (*LOCAL_SIGNALS, *ANALYSES)
    illicit = np.concatenate([one.illicit for one in sets])
    alone, joint = (
        fit_weights(names, np.concatenate([getattr(one, world) for one in sets]), illicit)
        for world in ("alone", "joint")
    )
    return Model(tuple(fitted_on), local, alone, joint)


@dataclass(frozen=True)
class TrainingSet:
    """A data set to fit on: signals alone and joint, (n, signals), and who is illicit, (n,)."""

    alone: Floats
    joint: Floats
    illicit: NDArray[np.bool_]


def load_model(path: Path) -> Model:
    """Read a model that ``Model.to_json`` wrote.

    Raises:
        ParameterError: it cannot be read, or is for other signals.
    """
    try:
        return _parse(path.read_text("utf-8"))
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}", "Check --model") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ParameterError(
            f"{path}: this is no model of these signals", "Give a model.json of lab compare"
        ) from error


def shipped_model() -> Model:
    """Return the model that comes with the package, fitted on simulated data."""
    return _parse(files("simdata.comparison").joinpath("model.json").read_text("utf-8"))


def _parse(text: str) -> Model:
    values = json.loads(text)
    model = Model(
        tuple(values["fitted_on"]), *(_weights(values[w]) for w in ("local", "alone", "joint"))
    )
    expected = (*LOCAL_SIGNALS, *ANALYSES)
    if model.alone.names != expected or model.joint.names != expected:
        raise ValueError("other signals")
    if model.local.names != LOCAL_SIGNALS:
        raise ValueError("other local signals")
    return model


def _weights(values: Mapping[str, Any]) -> Weights:
    """Return weights whose lists are of one length and numbers; a wrong one raises ValueError."""
    names = tuple(map(str, values["names"]))
    mean, deviation, weight = (
        tuple(map(float, values[key])) for key in ("mean", "deviation", "weight")
    )
    if not len(names) == len(mean) == len(deviation) == len(weight):
        raise ValueError("lists of different lengths")
    return Weights(names, mean, deviation, weight, float(values["constant"]))
