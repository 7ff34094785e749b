"""What is said of a run in the audit log, to people, and to the other members."""

import json
from collections.abc import Mapping
from typing import Any

from bank_node.consortium import RunManifest
from bank_node.errors import UndercurrentError
from bank_node.launcher import WorkersFailedError
from graph_mpc.errors import EngineError

__all__ = ["about", "failure_of", "measured", "own_words", "told_of"]

# Codes whose words name only members, runs and limits, and so may be told to other members.
_TELLABLE = ("node.", "consortium.", "store.budget", "session.", "engine.", "worker.interrupted")


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
    """Return code and words of a failure as other members may hear them.

    Only words that this program makes of names and numbers are told; whatever could quote data, a
    path or a library stays in this node's log, and the others hear the code.
    """
    if isinstance(error, WorkersFailedError):
        return _failure_of_worker(error)
    if not isinstance(error, UndercurrentError | EngineError):
        return "node.system", "error node.system: see the node's log"
    return _told(error.code, error.message)


def own_words(error: Exception) -> str:
    """Return the words of a failure for this node's own people, who may know its data."""
    if isinstance(error, WorkersFailedError):
        failures = [e.failure for e in error.exits if e.failure is not None]
        return str(failures[0]["message"]) if failures else error.message
    return getattr(error, "message", None) or f"{type(error).__name__}: {error}"


def _failure_of_worker(error: WorkersFailedError) -> tuple[str, str]:
    failures = [e.failure for e in error.exits if e.failure is not None]
    if failures:
        return _told(str(failures[0]["code"]), str(failures[0]["message"]))
    status = min((e.status for e in error.exits), default=0)
    how = f"was killed by signal {-status}" if status < 0 else "ended without a word"
    return error.code, f"the worker of {error.exits[0].party} {how}"


def _told(code: str, message: str) -> tuple[str, str]:
    return code, message[:400] if code.startswith(_TELLABLE) else f"error {code}: see its log"
