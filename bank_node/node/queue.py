"""Whose turn it is: which of the runs that all have signed may begin at this node now."""

from collections.abc import Callable, Mapping

from bank_node.node.open_run import OpenRun

__all__ = ["Queue"]


class Queue:
    """The order of the runs that wait, the same at every node (``OpenRun.order``).

    Args:
        runs: the open runs; the queue looks at them and changes nothing.
        at_once: how many may hold a place at a time.
        is_free: whether a worker could begin to read now.
        online: whether a member has said lately that it is there.
        clock: microseconds since 1970.
    """

    def __init__(
        self,
        runs: Mapping[str, OpenRun],
        at_once: int,
        is_free: Callable[[], bool],
        online: Callable[[str], bool],
        clock: Callable[[], int],
    ) -> None:
        self._runs = runs
        self._at_once = at_once
        self._is_free = is_free
        self._online = online
        self._clock = clock

    def may_begin(self, run: OpenRun) -> bool:
        """Return whether a place is free and no run before it in the queue waits for it."""
        busy = [r for r in self._runs.values() if r.holds_place]
        used = {r.manifest.columns for r in busy if r.manifest.columns}
        if run.manifest.columns in used or not self._is_free():
            return False
        places = self._at_once - len(busy)
        if places <= 0 or not self._could_begin(run):
            return False
        for other in self._runs.values():
            if other is not run and other.order < run.order and self._could_begin(other):
                places -= 1
                if places <= 0:
                    return False
        return True

    def _could_begin(self, run: OpenRun) -> bool:
        """Return whether all have signed, are there, and nothing has failed a moment ago."""
        signed = all(
            p is not None and p.signature and self._online(m) for m, p in run.peers.items()
        )
        return signed and run.own.phase == "consented" and self._clock() >= run.not_before
