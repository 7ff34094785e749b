"""``open_session``: the way into a session and the only way out of it.

A failure ends the body even when it awaits something else: first by the exceptions of what it
fetches, then, after a moment, by cancelling its task, as ``asyncio.timeout`` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from graph_mpc.session.config import SessionConfig
from graph_mpc.session.errors import SessionError
from graph_mpc.session.mesh import Mesh
from graph_mpc.session.runtime import HardenedRuntime, install
from graph_mpc.session.session import Session

# Time for the body to end by itself, with the traceback of where it was.
_GRACE = 0.1


@asynccontextmanager
async def open_session(config: SessionConfig) -> AsyncIterator[Session]:
    """Connect all parties of a run, and part when all have finished.

    Raises the session's failure, whatever the body was doing. An exception of the body's own ends
    the run for all parties.
    """
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    runtime = install(config.me, config.members)
    loop.set_exception_handler(lambda _, context: _on_exception(loop, runtime, context))
    mesh = Mesh(config, runtime)
    session = Session(config, runtime, mesh)
    guard = _BodyGuard(session)
    try:
        await mesh.start()
        runtime.attach(session, session.parties)
        guard.watch()
        yield session
        await mesh.finish()
    except BaseException as exc:
        failure = _failure_of(session, exc)
        ours = guard.release(exc) or isinstance(exc, Exception)
        if failure is None or failure is exc or not ours:
            raise
        failure.__cause__ = failure.__cause__ or exc
        raise failure  # noqa: B904  # Its own cause, where it has one, says more.
    finally:
        guard.release(None)
        runtime.detach()
        try:
            await mesh.close()
        finally:
            loop.set_exception_handler(handler)


def _failure_of(session: Session, exc: BaseException) -> SessionError | None:
    """Return the session's failure; without one, the body's own exception becomes it."""
    if session.failure is not None:
        return session.failure
    if isinstance(exc, SessionError):
        session.fail(exc)
        return session.failure
    session.abort("internal-error" if isinstance(exc, Exception) else "cancelled")
    return None


class _BodyGuard:
    """Cancels the task that runs the body when the session has failed."""

    def __init__(self, session: Session) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a session is opened inside a task")
        self._session = session
        self._task = task
        self._cancelling = task.cancelling()
        self._timer: asyncio.TimerHandle | None = None
        self._has_cancelled = False
        self._released = False

    def watch(self) -> None:
        self._session.failed.add_done_callback(self._on_failed)

    def release(self, exc: BaseException | None) -> bool:
        """Stop guarding; return whether this exception is our own cancellation."""
        self._released = True
        self._session.failed.remove_done_callback(self._on_failed)
        if self._timer is not None:
            self._timer.cancel()
        if not self._has_cancelled:
            return False
        self._has_cancelled = False
        only_ours = self._task.uncancel() <= self._cancelling
        return only_ours and isinstance(exc, asyncio.CancelledError)

    def _on_failed(self, _: object) -> None:
        if not self._released:
            self._timer = asyncio.get_running_loop().call_later(_GRACE, self._cancel)

    def _cancel(self) -> None:
        if not self._released:
            self._has_cancelled = True
            self._task.cancel()


def _on_exception(
    loop: asyncio.AbstractEventLoop, runtime: HardenedRuntime, context: dict[str, Any]
) -> None:
    """Fail the session for an exception in a callback: the program cannot go on without it."""
    exc = context.get("exception")
    if isinstance(exc, Exception) and "handle" in context:
        runtime.computation_failed(exc)
    elif not isinstance(exc, SessionError):
        loop.default_exception_handler(context)
