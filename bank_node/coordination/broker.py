"""The embedded broker as a process of its own: ``python -m bank_node.coordination.broker``.

It prints one line of JSON when it is ready, ``{"event": "ready", "host": …, "port": …}``, and ends
with SIGTERM, with Ctrl-C, or when its standard input is closed: when the process that started it
dies, however suddenly, it goes as well (``--no-lifeline`` for a service manager).
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence

from bank_node.coordination.embedded import EmbeddedBroker
from bank_node.errors import UndercurrentError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the broker until it is told to end, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bank_node.coordination.broker")
    parser.add_argument("--bind", default="127.0.0.1:1883", metavar="HOST:PORT")
    parser.add_argument("--no-lifeline", action="store_true", help="ignore the standard input")
    options = parser.parse_args(arguments)
    host, _, port = options.bind.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        parser.error(f"--bind {options.bind}: not HOST:PORT")
    try:
        asyncio.run(_serve(host.strip("[]"), int(port), lifeline=not options.no_lifeline))
    except UndercurrentError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return error.exit_code
    return 0


async def _serve(host: str, port: int, *, lifeline: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if lifeline:
        threading.Thread(target=_watch_lifeline, args=(loop, over), daemon=True).start()
    async with EmbeddedBroker(host, port) as broker:
        ready = {"event": "ready", "host": broker.host, "port": broker.port}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await over.wait()


def _watch_lifeline(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    # Not sys.stdin: a thread that waits in it would be in the way of the interpreter's end.
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # The loop is closed: it is over anyway.
        loop.call_soon_threadsafe(over.set)


if __name__ == "__main__":
    sys.exit(main())
