"""Where the command ``undercurrent`` begins: a private argument leaves the process list first.

The name of an account after ``trace`` or ``alerts`` would stand in every user's process list while
the rest of the program is loaded; so it is hidden before that.  (The shell keeps it in its history:
``trace -`` reads accounts from the standard input.)
"""

import sys

from setproctitle import setproctitle

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] in (["trace"], ["alerts"]):
        setproctitle(f"undercurrent {sys.argv[1]}")
    from undercurrent.cli import main as run

    run()
