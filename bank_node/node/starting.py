"""Starting the daemon from a configuration: logs first, then everything else."""

import resource

from bank_node.node.config import NodeConfig
from bank_node.node.daemon import run_node
from bank_node.operation.logs import configure_logs

__all__ = ["start_node"]


def start_node(config: NodeConfig) -> None:
    """Run the node until it is told to stop."""
    # A core file would hold keys and accounts.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    run_node(config, configure_logs(config.log.level, config.log.format))
