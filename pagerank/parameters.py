"""Parameters of PageRank and how many iterations they ask for."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from graph_mpc.errors import ParameterError
from graph_mpc.parameters import parse_model
from pagerank.direction import Direction

__all__ = ["PageRankParameters", "parse_parameters"]

MAX_ITERATIONS = 10_000
_ALLOWED = (
    "alpha, tolerance or iterations, weight=amount|count|none,"
    " personalisation=uniform|risk_score, direction=forward|backward|both,"
    " precision=high|standard, max_unmatched"
)


class PageRankParameters(BaseModel):
    """Public parameters, with the names of the command line.

    Attributes:
        alpha: damping factor, 0 <= alpha < 1. tolerance: sum of the absolute errors of all scores
        that may be left. iterations: number of iterations instead of a tolerance. weight:
        ``amount``, ``count`` (number of payments) or ``none`` (1 per pair). personalisation:
        teleport to all accounts alike, or in proportion to their risk score. direction: a payment
        leads from payer to payee (``forward``), from payee to payer (``backward``), or both ways
        (``both``). precision: ``high`` (two limbs per weight) or ``standard`` (one limb, for
        ranking). max_unmatched: share of cross-bank payments that only one bank knows above which
        a bank refuses.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(0.85, ge=0, lt=1)
    tolerance: float = Field(1e-6, gt=0, lt=1)
    iterations: int | None = Field(None, ge=1, le=MAX_ITERATIONS)
    weight: Literal["amount", "count", "none"] = "amount"
    personalisation: Literal["uniform", "risk_score"] = "uniform"
    direction: Direction = "forward"
    precision: Literal["high", "standard"] = "high"
    max_unmatched: float = Field(1.0, ge=0, le=1)

    def steps(self) -> int:
        """Return the number of iterations after which the error is below the tolerance.

        The error of the iteration from x_0 = s is A^k (x_0 - x), whose sum is at most alpha^k
        (|x_0| + |x|), and |x| <= |x_0|.
        """
        if self.iterations is not None:
            return self.iterations
        if self.alpha == 0:
            return 1
        steps = math.ceil(math.log(self.tolerance / 2) / math.log(self.alpha))
        if steps > MAX_ITERATIONS:
            raise ParameterError(
                f"alpha={self.alpha} and tolerance={self.tolerance} need {steps} iterations",
                f"choose a smaller alpha, a larger tolerance, or iterations <= {MAX_ITERATIONS}",
            )
        return max(1, steps)


def parse_parameters(raw: Mapping[str, Any]) -> PageRankParameters:
    """Return checked parameters; the error names the parameter and what is allowed."""
    parameters = parse_model(PageRankParameters, raw, "pagerank", _ALLOWED)
    if "iterations" in raw and "tolerance" in raw:
        raise ParameterError(
            "both tolerance and iterations of pagerank are given", "give one of them"
        )
    return parameters
