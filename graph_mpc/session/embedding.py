"""Imports MPyC without its side effects.

At import MPyC parses ``sys.argv``, sends all logging to stdout, where our workers write JSON lines,
picks uvloop when it is installed, and makes one global runtime. This module lets it see no
arguments and no environment of its own, and leaves logging as it is.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from typing import Any

_IGNORED = ("MPYC_MIX32_64BIT", "MPYC_NOPRSS", "MPYC_NONUMPY", "READTHEDOCS")


def _import_quietly() -> Any:
    for name in _IGNORED:
        os.environ.pop(name, None)
    # uvloop would bypass the exception handler of the session.
    os.environ["MPYC_NOUVLOOP"] = "1"
    arguments, sys.argv = sys.argv, sys.argv[:1] or ["undercurrent"]
    root = logging.getLogger()
    # MPyC calls logging.basicConfig, which does nothing when the root logger has a handler.
    placeholder = logging.NullHandler()
    root.addHandler(placeholder)
    try:
        return _import_in_loop()
    finally:
        root.removeHandler(placeholder)
        sys.argv = arguments


def _import_in_loop() -> Any:
    """Import MPyC inside an event loop: without one it would make one that nobody closes."""
    running = asyncio._get_running_loop()
    if running is not None:
        handler = running.get_exception_handler()
        module = importlib.import_module("mpyc.runtime")
        running.set_exception_handler(handler)
        return module
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_load())
    finally:
        loop.close()


async def _load() -> Any:
    return importlib.import_module("mpyc.runtime")


mpyc_runtime: Any = _import_quietly()
asyncoro: Any = mpyc_runtime.asyncoro
finfields: Any = mpyc_runtime.finfields
Runtime: Any = mpyc_runtime.Runtime
mpc: Any = mpyc_runtime.mpc


def make_options() -> Any:
    """Return MPyC's options as its command line would with no arguments."""
    return importlib.import_module("mpyc")._get_arg_parser().parse_known_args([])[0]
