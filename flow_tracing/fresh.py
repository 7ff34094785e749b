"""Hops prepared by the run that uses them, and the sizes that they are padded to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flow_tracing.flows import SliceFlows, own_flows
from flow_tracing.walk import Masked
from graph_mpc.context import Context
from graph_mpc.flow import Columns, FlowBlock, FlowSizes, FlowSystem, KeptBlock, OwnFlows
from graph_mpc.flow_preparation import FlowMaps, prepare_hops, prepare_kept, set_up_flow
from graph_mpc.labels import Label
from graph_mpc.linear_map import columns_per_block
from graph_mpc.precision import FixedPoint
from graph_mpc.sizes import OwnSizes, publish_sizes

__all__ = ["FreshFlows", "Topology", "described", "hop_groups", "publish_flow_sizes"]


async def publish_flow_sizes(
    ctx: Context, vertices: int | None, flows: Sequence[SliceFlows]
) -> FlowSizes:
    """Tell all parties the padded sizes, each the most over the slices."""
    own: OwnSizes | None = None
    if vertices is not None:
        lists = {other: max(len(f.outward[other]) for f in flows) for other in flows[0].outward}
        own = OwnSizes(vertices, max(len(f.source) for f in flows), lists)
    public = await publish_sizes(ctx, own)
    return FlowSizes(public.vertices, public.entries, public.boundary)


def described(ctx: Context, sizes: FlowSizes, slices: int) -> dict[str, Any]:
    """Return the public sizes for the record of the run."""
    return sizes.described(ctx) | {"slices": slices}


@dataclass(frozen=True)
class Topology:
    """All slices: public sizes, format, and an owner's own flows (empty at the others)."""

    sizes: FlowSizes
    form: FixedPoint
    flows: Sequence[SliceFlows]

    def own(self, ctx: Context, t: int) -> OwnFlows | None:
        """Return this owner's slice, padded."""
        if not self.flows:
            return None
        return own_flows(ctx.roster, self.sizes, self.form, ctx.me, self.flows[t])


def hop_groups(hops: int, width: int, most: int) -> list[int]:
    """Return how many hops to prepare together, so that their columns stay within ``most``."""
    together = max(1, most // width)
    return [min(together, hops - done) for done in range(0, hops, together)]


@dataclass
class FreshFlows:
    """See ``flow_tracing.walk.PreparedFlows``.

    Attributes:
        topology: all slices.
        columns: who asks in which column.
        hops: H in each slice.
        label: place in the program of what is prepared; another one for each walk.
        maps: the slices that were set up, kept for other walks.
    """

    topology: Topology
    columns: Columns
    hops_per_slice: int
    label: Label
    maps: dict[int, FlowMaps] = field(default_factory=dict)
    keep_maps: bool = False

    async def system(self, ctx: Context, t: int) -> FlowSystem:
        """Set the slice up, unless an earlier walk did."""
        if t not in self.maps:
            if not self.keep_maps:
                self.maps.clear()
            form, sizes = self.topology.form, self.topology.sizes
            own = self.topology.own(ctx, t)
            self.maps[t] = await set_up_flow(ctx, ("slice", t), sizes, form, own)
        return self.maps[t].system

    def groups(self, t: int) -> list[int]:
        """Return how many hops are prepared together."""
        most = columns_per_block(self.maps[t].maps.values())
        return hop_groups(self.hops_per_slice, self.columns.width, most)

    async def hops(self, ctx: Context, t: int, group: int, first: Masked | None) -> FlowBlock:
        """Prepare a group of hops."""
        count = self.groups(t)[group]
        label = (*self.label, "hops", t, group)
        return await prepare_hops(ctx, label, self.maps[t], self.columns, first, count)

    async def kept(self, ctx: Context, t: int, inputs: Masked) -> KeptBlock:
        """Prepare what a slice keeps."""
        label = (*self.label, "kept", t)
        return await prepare_kept(ctx, label, self.maps[t], self.columns, inputs)
