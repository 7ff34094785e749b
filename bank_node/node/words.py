"""What is said of a run in the audit log, to people, and to the other members."""

import json
from collections.abc import Mapping
from typing import Any

from bank_node.consortium import RunManifest
from bank_node.errors import UndercurrentError
from bank_node.launcher import WorkersFailedError

__all__ = ["about", "failure_of", "measured", "told_of"]

# Codes whose words name only members, runs and limits, and so may be told to other members.
_TELLABLE = ("node.", "consortium.", "store.budget", "session.", "engine.", "run.", "worker.")


def about(manifest: RunManifest) -> dict[str, Any]:
    """Return what the audit log says of a manifest; all of it is public."""
    return {
        "analysis": manifest.analysis,
        "policy": manifest.policy,
        "proposer": manifest.proposer,
        "manifest": json.loads(manifest.canonical()),
    }


def told_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit log says of a finished computation."""
    names = ("disclosed_bits", "released", "iterations", "padded_sizes", "seconds")
    return {name: report[name] for name in names if name in report}


def measured(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people want to know of a finished computation."""
    return {
        "seconds": report["seconds"]["total"],
        "bytes_sent": report["bytes_sent"]["all_with_framing"],
        "iterations": report["iterations"],
        "released_bits": report["released"]["bits"],
    }


def failure_of(error: Exception) -> tuple[str, str]:
    """Return code and words of a failure; words that could hold data stay in this node's log."""
    code, message = getattr(error, "code", "node.system"), str(error)
    if isinstance(error, WorkersFailedError):
        failure = next((e.failure for e in error.exits if e.failure is not None), None)
        if failure is not None:
            code, message = str(failure["code"]), str(failure["message"])
        else:
            message = error.message
    elif isinstance(error, UndercurrentError):
        message = error.message
    if code.startswith(_TELLABLE):
        return code, message[:400]
    return code, f"error {code}: see the node's log"
