"""Runs made up for tests."""

from bank_node.store.runs import Run


def made_run(run_id: str = "run-1", **changes) -> Run:
    """Return a run that was proposed at time 1,000."""
    fields = {
        "run_id": run_id,
        "manifest": '{"analysis":"pagerank"}',
        "digest": "ab" * 32,
        "analysis": "pagerank",
        "policy": "bands:0.5",
        "proposer": "alba",
        "schedule": "",
        "slot": "",
        "rehearsal": False,
        "phase": "judging",
        "created": 1000,
        "expires": 9000,
        "updated": 1000,
    }
    return Run(**(fields | changes))
