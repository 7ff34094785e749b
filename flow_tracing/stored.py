"""Traces whose columns were prepared by an earlier run: preparing them, and answering with them.

A preparation is made for public parameters (window, slices, hops, depth, padded traces per bank), a
roster and a topology, for one or several later runs; the columns of one run serve all its hops.  At
the start of a run all parties tell their index of unused columns and take the largest, each writing
its own index to disk before any message that depends on a column leaves.

Source: protocol design, section 4 (``Prepared ahead``).
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_tracing.fresh import FreshFlows, Topology, described, hop_groups
from flow_tracing.parameters import TraceParameters
from flow_tracing.questions import agreed_slices, flows_of, set_up_topology, trace_form
from flow_tracing.secure import asked_columns, trace_over
from flow_tracing.walk import Masked, added_up, input_shares
from graph_mpc.context import Context
from graph_mpc.errors import ParameterError
from graph_mpc.flow import Columns, FlowBlock, FlowSizes, FlowSystem, KeptBlock, own_system
from graph_mpc.flow_store import block_arrays, kept_arrays, restore_block, restore_kept
from graph_mpc.linear_map import columns_per_block
from graph_mpc.policy import Policy
from graph_mpc.precision import parse_precision
from graph_mpc.program import ColumnStore, Outcome, OwnerInput
from graph_mpc.reconcile import Reconciliation
from graph_mpc.ring import Words
from graph_mpc.streams import SeededStreams

__all__ = ["StoredFlows", "prepare_trace", "prepared_trace", "topology_digest"]


async def prepare_trace(
    ctx: Context,
    parameters: TraceParameters,
    own: OwnerInput | None,
    store: ColumnStore,
) -> Outcome:
    """Fill this party's store with the columns of ``store.about['runs']`` later runs."""
    columns = asked_columns(ctx, parameters)
    slices = agreed_slices(parameters, own)
    runs = int(store.about["runs"])
    with ctx.phase("setup"):
        known, topology = await set_up_topology(ctx, parameters, own, 1.0)
    shares: list[Masked | None] = [None] * runs
    most = 1
    for t in range(slices):
        flows = [
            FreshFlows(topology, columns, parameters.hops, ("run", run)) for run in range(runs)
        ]
        with ctx.phase("setup"):
            await flows[0].system(ctx, t)
        most = columns_per_block(flows[0].maps[t].maps.values())
        with ctx.phase("prepare"):
            for run, fresh in enumerate(flows):
                fresh.maps = flows[0].maps
                shares[run] = await _prepare_slice(ctx, fresh, t, shares[run], run, store)
                ctx.progress("prepare", t * runs + run + 1, slices * runs)
    store.put(None, "topology", _topology_arrays(ctx, topology.sizes, known, own, most))
    return Outcome(
        result=None,
        iterations=slices * parameters.hops * runs,
        accuracy={},
        padded_sizes=described(ctx, topology.sizes, slices) | {"traces": parameters.counts()},
        reconciliation={} if known is None else known.counts(),
        unmatched=None,
    )


async def _prepare_slice(
    ctx: Context, flows: FreshFlows, t: int, r: Masked | None, run: int, store: ColumnStore
) -> Masked:
    """Prepare a slice for one run; return h1's shares of the next slice's first input."""
    inputs = [] if r is None else [r]
    groups = flows.groups(t)
    for group in range(len(groups)):
        block = await flows.hops(ctx, t, group, r)
        store.put(run, f"slice-{t}-hops-{group}", block_arrays(ctx, block))
        made = [input_shares(flows.columns, step) for step in block.steps]
        inputs += made
        r = made[-1]
    if len(inputs) > 1:
        kept = await flows.kept(ctx, t, added_up(inputs[:-1]))
        store.put(run, f"slice-{t}-kept", kept_arrays(ctx, kept))
    return inputs[-1]


async def prepared_trace(
    ctx: Context,
    parameters: TraceParameters,
    policy: Policy,
    own: OwnerInput | None,
    store: ColumnStore,
) -> Outcome:
    """Answer with the columns of a store: only the hops themselves are left to do."""
    with ctx.phase("setup"):
        run = await _agree_on_run(ctx, store)
        known, topology, most = _restore_topology(ctx, parameters, own, store)
    seeds = {int(peer): seed for peer, seed in store.about["seeds"].items()}
    earlier = replace(ctx, streams=SeededStreams(ctx.me, seeds, store.about["preparation"]))
    columns = asked_columns(ctx, parameters)
    flows = StoredFlows(topology, columns, parameters.hops, run, most, earlier, store)
    outcome = await trace_over(ctx, parameters, policy, own, known, topology, flows)
    store.discard(run)
    return outcome


async def _agree_on_run(ctx: Context, store: ColumnStore) -> int:
    """Return the first run whose columns are unused at every party, and mark them as used here."""
    digest = hashlib.sha256(str(store.about["preparation"]).encode()).digest()
    own = np.array([store.next, int.from_bytes(digest[:7], "big")], np.int64)
    published = await ctx.network.gather_published(("prepared",), own)
    if len({int(p[1]) for p in published.values()}) > 1:
        raise ParameterError(
            "the parties hold columns of different preparations", "prepare columns again, together"
        )
    run = max(int(p[0]) for p in published.values())
    store.take(run)
    return run


