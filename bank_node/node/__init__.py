"""A bank's node: the daemon that keeps to an agreement and runs its joint computations.

``config`` reads ``node.toml``; ``daemon`` puts the parts together: ``intake`` of transactions,
``coordination`` with the other nodes, ``runs`` through their states, ``store`` of what came of it.
The daemon never computes: each joint run is a worker process of its own.
"""

from bank_node.node.config import NodeConfig, read_config

__all__ = ["NodeConfig", "read_config"]
