"""The next move of a member in a joint run, from what all members have stated: a pure function.

With n members, each stating its own phase (``statement``), a member

- starts attempt k when all have stated ``ready`` for k;
- states ``computed`` for k when its worker has finished and the result lies on its disk;
- stores the result when all have stated ``computed`` for k;
- gives attempt k up when any member has failed it or has gone on to a later one.

No member directs the others and none is waited for by name.  *Either all store or none*: whoever
has stated ``computed`` for k leaves that state only (a) to ``stored``, when all have stated
``computed`` for k, or (b) when some member has stated ``failed`` for k, or is beyond it, or has
given up; that member has not stated ``computed`` for k and never will, so nobody can be in (a).
That is two-phase commitment with the votes sent to all, where a member that is away blocks the
others' result but not their next run (Skeen, "Nonblocking commit protocols", 1981).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bank_node.node.statement import Statement

__all__ = ["MOST_ATTEMPTS", "Limits", "Move", "RunView", "decide"]

Act = Literal[
    "wait",
    "refuse",
    "get-ready",
    "start",
    "stop",
    "store",
    "drop",
    "fail",
    "try-again",
    "abandon",
]

_STARTED = frozenset({"ready", "running", "computed", "failed", "stored"})
_HOLDS_RESULT = frozenset({"computed", "stored"})


@dataclass(frozen=True)
class Limits:
    """How long and how often: ``attempts`` that reach a worker, ``ready`` seconds of waiting."""

    attempts: int = 3
    ready: float = 30.0
    retry_after: float = 5.0


@dataclass(frozen=True)
class RunView:
    """What one member knows of a run.

    Attributes:
        me: id of this member.
        own: its own standing.
        peers: latest statement of each other member; None: nothing heard of it yet.
        expires: microseconds; after it no attempt is begun.
        since: when ``own`` took its phase, microseconds.
        tries: attempts of this member that reached a worker.
        may_begin: whether a place is free for it and it is the first in the queue.
    """

    me: str
    own: Statement
    peers: Mapping[str, Statement | None]
    expires: int
    since: int
    tries: int
    may_begin: bool


@dataclass(frozen=True)
class Move:
    """What to do, for which attempt, and why.

    Attributes:
        act: ``wait`` for something to happen; ``get-ready`` (take a place and a port);
            ``start`` the worker; ``stop`` it and state ``failed``; ``store`` the result; ``drop``
            it and state ``failed``; ``fail`` without a worker; ``try-again`` from ``consented``;
            ``refuse`` or ``abandon`` for good.
        attempt: of what is stated next.
        code, reason: for those that end something.
    """

    act: Act
    attempt: int = 0
    code: str = ""
    reason: str = ""


MOST_ATTEMPTS = 200
"""Also of attempts that reach no worker; statements of far later ones are not believed."""

_MOST_DOUBLINGS = 6
_WAIT = Move("wait")


def decide(view: RunView, now: int, limits: Limits) -> Move:
    """Return the next move; the same for the same view, however it came about."""
    step = {
        "judging": _while_judging,
        "consented": _while_consented,
        "ready": _while_ready,
        "running": _while_running,
        "computed": _while_computed,
        "failed": _after_failure,
    }.get(view.own.phase)
    return _WAIT if step is None else step(view, now, limits)


def _while_judging(view: RunView, now: int, _limits: Limits) -> Move:
    return _given_up_by_another(view) or _expired(view, now) or _WAIT


def _while_consented(view: RunView, now: int, _limits: Limits) -> Move:
    over = _given_up_by_another(view) or _expired(view, now)
    if over is not None:
        return over
    all_agree = all(p is not None and p.signature for p in view.peers.values())
    if not all_agree or not view.may_begin:
        return _WAIT
    attempt = _next_attempt(view)
    if attempt > MOST_ATTEMPTS:
        return Move("abandon", view.own.attempt, "node.not-ready", "it was tried too often")
    return Move("get-ready", attempt)


def _while_ready(view: RunView, now: int, limits: Limits) -> Move:
    attempt = view.own.attempt
    lost = _lost(view)
    if lost is not None:
        return Move("fail", attempt, lost.code, lost.reason)
    if all(_has_begun(p, attempt) for p in view.peers.values()):
        return Move("start", attempt)
    if now - view.since > limits.ready * 1e6:
        missing = sorted(m for m, p in view.peers.items() if not _has_begun(p, attempt))
        return Move(
            "fail", attempt, "node.not-ready", f"{' and '.join(missing)} did not get ready in time"
        )
    return _WAIT


def _while_running(view: RunView, _now: int, _limits: Limits) -> Move:
    lost = _lost(view)
    return _WAIT if lost is None else Move("stop", view.own.attempt, lost.code, lost.reason)


def _while_computed(view: RunView, _now: int, _limits: Limits) -> Move:
    attempt = view.own.attempt
    lost = _lost(view)
    if lost is not None:
        return Move("drop", attempt, lost.code, lost.reason)
    votes = view.peers.values()
    if all(p is not None and p.phase in _HOLDS_RESULT and p.attempt == attempt for p in votes):
        return Move("store", attempt)
    return _WAIT


def _after_failure(view: RunView, now: int, limits: Limits) -> Move:
    over = _given_up_by_another(view)
    if over is not None:
        return over
    own = view.own
    if view.tries >= limits.attempts:
        return Move("abandon", own.attempt, own.code, own.reason)
    if now > view.expires:
        return Move("abandon", own.attempt, own.code or "node.expired", own.reason)
    if own.attempt >= MOST_ATTEMPTS:
        return Move("abandon", own.attempt, own.code or "node.not-ready", own.reason)
    pause = limits.retry_after * 2 ** min(max(own.attempt - 1, 0), _MOST_DOUBLINGS)
    # Whoever's pause ends first calls the others: pauses out of step would never meet.
    is_called = any(p is not None and p.attempt > own.attempt for p in view.peers.values())
    if now - view.since < pause * 1e6 and not is_called:
        return _WAIT
    return Move("try-again", own.attempt + 1)


def _given_up_by_another(view: RunView) -> Move | None:
    """Return how the run ends here when another member has refused it or given it up."""
    for member, peer in sorted(view.peers.items()):
        if peer is not None and peer.phase in ("refused", "abandoned"):
            word = "refused" if peer.phase == "refused" else "gave up"
            return Move(
                "abandon",
                view.own.attempt,
                peer.code,
                f"{member} {word}: {peer.reason or 'no word'}",
            )
    return None


def _expired(view: RunView, now: int) -> Move | None:
    if now <= view.expires:
        return None
    silent = sorted(m for m, p in view.peers.items() if p is None or not p.signature)
    told = f"no consent of {' and '.join(silent)}" if silent else "there was no place for it"
    return Move("abandon", view.own.attempt, "node.expired", f"not begun in time: {told}")


def _lost(view: RunView) -> Move | None:
    """Return why the attempt cannot succeed any more, if some member has failed it."""
    attempt = view.own.attempt
    for member, peer in sorted(view.peers.items()):
        if peer is None:
            continue
        gone = peer.phase in ("refused", "abandoned") or peer.attempt > attempt
        if gone or (peer.phase == "failed" and peer.attempt == attempt):
            code = peer.code or "node.peer-failed"
            return Move("wait", attempt, code, f"{member} gave up: {peer.reason or 'no word'}")
    return None


def _has_begun(peer: Statement | None, attempt: int) -> bool:
    return peer is not None and peer.attempt == attempt and peer.phase in _STARTED


def _next_attempt(view: RunView) -> int:
    """Return the latest attempt that anybody is in, or the one after it if that has failed."""
    peers = [p for p in view.peers.values() if p is not None]
    latest = max([p.attempt for p in peers] + [view.own.attempt, 1])
    has_failed = any(p.phase == "failed" and p.attempt == latest for p in peers)
    return latest + 1 if has_failed else latest
