"""Which public parameters an agreement allows: by name, by bounds, and never a private one.

The names come from the analysis itself, whose ``parse`` returns a model with one field for each
public parameter.  The rules hold for the values that the run would really use, defaults included.
"""

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from bank_node.consortium.agreement import Agreement, AnalysisRule, ParameterRule, window_us
from bank_node.consortium.canonical import as_number, as_text, moment_us
from bank_node.consortium.errors import (
    AnalysisNotAllowed,
    OutOfBounds,
    ParameterNotAllowed,
    PrivateParameter,
    WindowTooLong,
)
from bank_node.errors import UndercurrentError
from graph_mpc.errors import EngineError
from graph_mpc.program import Analysis

__all__ = [
    "Finder",
    "allowed_in_words",
    "allows",
    "asking_banks",
    "check_parameters",
    "has_window",
    "is_private",
    "known_parameters",
    "required_parameters",
]

Finder = Callable[[str], Analysis]

WINDOW = ("since", "until")
TRACES = "traces"
_PRIVATE = frozenset(
    {
        "account",
        "accounts",
        "bank",
        "banks",
        "customer",
        "customers",
        "iban",
        "ibans",
        "question",
        "questions",
        "seeds",
        "source",
        "sources",
        "target",
        "targets",
        "trace",
    }
)
_ASKING = re.compile(r"(?P<bank>.+)=(?P<number>[0-9]{1,4})")


def is_private(name: str) -> bool:
    """Return whether a parameter of this name holds what must never leave its bank."""
    return name in _PRIVATE


def known_parameters(analysis: Analysis) -> frozenset[str]:
    """Return the names of an analysis' public parameters.

    Raises:
        AnalysisNotAllowed: its ``parse`` does not say what it returns.
    """
    return frozenset(_fields(analysis))


def required_parameters(analysis: Analysis) -> frozenset[str]:
    """Return the names of the parameters without a default."""
    return frozenset(name for name, is_required in _fields(analysis).items() if is_required)


def has_window(analysis: Analysis) -> bool:
    """Return whether the analysis looks at a window of time; else it takes all payments held."""
    return set(WINDOW) <= known_parameters(analysis)


def _fields(analysis: Analysis) -> dict[str, bool]:
    model = typing.get_type_hints(analysis.parse).get("return")
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: field.is_required() for name, field in model.model_fields.items()}
    if isinstance(model, type) and dataclasses.is_dataclass(model):
        missing = dataclasses.MISSING
        return {
            f.name: f.default is missing and f.default_factory is missing
            for f in dataclasses.fields(model)
        }
    raise AnalysisNotAllowed(
        f"analysis {analysis.name} does not say which parameters it takes",
        "Its parse must be annotated with the model that it returns",
    )


def allows(rule: ParameterRule, text: str) -> bool:
    """Return whether a rule allows a value; numbers are compared as numbers."""
    if rule.value is not None:
        return _same(text, rule.value)
    if rule.one_of is not None:
        return any(_same(text, choice) for choice in rule.one_of)
    low, high = as_number(rule.min or ""), as_number(rule.max or "")
    if low is None or high is None:
        return False
    for part in text.split(","):
        asking = _ASKING.fullmatch(part)
        number = as_number(part if asking is None else asking["number"])
        if number is None or not low <= number <= high:
            return False
    return True


def _same(text: str, other: str) -> bool:
    if text == other:
        return True
    one, two = as_number(text), as_number(other)
    return one is not None and one == two


def allowed_in_words(rule: ParameterRule) -> str:
    """Return what a rule allows."""
    if rule.value is not None:
        return rule.value
    if rule.one_of is not None:
        return " or ".join(rule.one_of)
    return f"{rule.min} to {rule.max}"


def asking_banks(text: str) -> list[str]:
    """Return the banks of ``traces=A=1,B=2``."""
    return [part.rpartition("=")[0] for part in text.split(",")]


