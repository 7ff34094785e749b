"""PageRank as an analysis that the workers find by its entry point."""

from collections.abc import Mapping
from typing import Any

from graph_mpc.context import Context
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.scalars import JointScalars
from pagerank.parameters import PageRankParameters, parse_parameters
from pagerank.secure import secure_pagerank

__all__ = ["PAGERANK", "PageRank"]


class PageRank:
    """See ``graph_mpc.program.Analysis``."""

    name = "pagerank"
    version = "1"

    def parse(self, raw: Mapping[str, str]) -> PageRankParameters:
        """Return checked parameters."""
        return parse_parameters(raw)

    def public(self, parameters: PageRankParameters) -> dict[str, Any]:
        """Return the parameters with their defaults."""
        return parameters.model_dump(exclude_none=True)

    async def run(
        self,
        ctx: Context,
        scalars: JointScalars,
        parameters: PageRankParameters,
        own: OwnerInput | None,
    ) -> Outcome:
        """Run this party's side."""
        return await secure_pagerank(ctx, scalars, parameters, own)


PAGERANK = PageRank()
"""The instance behind the entry point."""
