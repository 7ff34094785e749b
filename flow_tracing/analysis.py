"""Flow traces as an analysis that the workers find by its entry point."""

from collections.abc import Mapping
from typing import Any

from flow_tracing.parameters import (
    TraceParameters,
    parse_trace,
    split_questions,
)
from flow_tracing.secure import secure_trace
from graph_mpc.context import Context
from graph_mpc.policy import Policy
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.scalars import JointScalars
from graph_mpc.window import Window

__all__ = ["TRACE", "Trace"]


class Trace:
    """See ``graph_mpc.program.Analysis``."""

    name = "trace"
    version = "1"

    def parse(self, raw: Mapping[str, Any]) -> TraceParameters:
        """Return checked public parameters."""
        return parse_trace(raw)

    def public(self, parameters: TraceParameters) -> dict[str, Any]:
        """Return the parameters with their defaults."""
        return parameters.model_dump(exclude_none=True)

    def window(self, parameters: TraceParameters) -> Window:
        """Return the window and its slices."""
        return parameters.window()

    def private_inputs(
        self, raw: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
        """Take the accounts out of the parameters."""
        return split_questions(raw)

    def released_values(self, parameters: TraceParameters, owner: str, padded_vertices: int) -> int:
        """Return an amount per account, slice, depth and trace, to the banks that ask."""
        traces = parameters.counts().get(owner, 0)
        return padded_vertices * (parameters.window().slices or 1) * parameters.columns * traces

    async def run(
        self,
        ctx: Context,
        scalars: JointScalars,
        parameters: TraceParameters,
        policy: Policy,
        own: OwnerInput | None,
    ) -> Outcome:
        """Run this party's side; no joint scalar is needed."""
        return await secure_trace(ctx, parameters, policy, own)


TRACE = Trace()
"""The instance behind the entry point."""
