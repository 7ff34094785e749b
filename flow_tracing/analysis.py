"""Flow traces and round trips as analyses that the workers find by their entry points."""

from collections.abc import Mapping
from typing import Any

from flow_tracing.parameters import (
    RoundTripParameters,
    TraceParameters,
    parse_round_trip,
    parse_trace,
    split_questions,
)
from flow_tracing.round_trip import secure_round_trip
from flow_tracing.secure import secure_trace
from flow_tracing.stored import prepare_trace, prepared_trace
from graph_mpc.context import Context
from graph_mpc.policy import Policy
from graph_mpc.program import ColumnStore, Outcome, OwnerInput
from graph_mpc.scalars import JointScalars
from graph_mpc.window import Window

__all__ = ["ROUND_TRIP", "TRACE", "RoundTrip", "Trace"]


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

    async def prepare(
        self, ctx: Context, parameters: TraceParameters, own: OwnerInput | None, store: ColumnStore
    ) -> Outcome:
        """Fill this party's store with columns for later traces."""
        return await prepare_trace(ctx, parameters, own, store)

    async def run_prepared(
        self,
        ctx: Context,
        parameters: TraceParameters,
        policy: Policy,
        own: OwnerInput | None,
        store: ColumnStore,
    ) -> Outcome:
        """Run this party's side with columns that were prepared earlier."""
        return await prepared_trace(ctx, parameters, policy, own, store)


class RoundTrip:
    """See ``graph_mpc.program.Analysis``."""

    name = "round-trip"
    version = "1"

    def parse(self, raw: Mapping[str, Any]) -> RoundTripParameters:
        """Return checked parameters."""
        return parse_round_trip(raw)

    def public(self, parameters: RoundTripParameters) -> dict[str, Any]:
        """Return the parameters with their defaults."""
        return parameters.model_dump(exclude_none=True)

    def window(self, parameters: RoundTripParameters) -> Window:
        """Return the window and its slices."""
        return parameters.window()

    def private_inputs(
        self, raw: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
        """Return all parameters: they are public; the scope stands in the banks' own data."""
        return raw, {}

    def released_values(
        self, parameters: RoundTripParameters, owner: str, padded_vertices: int
    ) -> int:
        """Return one share per account, or one for each repetition."""
        batched = parameters.columns == "batched"
        return padded_vertices * (parameters.repetitions if batched else 1)

    async def run(
        self,
        ctx: Context,
        scalars: JointScalars,
        parameters: RoundTripParameters,
        policy: Policy,
        own: OwnerInput | None,
    ) -> Outcome:
        """Run this party's side; no joint scalar is needed."""
        return await secure_round_trip(ctx, parameters, policy, own)


ROUND_TRIP = RoundTrip()
TRACE = Trace()
"""The instances behind the entry points."""