@dataclass
class StoredFlows:
    """See ``flow_tracing.walk.PreparedFlows``.

    Attributes:
        topology: all slices.
        columns: who asks in which column.
        hops_per_slice: H.
        run: which of the prepared runs.
        most: columns that were prepared together.
        earlier: this party's side with the streams of the preparation.
        store: what this party kept.
    """

    topology: Topology
    columns: Columns
    hops_per_slice: int
    run: int
    most: int
    earlier: Context
    store: ColumnStore
    _system: FlowSystem = field(init=False)

    async def system(self, ctx: Context, t: int) -> FlowSystem:
        """Return the slice as this party has it; nothing is shared out."""
        topology, own = self.topology, self.topology.own(ctx, t)
        shape = topology.sizes.shape(ctx.me, topology.form.limbs) if own is not None else None
        self._system = own_system(topology.sizes, topology.form, shape, own)
        return self._system

    def groups(self, t: int) -> list[int]:
        """Return how many hops were prepared together."""
        return hop_groups(self.hops_per_slice, self.columns.width, self.most)

    async def hops(self, ctx: Context, t: int, group: int, first: Masked | None) -> FlowBlock:
        """Return a group of hops."""
        arrays = self.store.get(self.run, f"slice-{t}-hops-{group}")
        label = ("run", self.run, "hops", t, group)
        hops = (self.groups(t)[group], 1 if first is None else 0)
        return restore_block(self.earlier, label, self._system, self.columns, hops, arrays)

    async def kept(self, ctx: Context, t: int, inputs: Masked) -> KeptBlock:
        """Return what is needed for what a slice keeps."""
        arrays = self.store.get(self.run, f"slice-{t}-kept")
        label = ("run", self.run, "kept", t)
        return restore_kept(self.earlier, label, self._system, self.columns, arrays)


def _topology_arrays(
    ctx: Context,
    sizes: FlowSizes,
    known: Reconciliation | None,
    own: OwnerInput | None,
    most: int,
) -> dict[str, Words]:
    """Return what a later run needs to know of the topology."""
    owners = ctx.roster.owners
    boundary = [sizes.boundary.get((b, c), 0) for b in owners for c in owners]
    arrays = {
        "vertices": np.array([sizes.vertices[b] for b in owners], np.uint64),
        "entries": np.array([sizes.entries[b] for b in owners], np.uint64),
        "boundary": np.array(boundary, np.uint64),
        "most": np.array([most], np.uint64),
    }
    if known is not None and own is not None:
        arrays["matched"] = known.matched.astype(np.uint64)
        arrays["agreed"] = known.agreed.astype(np.uint64)
        arrays["shared"] = np.array([known.shared], np.uint64)
        arrays["digest"] = topology_digest(own)
    return arrays


def _restore_topology(
    ctx: Context, parameters: TraceParameters, own: OwnerInput | None, store: ColumnStore
) -> tuple[Reconciliation | None, Topology, int]:
    """Return the topology that was prepared, if the bank's data are still the same."""
    kept = store.get(None, "topology")
    owners = ctx.roster.owners
    pairs = [(b, c) for b in owners for c in owners]
    sizes = FlowSizes(
        dict(zip(owners, map(int, kept["vertices"]), strict=True)),
        dict(zip(owners, map(int, kept["entries"]), strict=True)),
        {
            pair: int(rows)
            for pair, rows in zip(pairs, kept["boundary"], strict=True)
            if pair[0] != pair[1]
        },
    )
    form = trace_form(parse_precision(parameters.precision), 1.0)
    most = int(kept["most"][0])
    if own is None:
        return None, Topology(sizes, form, []), most
    if not np.array_equal(kept["digest"], topology_digest(own)):
        raise ParameterError(
            f"the payments of {own.graph.owner} in the window are not those that the columns were"
            " prepared for",
            "prepare columns again",
        )
    matched = kept["matched"].astype(np.bool_)
    agreed = kept["agreed"].astype(np.bool_)
    known = Reconciliation(matched, agreed, int(kept["shared"][0]))
    flows = flows_of(own, own.graph, matched, parameters)
    return known, Topology(sizes, form, flows), most


def topology_digest(own: OwnerInput) -> Words:
    """Return SHA-256 of a bank's graph and balances, as four words."""
    graph = own.graph
    digest = hashlib.sha256(repr((graph.owner, graph.owners, graph.slices)).encode())
    parts: list[NDArray[Any]] = [
        graph.vertex_key,
        graph.neighbour_owner,
        graph.neighbour_key,
        graph.source,
        graph.target,
        graph.slice,
        graph.weight,
        own.vertex["balance"],
        own.vertex["balance_known"],
    ]
    for part in parts:
        digest.update(repr((part.shape, str(part.dtype))).encode())
        digest.update(np.ascontiguousarray(part).data)
    return np.frombuffer(digest.digest(), np.uint64).copy()