def check_parameters(
    parameters: Mapping[str, str], rule: AnalysisRule, agreement: Agreement, analysis: Analysis
) -> None:
    """Refuse the public parameters of a run unless the agreement allows each of them.

    Raises:
        ManifestRefused: says which and why, never its value.
    """
    _check_private(parameters, analysis)
    _check_given(parameters, rule, analysis)
    _check_asking(parameters, rule, agreement)
    _check_window(parameters, rule, analysis)
    for name, value in _effective(parameters, analysis).items():
        if name in rule.parameters and not allows(rule.parameters[name], _text(value)):
            raise OutOfBounds(
                f"parameter {name} of {rule.name} is by default not what was agreed",
                f"Give it: {allowed_in_words(rule.parameters[name])}",
            )


def _check_private(parameters: Mapping[str, str], analysis: Analysis) -> None:
    for name in sorted(parameters):
        if is_private(name):
            raise PrivateParameter(
                f"parameter {name} is private and must not stand in a manifest",
                "Give it to the own node only: undercurrent trace",
            )
    try:
        public, private = analysis.private_inputs(parameters)
    except (EngineError, UndercurrentError) as error:
        raise ParameterNotAllowed(
            f"the parameters of {analysis.name} cannot be used", error.remedy
        ) from None
    if private or dict(public) != dict(parameters):
        raise PrivateParameter(
            f"the parameters of {analysis.name} hold private inputs",
            "Only public parameters stand in a manifest",
        )


def _check_given(parameters: Mapping[str, str], rule: AnalysisRule, analysis: Analysis) -> None:
    window = set(WINDOW) if has_window(analysis) else set()
    for name, value in sorted(parameters.items()):
        if name in rule.parameters:
            if not allows(rule.parameters[name], value):
                raise OutOfBounds(
                    f"parameter {name} of {rule.name} is not what was agreed",
                    f"Agreed is {allowed_in_words(rule.parameters[name])}",
                )
        elif name not in window:
            known = sorted(window | set(rule.parameters))
            raise ParameterNotAllowed(
                f"the agreement has no rule for parameter {name} of {rule.name}",
                f"It allows {', '.join(known) or 'none'}",
            )


def _check_asking(parameters: Mapping[str, str], rule: AnalysisRule, agreement: Agreement) -> None:
    for bank in asking_banks(parameters[TRACES]) if TRACES in parameters else ():
        if bank not in agreement.banks:
            raise ParameterNotAllowed(
                f"{TRACES} of {rule.name} names somebody who is no bank of the agreement",
                f"The banks are {', '.join(agreement.banks)}",
            )
        if rule.who != "all" and bank not in rule.who:
            raise ParameterNotAllowed(
                f"{bank} may not ask in {rule.name}", f"{', '.join(rule.who) or 'Nobody'} may"
            )


def _check_window(parameters: Mapping[str, str], rule: AnalysisRule, analysis: Analysis) -> None:
    longest = window_us(rule.max_window)
    if longest is None or not has_window(analysis):
        return
    try:
        since, until = (moment_us(parameters[name]) for name in WINDOW)
    except (KeyError, ValueError):
        raise WindowTooLong(
            f"{rule.name} needs since and until, both times",
            f"Give a window of at most {rule.max_window}",
        ) from None
    if not 0 < until - since <= longest:
        raise WindowTooLong(
            f"the window of {rule.name} is longer than {rule.max_window}, or empty",
            f"Give a window of at most {rule.max_window}",
        )


def _effective(parameters: Mapping[str, str], analysis: Analysis) -> Mapping[str, Any]:
    """Return the values that the run would use."""
    try:
        parsed = analysis.parse(parameters)
        analysis.window(parsed)
        return analysis.public(parsed)
    except (EngineError, UndercurrentError) as error:
        raise ParameterNotAllowed(
            f"the parameters of {analysis.name} cannot be used: {error.message}", error.remedy
        ) from None


def _text(value: object) -> str:
    """Return a value as text; one that has no such form is in no rule."""
    try:
        return as_text(value)
    except ValueError:
        return ""
