"""The fixtures of the system tests, for the commands that start workers."""

from tests.system.conftest import scratch

__all__ = ["scratch"]
