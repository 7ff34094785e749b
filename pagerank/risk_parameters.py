"""Parameters of risk propagation."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from graph_mpc.errors import ParameterError
from graph_mpc.parameters import parse_model
from graph_mpc.window import Window, parse_window

__all__ = ["RiskParameters", "parse_risk_parameters"]

_MOST_STEPS = 10_000
_ALLOWED = (
    "iterations, delta or a and b for a/k^b, slice=all|1d|12h|..., since, until,"
    " precision=high|standard, max_unmatched"
)


class RiskParameters(BaseModel):
    """Public parameters, with the names of the command line.

    Attributes:
        iterations: K, steps in each slice. delta: share of its senders' mean that an account takes
        over in a step, the same in all steps. a, b: delta of step k = 1..K as a / k^b instead.
        slice: length of a time slice, or ``all``. since, until: the window. precision: ``high``
        (two limbs per weight) or ``standard`` (one limb). max_unmatched: share of cross-bank
        payments that only one bank knows above which a bank refuses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    iterations: int = Field(2, ge=1, le=1000)
    delta: float | None = Field(None, ge=0, le=1)
    a: float | None = Field(None, ge=0, le=1)
    b: float | None = Field(None, ge=0, le=100)
    slice: str = "all"
    since: str | None = None
    until: str | None = None
    precision: Literal["high", "standard"] = "high"
    max_unmatched: float = Field(1.0, ge=0, le=1)

    @field_validator("slice", "since", "until", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """Take what TOML reads as a date as text."""
        return value if value is None or isinstance(value, str) else str(value)

    @model_validator(mode="after")
    def _one_delta(self) -> Self:
        if self.delta is not None and (self.a is not None or self.b is not None):
            raise ValueError("both delta and a, b are given")
        if self.b is not None and self.a is None:
            raise ValueError("b is given without a")
        return self

    def deltas(self) -> list[float]:
        """Return delta_k for k = 1..K.

        >>> RiskParameters(iterations=3, a=0.3, b=1).deltas()
        [0.3, 0.15, 0.09999999999999999]
        """
        if self.delta is not None:
            return [self.delta] * self.iterations
        a = 0.3 if self.a is None else self.a
        b = 0.8 if self.a is None else self.b or 0.0
        return [a / k**b for k in range(1, self.iterations + 1)]

    def window(self) -> Window:
        """Return the window and its slices."""
        return parse_window(self.since, self.until, self.slice)


def parse_risk_parameters(raw: Mapping[str, Any]) -> RiskParameters:
    """Return checked parameters; the error names the parameter and what is allowed."""
    parameters = parse_model(RiskParameters, raw, "risk-propagation", _ALLOWED)
    slices = parameters.window().slices or 1
    if slices * parameters.iterations > _MOST_STEPS:
        raise ParameterError(
            f"{slices} slices with {parameters.iterations} iterations each are"
            f" {slices * parameters.iterations} steps, more than {_MOST_STEPS}",
            "give a longer slice or fewer iterations",
        )
    return parameters
