"""What an analysis on the engine takes and gives, whatever it computes.

An analysis is found by its entry point in the group ``undercurrent.analyses`` and has the methods
of ``Analysis``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.graph import LocalGraph
from graph_mpc.policy import Policy
from graph_mpc.release import Released
from graph_mpc.scalars import JointScalars
from graph_mpc.window import Window

__all__ = ["Analysis", "ColumnStore", "Outcome", "OwnerInput", "PreparableAnalysis"]


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
        vertices: own vertices of the rows of ``result``, ascending; None: all.
        table: named columns of a result that is not one value per vertex; ``vertex`` is an own one.
    """

    result: Released | None
    iterations: int
    accuracy: dict[str, Any]
    padded_sizes: dict[str, Any]
    reconciliation: dict[str, int]
    unmatched: NDArray[np.bool_] | None
    vertices: NDArray[np.int64] | None = None
    table: Mapping[str, NDArray[Any]] | None = None


class ColumnStore(Protocol):
    """Columns that this party keeps for later runs; each run's columns are used once.

    ``about`` holds ``preparation`` (its id), ``runs``, and ``seeds`` (of each peer).
    """

    about: Mapping[str, Any]

    @property
    def next(self) -> int:
        """Index of the first run whose columns are unused here."""
        ...

    def take(self, run: int) -> None:
        """Mark the columns of a run, and of all before it, as used; durable on return."""
        ...

    def discard(self, run: int) -> None:
        """Remove what is left of a run that has taken its columns."""
        ...

    def put(self, run: int | None, name: str, arrays: Mapping[str, NDArray[np.uint64]]) -> None:
        """Keep arrays of a run, or of all runs (None)."""
        ...

    def get(self, run: int | None, name: str) -> dict[str, NDArray[np.uint64]]:
        """Return arrays that were kept."""
        ...


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


@runtime_checkable
class PreparableAnalysis(Protocol):
    """An analysis whose columns can be prepared by an earlier run."""

    async def prepare(
        self, ctx: Context, parameters: Any, own: OwnerInput | None, store: ColumnStore
    ) -> Outcome:
        """Fill this party's store."""
        ...

    async def run_prepared(
        self,
        ctx: Context,
        parameters: Any,
        policy: Policy,
        own: OwnerInput | None,
        store: ColumnStore,
    ) -> Outcome:
        """Run this party's side with the columns of its store."""
        ...
