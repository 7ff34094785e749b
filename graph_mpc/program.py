"""What an analysis on the engine takes and gives, whatever it computes.

An analysis is found by its entry point in the group ``undercurrent.analyses`` and has the methods
of ``Analysis``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.graph import LocalGraph
from graph_mpc.policy import Policy
from graph_mpc.release import Released
from graph_mpc.scalars import JointScalars
from graph_mpc.window import Window

__all__ = ["Analysis", "Outcome", "OwnerInput"]


@dataclass(frozen=True)
class OwnerInput:
    """What an owner brings.

    Attributes:
        graph: its part of the graph.
        vertex: named arrays over its vertices: ``risk_score`` (float64), ``balance`` (int64),
            ``balance_known`` and ``in_scope`` (bool).
        private: private inputs of this owner (never public ones).
    """

    graph: LocalGraph
    vertex: Mapping[str, NDArray[Any]]
    private: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a party knows at the end.

    Attributes:
        result: what was released to this party, one row per own vertex; None at a party without
            data.
        iterations: steps of the iteration.
        accuracy: what is promised of the results, for the record of the run.
        padded_sizes: the public sizes.
        reconciliation: counts of this party's own edges.
        unmatched: bool (own edges,), edges that the other owner does not know.
        table: named columns of a result that is not one value per vertex; ``vertex`` is an own one.
    """

    result: Released | None
    iterations: int
    accuracy: dict[str, Any]
    padded_sizes: dict[str, Any]
    reconciliation: dict[str, int]
    unmatched: NDArray[np.bool_] | None
    table: Mapping[str, NDArray[Any]] | None = None


class Analysis(Protocol):
    """An analysis that the workers can run."""

    name: str
    version: str

    def parse(self, raw: Mapping[str, Any]) -> Any:
        """Return checked public parameters, or raise ``ParameterError``."""
        ...

    def public(self, parameters: Any) -> dict[str, Any]:
        """Return the parameters with their defaults, as they stand in the manifest."""
        ...

    def window(self, parameters: Any) -> Window:
        """Return the time window and slices over which the graph is built."""
        ...

    def private_inputs(
        self, raw: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
        """Split what a user wrote into public parameters and each owner's private inputs."""
        ...

    def released_values(self, parameters: Any, owner: str, padded_vertices: int) -> int:
        """Return how many values an owner of so many vertices may get: the ledger's bound."""
        ...

    async def run(
        self,
        ctx: Context,
        scalars: JointScalars,
        parameters: Any,
        policy: Policy,
        own: OwnerInput | None,
    ) -> Outcome:
        """Run this party's side of the analysis."""
        ...
