"""A joint run as pages show it: how far it is, who is waited for, and what every member stated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bank_node.node.statement import FINAL
from bank_node.web.words import Words
from graph_mpc.errors import ParameterError
from graph_mpc.window import parse_time

__all__ = [
    "FINISHED",
    "MemberLine",
    "Standing",
    "Step",
    "may_approve",
    "may_reject",
    "parameters_told",
    "standing_of",
]

FINISHED = FINAL
"""Phases in which nothing follows."""
_DAY = 86_400_000_000
_STEPS = ("judging", "consented", "ready", "running", "computed", "stored")


@dataclass(frozen=True)
class Step:
    """A phase on the way to a result; ``place`` is done, now or to-come."""

    name: str
    place: str


@dataclass(frozen=True)
class MemberLine:
    """What a member has stated; an empty phase: nothing was heard of it."""

    name: str
    phase: str
    attempt: int
    code: str
    reason: str


@dataclass(frozen=True)
class Standing:
    """How a run stands.

    Attributes:
        steps: the way to a result. members: what each has stated.
        waited_for: members that are behind, or that nothing was heard of.
        done, total: of the own worker's present step; 0 of 0 if it says nothing.
    """

    steps: tuple[Step, ...]
    members: tuple[MemberLine, ...]
    waited_for: tuple[str, ...]
    doing: str
    done: int
    total: int


def may_reject(run: Mapping[str, Any]) -> bool:
    """Say whether the node gives a run up when a person says so: not after its vote."""
    return run["phase"] not in FINISHED | {"computed"}


def may_approve(run: Mapping[str, Any]) -> bool:
    """Say whether a run waits for a person's approval."""
    waits = run["phase"] not in FINISHED.union(_STEPS[1:], ("failed",))
    return waits and bool(run["waiting_for"]) and not run.get("approved_by")


def parameters_told(run: Mapping[str, Any], words: Words) -> list[tuple[str, str]]:
    """Return the public parameters, the window's times as the reader's country writes them."""
    return [
        (name, _time_told(name, str(value), words) if name in ("since", "until") else str(value))
        for name, value in run["parameters"].items()
    ]


def _time_told(name: str, text: str, words: Words) -> str:
    try:
        moment = parse_time(name, text)
    except ParameterError:  # of a proposal that was refused for it
        return text
    return words.time(moment) if moment % _DAY else words.day(moment)


def standing_of(run: Mapping[str, Any]) -> Standing:
    """Return how a run stands, from what the node tells of it."""
    members = tuple(_member(name, told) for name, told in run.get("members", {}).items())
    progress = run.get("progress") or {}
    return Standing(
        steps=_steps(str(run["phase"])),
        members=members,
        waited_for=_behind(str(run["phase"]), members),
        doing=str(progress.get("phase", "")),
        done=int(progress.get("done", 0)),
        total=int(progress.get("total", 0)),
    )


def _member(name: str, told: Mapping[str, Any] | None) -> MemberLine:
    given = told or {}
    return MemberLine(
        name=name,
        phase=str(given.get("phase", "")),
        attempt=int(given.get("attempt", 0)),
        code=str(given.get("code", "")),
        reason=str(given.get("reason", "")),
    )


def _steps(phase: str) -> tuple[Step, ...]:
    now = _STEPS.index(phase) if phase in _STEPS else -1
    places: Sequence[str] = [
        "done" if i < now or phase == "stored" else "now" if i == now else "to-come"
        for i in range(len(_STEPS))
    ]
    return tuple(Step(name, place) for name, place in zip(_STEPS, places, strict=True))


def _behind(phase: str, members: tuple[MemberLine, ...]) -> tuple[str, ...]:
    """Return the members whose phase comes before the own one, or who have not said a word."""
    if phase in FINISHED:
        return ()
    own = _STEPS.index(phase) if phase in _STEPS else 0
    return tuple(
        member.name
        for member in members
        if not member.phase or (member.phase in _STEPS and _STEPS.index(member.phase) < own)
    )
