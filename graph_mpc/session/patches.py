"""What is replaced inside MPyC's modules, beside its runtime class.

``pickle`` in ``mpyc.runtime`` raises. Shares from a peer are checked when they are decoded: whole
field elements, each below the order; else the peer is named. Program counters hop by BLAKE2, the
same on all platforms. A coroutine's exception goes to the session and to whoever awaits its result:
as MPyC ships, it stops the event loop, and what awaits the result waits for ever.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, NoReturn

from graph_mpc.session.embedding import asyncoro, finfields, mpc, mpyc_runtime
from graph_mpc.session.errors import PayloadRefused


class _PickleRefused:
    """Stands where ``mpyc.runtime`` had the pickle module."""

    def dumps(self, *_: object) -> NoReturn:
        raise TypeError("pickles are not sent to other parties")

    def loads(self, *_: object) -> NoReturn:
        raise TypeError("pickles of other parties are not opened")


class PeerPayload(bytes):
    """A payload that knows which party sent it."""

    peer: int

    @classmethod
    def of(cls, peer: int, payload: bytes) -> PeerPayload:
        """Return the payload with its sender's number."""
        named = cls(payload)
        named.peer = peer
        return named


def _checked_shares(field: Any, data: bytes) -> list[int]:
    """Return the field elements of a payload; refuse what no honest party sends."""
    size = field.byte_length
    values = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    if len(data) % size or any(value >= field.order for value in values):
        name = mpc.name_of(data.peer) if isinstance(data, PeerPayload) else None
        raise PayloadRefused(f"party {name} sent a payload that holds no field elements", peer=name)
    return values


def apply_patches() -> None:
    """Replace the parts; once per process."""
    finfields.FiniteFieldElement.from_bytes = classmethod(_checked_shares)
    mpyc_runtime.pickle = _PickleRefused()
    asyncoro._hop = _hop
    asyncoro._reconcile = _reconcile
    asyncoro._SharesTallier._decrement = _decrement


def _hop(counter: Any) -> int:
    """Return the next program counter: the same on every platform and Python version."""
    text = f"{counter[0]},{counter[1]}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


def _reconcile(declared: Any, task: asyncio.Task[Any]) -> None:
    """Hand a coroutine's result to its placeholder, or its exception to the session."""
    mpc._pc_level -= 1
    exc = asyncio.CancelledError() if task.cancelled() else task.exception()
    if exc is None:
        if declared is not None:
            _set_result(declared, task.result())
        return
    if not isinstance(exc, asyncio.CancelledError):
        mpc.computation_failed(exc)
    _poison(declared, exc)


_set_result: Callable[[Any, Any], None] = getattr(asyncoro, "__reconcile")


def _poison(declared: Any, exc: BaseException) -> None:
    """Give the exception to every placeholder, so that whoever awaits one gets it."""
    if isinstance(declared, asyncoro.SecureObject):
        _poison(declared.share, exc)
    elif isinstance(declared, list | tuple):
        for item in declared:
            _poison(item, exc)
    elif isinstance(declared, asyncio.Future):
        _fail_future(declared, exc)


def _fail_future(future: asyncio.Future[Any], exc: BaseException) -> None:
    if future.done():
        return
    if isinstance(exc, asyncio.CancelledError):
        future.cancel()
    else:
        future.set_exception(exc)
        # Looked at once, so that asyncio does not report those nobody awaits.
        future.exception()


def _decrement(tallier: Any, _: object) -> None:
    """Count one more share that has come; an exception in one is the result of all."""
    tallier.tally -= 1
    if tallier.tally or tallier.done():
        return
    try:
        tallier.set_result(asyncoro._get_results(tallier.obj))
    except (Exception, asyncio.CancelledError) as exc:
        _fail_future(tallier, exc)
