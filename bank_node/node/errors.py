"""Errors of the running node.

::

    UndercurrentError
    ├── ConfigurationError      node.toml is missing or wrong (exit code 2)
    ├── NotRunningError         no node answers in this folder (exit code 1)
    ├── AlreadyRunningError     another node runs in this folder (exit code 1)
    ├── OtherDatabaseError      the database is another node's (exit code 2)
    ├── NoAgreementError        no agreement is in effect (exit code 3)
    ├── OutOfScopeError         the bank's scope rule does not let an account be asked (exit code 3)
    ├── UnknownRunError         there is no run of that id (exit code 2)
    ├── RunStateError           the run is in a state in which that cannot be done (exit code 2)
    └── RunRefusedError         a joint run was refused or failed (exit code 3 or 4)
"""

from bank_node.errors import UndercurrentError

__all__ = [
    "REASONS",
    "AlreadyRunningError",
    "ConfigurationError",
    "NoAgreementError",
    "NotRunningError",
    "OtherDatabaseError",
    "OutOfScopeError",
    "RunRefusedError",
    "RunStateError",
    "UnknownRunError",
]


REASONS = frozenset(
    {
        "consortium.superseded",
        "node.expired",
        "node.no-data",
        "node.no-votes",
        "node.not-asked",
        "node.not-proposed",
        "node.not-ready",
        "node.other-bytes",
        "node.peer-failed",
        "node.policy",
        "node.question-lost",
        "node.rejected",
        "node.restarted",
        "node.result-lost",
        "node.size-changed",
        "node.size-unknown",
        "node.system",
        "node.version",
    }
)
"""Codes that a member states of a run and that no exception has."""


class ConfigurationError(UndercurrentError):
    """The configuration of the node is missing or wrong."""

    code = "node.config"
    exit_code = 2


class NotRunningError(UndercurrentError):
    """No node answers in this folder."""

    code = "node.not-running"


class AlreadyRunningError(UndercurrentError):
    """Another process runs the node of this folder."""

    code = "node.already-running"


class OtherDatabaseError(UndercurrentError):
    """The database belongs to another node."""

    code = "node.other-database"
    exit_code = 2


class NoAgreementError(UndercurrentError):
    """No agreement is in effect, so nothing may be computed."""

    code = "node.no-agreement"
    exit_code = 3


class OutOfScopeError(UndercurrentError):
    """The bank's own scope rule does not let this account be asked about."""

    code = "node.out-of-scope"
    exit_code = 3


class UnknownRunError(UndercurrentError):
    """There is no run of that id."""

    code = "node.unknown-run"
    exit_code = 2


class RunStateError(UndercurrentError):
    """The run is in a state in which that cannot be done."""

    code = "node.run-state"
    exit_code = 2


class RunRefusedError(UndercurrentError):
    """A joint run was refused by a node, or failed."""

    code = "node.run-refused"
    exit_code = 3
