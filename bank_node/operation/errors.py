"""Errors of setting a node up, watching it, and saving it.

::

    UndercurrentError
    └── OperationError
        ├── NodeFolderError         the node's folder is there already, or cannot be made (2)
        ├── AnswerError             an answer of the set-up makes no sense (2)
        ├── NotLoopbackError        health and metrics would be open to the network (2)
        ├── ListenError             the port for health and metrics cannot be had (1)
        ├── BackupError             a backup cannot be written (1)
        └── RestoreError            a backup is damaged, or no backup of a node (2)
"""

from bank_node.errors import UndercurrentError

__all__ = [
    "AnswerError",
    "BackupError",
    "ListenError",
    "NodeFolderError",
    "NotLoopbackError",
    "OperationError",
    "RestoreError",
]


class OperationError(UndercurrentError):
    """Setting up, watching or saving a node failed."""

    code = "operation.error"


class NodeFolderError(OperationError):
    """The folder of the node is there already, or cannot be made."""

    code = "operation.node-folder"
    exit_code = 2


class AnswerError(OperationError):
    """An answer of the set-up makes no sense."""

    code = "operation.answer"
    exit_code = 2


class NotLoopbackError(OperationError):
    """Health and metrics would be open to the network."""

    code = "operation.not-loopback"
    exit_code = 2


class ListenError(OperationError):
    """The port for health and metrics cannot be had."""

    code = "operation.listen"


class BackupError(OperationError):
    """A backup cannot be written."""

    code = "operation.backup"


class RestoreError(OperationError):
    """A backup is damaged, or it is no backup of a node."""

    code = "operation.restore"
    exit_code = 2
