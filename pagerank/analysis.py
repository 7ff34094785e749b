"""PageRank and risk propagation as analyses that the workers find by their entry points."""

from collections.abc import Mapping
from typing import Any

from graph_mpc.context import Context
from graph_mpc.policy import Policy
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.scalars import JointScalars
from graph_mpc.window import WHOLE, Window
from pagerank.parameters import PageRankParameters, parse_parameters
from pagerank.risk_parameters import RiskParameters, parse_risk_parameters
from pagerank.risk_propagation import secure_risk_propagation
from pagerank.secure import secure_pagerank

__all__ = ["PAGERANK", "RISK_PROPAGATION", "PageRank", "RiskPropagation"]


class PageRank:
    """See ``graph_mpc.program.Analysis``."""

    name = "pagerank"
    version = "1"

    def parse(self, raw: Mapping[str, Any]) -> PageRankParameters:
        """Return checked parameters."""
        return parse_parameters(raw)

    def public(self, parameters: PageRankParameters) -> dict[str, Any]:
        """Return the parameters with their defaults."""
        return parameters.model_dump(exclude_none=True)

    def window(self, parameters: PageRankParameters) -> Window:
        """Return the window: all payments in one slice."""
        return WHOLE

    def private_inputs(
        self, raw: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
        """Return all parameters: they are public."""
        return raw, {}

    def released_values(
        self, parameters: PageRankParameters, owner: str, padded_vertices: int
    ) -> int:
        """Return one score per account."""
        return padded_vertices

    async def run(
        self,
        ctx: Context,
        scalars: JointScalars,
        parameters: PageRankParameters,
        policy: Policy,
        own: OwnerInput | None,
    ) -> Outcome:
        """Run this party's side."""
        return await secure_pagerank(ctx, scalars, parameters, policy, own)


class RiskPropagation:
    """See ``graph_mpc.program.Analysis``."""

    name = "risk-propagation"
    version = "1"

    def parse(self, raw: Mapping[str, Any]) -> RiskParameters:
        """Return checked parameters."""
        return parse_risk_parameters(raw)

    def public(self, parameters: RiskParameters) -> dict[str, Any]:
        """Return the parameters with their defaults."""
        return parameters.model_dump(exclude_none=True)

    def window(self, parameters: RiskParameters) -> Window:
        """Return the window and its slices."""
        return parameters.window()

    def private_inputs(
        self, raw: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
        """Return all parameters: they are public."""
        return raw, {}

    def released_values(self, parameters: RiskParameters, owner: str, padded_vertices: int) -> int:
        """Return one score per account."""
        return padded_vertices

    async def run(
        self,
        ctx: Context,
        scalars: JointScalars,
        parameters: RiskParameters,
        policy: Policy,
        own: OwnerInput | None,
    ) -> Outcome:
        """Run this party's side; no joint scalar is needed."""
        return await secure_risk_propagation(ctx, parameters, policy, own)


PAGERANK = PageRank()
RISK_PROPAGATION = RiskPropagation()
"""The instances behind the entry points."""
