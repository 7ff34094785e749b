"""An exception as a log line tells it: its type, its code and where, but not what it says.

The message of an exception may quote what a bank wrote (a row, a query, a name of a file), so it is
left out; only errors of classes whose messages are made of names of members, of settings and of
folders of the node keep theirs.  Type, code, module and line are enough to find the place.
"""

import re
import traceback
from types import TracebackType
from typing import Any

from bank_node.coordination.errors import (
    ClockError,
    ExpiredMessage,
    ForgedMessage,
    MalformedMessage,
    MisplacedMessage,
    OversizedMessage,
    StrangerMessage,
)
from bank_node.errors import UndercurrentError
from bank_node.node.errors import AlreadyRunningError, NoAgreementError, NotRunningError
from bank_node.operation.errors import NotLoopbackError

__all__ = ["TELLING", "describe_exception", "known_codes", "place_of"]

TELLING: frozenset[type[UndercurrentError]] = frozenset(
    {
        # of this node: its folder, its settings
        AlreadyRunningError,
        NoAgreementError,
        NotLoopbackError,
        NotRunningError,
        # of a message: why, the member in whose name it came, seconds
        ClockError,
        ExpiredMessage,
        ForgedMessage,
        MalformedMessage,
        MisplacedMessage,
        OversizedMessage,
        StrangerMessage,
    }
)
"""Errors whose messages hold no data; a subclass is not among them unless it is named."""

_FRAMES = 8
_CAUSES = 4
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,120}")
_CODE = re.compile(r"[a-z]+(?:[.-][a-z]+){0,6}")


def describe_exception(error: BaseException) -> dict[str, Any]:
    """Return type, code and places of an exception and of its causes."""
    told = _describe_one(error)
    causes: list[dict[str, Any]] = []
    seen = {id(error)}
    cause = _cause(error)
    while cause is not None and id(cause) not in seen and len(causes) < _CAUSES:
        seen.add(id(cause))
        causes.append(_describe_one(cause))
        cause = _cause(cause)
    return told | {"causes": causes} if causes else told


def known_codes() -> frozenset[str]:
    """Return the codes of all kinds of errors that this process knows."""
    kinds, found = [UndercurrentError], set()
    while kinds:
        kind = kinds.pop()
        found.add(kind.code)
        kinds += kind.__subclasses__()
    return frozenset(found)


def place_of(module: object, line: int) -> str:
    """Return ``module:line``, the module only if it looks like one."""
    known = isinstance(module, str) and _NAME.fullmatch(module)
    return f"{module if known else 'unknown'}:{line}"


def _describe_one(error: BaseException) -> dict[str, Any]:
    told: dict[str, Any] = {"error": _type_name(type(error))}
    code = getattr(type(error), "code", None)
    if isinstance(code, str) and _CODE.fullmatch(code):
        told["code"] = code
    if type(error) in TELLING:
        told["message"] = str(error)
    places = _places(error.__traceback__)
    if places:
        told["trace"] = places
    if isinstance(error, BaseExceptionGroup):
        told["group"] = [_describe_one(inner) for inner in error.exceptions[:_CAUSES]]
    return told


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _type_name(cls: type[BaseException]) -> str:
    name = f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")
    # A class made inside a function has <locals> in its name.
    name = name.replace("<locals>.", "")
    return name if _NAME.fullmatch(name) else "exception"


def _places(trace: TracebackType | None) -> list[str]:
    """Return the places of a traceback, the outermost first, the innermost ones only if many."""
    frames = [
        place_of(frame.f_globals.get("__name__"), line) for frame, line in traceback.walk_tb(trace)
    ]
    return frames[-_FRAMES:]
