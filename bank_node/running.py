"""Running an analysis in a worker: afresh, with columns prepared earlier, or only preparing them.

Prepared columns are bound to their purpose (consortium, analysis and version, members, public
parameters); what differs is said.  The topology is checked by the analysis itself.
"""

from typing import Any

from bank_node.columns import ColumnStore
from bank_node.errors import ParameterError, PreparedColumnsError
from bank_node.job import Job, Manifest
from graph_mpc.context import Context
from graph_mpc.policy import Policy
from graph_mpc.program import Analysis, Outcome, OwnerInput, PreparableAnalysis
from graph_mpc.scalars import MpycScalars
from graph_mpc.session.session import Session

__all__ = ["run_analysis"]


async def run_analysis(
    job: Job,
    analysis: Analysis,
    session: Session,
    ctx: Context,
    parameters: Any,
    policy: Policy,
    own: OwnerInput | None,
) -> Outcome:
    """Run the analysis as the manifest says, and return this party's outcome."""
    manifest = job.manifest
    if not manifest.prepare_runs and not manifest.use_prepared:
        return await analysis.run(ctx, MpycScalars(session.runtime), parameters, policy, own)
    if not isinstance(analysis, PreparableAnalysis) or job.columns is None:
        raise ParameterError(
            f"the columns of {analysis.name} cannot be prepared ahead", "Run it without"
        )
    purpose = _purpose(manifest, analysis.public(parameters))
    if manifest.use_prepared:
        store = ColumnStore.open(job.columns)
        _check_purpose(store, purpose)
        return await analysis.run_prepared(ctx, parameters, policy, own, store)
    peers = [p for p in range(ctx.roster.parties) if p != ctx.me]
    about = {
        "preparation": manifest.run_id,
        "runs": manifest.prepare_runs,
        "seeds": {str(p): session.seed(p) for p in peers},
    }
    store = ColumnStore.create(job.columns, about | {"purpose": purpose})
    outcome = await analysis.prepare(ctx, parameters, own, store)
    store.complete()
    return outcome


def _purpose(manifest: Manifest, public: dict[str, Any]) -> dict[str, Any]:
    """Return what prepared columns are bound to, besides the topology."""
    return {
        "consortium": manifest.consortium,
        "analysis": f"{manifest.analysis} {manifest.version}",
        "members": [f"{m.id} ({m.role})" for m in manifest.members],
        "parameters": public,
    }


def _check_purpose(store: ColumnStore, purpose: dict[str, Any]) -> None:
    """Refuse columns that were prepared for something else, and say what differs."""
    prepared = dict(store.about["purpose"])
    then, now = dict(prepared.pop("parameters")), dict(purpose["parameters"])
    pairs = [(name, prepared[name], purpose[name]) for name in prepared]
    pairs += [(name, then.get(name), now.get(name)) for name in sorted(then | now)]
    for name, before, wanted in pairs:
        if before != wanted:
            raise PreparedColumnsError(
                f"the columns were prepared for {name} {before}, the run has {wanted}",
                "Prepare columns for this run, or give the parameters they were prepared for",
            )
