"""Progress of a joint run on the terminal; silent where there is none."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["run_interruptible", "show_progress"]

OnEvent = Callable[[str, dict[str, Any]], None]
T = TypeVar("T")

_PHASES = {
    "load": "reading the banks' data",
    "prepare": "preparing columns",
    "iterate": "joint computation",
}


@contextmanager
def show_progress(title: str) -> Iterator[OnEvent]:
    """Give a listener for worker events that moves a bar on the standard error."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=1)
        slowest: dict[str, int] = {}

        def on_event(party: str, event: dict[str, Any]) -> None:
            if event["event"] != "progress":
                return
            name = f"{title}: {_PHASES.get(event['phase'], event['phase'])}"
            slowest[party] = event["done"]
            done = min(slowest.values())
            progress.update(task, description=name, completed=done, total=event["total"])

        yield on_event


def run_interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; Ctrl-C and SIGTERM cancel it, so that it can clean up, and raise."""

    async def supervised() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread of a Unix process can take signals; elsewhere its caller does.
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(supervised())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
