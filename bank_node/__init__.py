"""A bank's node: ``ingest`` and ``partition`` of its data, and the ``worker`` of a joint run.

A worker is a process of its own, so nothing heavy is imported here; ``launcher`` starts workers
from a ``job`` each, and ``errors`` has what a user can cause and mend.
"""

from bank_node.errors import UndercurrentError

__all__ = ["UndercurrentError"]
