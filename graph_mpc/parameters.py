"""Checking public parameters against a model: the error names the parameter and what is allowed."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from graph_mpc.errors import ParameterError

__all__ = ["parse_model"]

_Model = TypeVar("_Model", bound=BaseModel)


def parse_model(model: type[_Model], raw: Mapping[str, Any], analysis: str, allowed: str) -> _Model:
    """Return the parameters of an analysis, or refuse them.

    Args:
        model: what is allowed, with defaults.
        raw: parameters as text.
        analysis: its name, for the error.
        allowed: the parameters in words, for the remedy.
    """
    try:
        return model.model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        where = f"parameter {name} of {analysis}" if name else f"parameters of {analysis}"
        reason = first["msg"].removeprefix("Value error, ")
        raise ParameterError(
            f"{where}: {reason[:1].lower()}{reason[1:]}", f"allowed are {allowed}"
        ) from error
