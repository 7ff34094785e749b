"""Logs of a node, one line per event, without personal data by construction.

Whatever is logged, by the node's own code through structlog or by a library through ``logging``,
goes through one ``LogGuard``:

- the words of the event pass only if they are a constant of the code that logs them, so a text put
  together from data never does;
- an argument of a format string passes only if it is the id of a known member, a code of an error,
  or an error whose message holds no data;
- a field passes only if ``fields`` knows its name and its value has the form of that name;
- an exception is told by type, code and place (``faults``), never by its message.

What does not pass is counted: ``dropped`` of the line says how many words were left out.
"""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from bank_node.operation.faults import TELLING, describe_exception, known_codes, place_of
from bank_node.operation.fields import admit
from bank_node.operation.last_words import log_last_words

__all__ = ["WITHHELD", "LogGuard", "configure_logs"]

WITHHELD = "words withheld"
"""Stands for words that are not a constant of the code that logs them."""

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_CALLERS = 4
_ARGUMENTS = "arguments of the words"
_WORDS = frozenset({"run", "status", "statement", "will", "other", "unknown"})
# Code between the one that logs and this: its constants prove nothing.
_BETWEEN = ("structlog", "logging", "warnings", __name__)
# A record of ``logging`` has these of its own; everything else was given as a field.
_OF_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


def now_us() -> int:
    """Return the time in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class LogGuard:
    """The processor through which every line goes; counts what it leaves out.

    Args:
        members: gives the ids of the members that may be named, whenever it is asked.
        clock: gives microseconds since 1970 UTC.

    Attributes:
        dropped: words and fields left out so far.
    """

    def __init__(
        self,
        members: Callable[[], Collection[str]] = frozenset,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.members = members
        self.dropped = 0
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, _logger: Any, level: str, event: EventDict) -> EventDict:
        """Return the line with what may stand in it, and nothing else."""
        frame = _caller()
        line: dict[str, Any] = {"time": _iso(self._clock()), "level": _level(level, event)}
        line["event"], dropped = self._words(
            event.pop("event", None), event.pop(_ARGUMENTS, ()), frame
        )
        fault = _exception(event.pop("exc_info", None))
        dropped += self._admit(event, line)
        if fault is not None:
            line |= describe_exception(fault)
        if frame is not None and (dropped or line["level"] != "info"):
            line["at"] = place_of(frame.f_globals.get("__name__"), frame.f_lineno)
        if dropped:
            line["dropped"] = dropped
            with self._lock:
                self.dropped += dropped
        return line

    def _words(self, words: object, arguments: object, frame: FrameType | None) -> tuple[str, int]:
        """Return the words as they may be written, and how much of them is left out."""
        if type(words) is not str or not _is_constant(words, frame):
            return WITHHELD, 1
        if not arguments:
            return words, 0
        if not isinstance(arguments, tuple):
            return words, 1
        told = [self._argument(argument) for argument in arguments]
        dropped = told.count(None)
        try:
            return words % tuple("…" if word is None else word for word in told), dropped
        except (TypeError, ValueError):
            return words, len(told)

    def _argument(self, value: object) -> str | None:
        if type(value) in TELLING:
            return str(value)
        if type(value) is not str:
            return None
        return value if value in self.members() or value in _WORDS | known_codes() else None

    def _admit(self, event: EventDict, line: dict[str, Any]) -> int:
        """Put the fields that pass into the line and return the number of the others."""
        members = self.members()
        dropped = 0
        for name, value in event.items():
            passed = admit(name, value, members) if isinstance(name, str) else None
            if passed is not None:
                line[name] = passed
            elif value is not None and name not in ("level", "stack_info"):
                dropped += 1
        return dropped


class _Forgiving:
    """A stream whose reader may go away: a node does not stop because nobody reads its log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write the text if anybody takes it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush if anybody takes it."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


class _Route(logging.Handler):
    """Sends records of ``logging`` the same way as the node's own events."""

    def __init__(self, processors: list[Processor], output: structlog.PrintLogger) -> None:
        super().__init__()
        self._processors = processors
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        event: Any = {k: v for k, v in vars(record).items() if k not in _OF_RECORD}
        event |= {"event": record.msg, "exc_info": record.exc_info, _ARGUMENTS: record.args}
        try:
            for process in self._processors:
                event = process(None, record.levelname.lower(), event)
            self._output.msg(event)
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - name of logging
        """Say that a line was lost without the traceback that ``logging`` would print."""
        del record
        sys.stderr.write("a log line was lost\n")


def configure_logs(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["json", "console"] = "json",
    *,
    members: Callable[[], Collection[str]] = frozenset,
    stream: TextIO | None = None,
    clock: Callable[[], int] = now_us,
) -> LogGuard:
    """Let everything that this process logs go through one guard, to the standard error.

    Also what ends a thread or the process as an exception, and warnings.

    Args:
        level: least level that is written; of libraries, warnings and worse unless ``debug``.
        form: a JSON object per line, or columns for a terminal.
        members: gives the ids of the members that may be named.
        stream: where to; None: the standard error.
        clock: gives microseconds since 1970 UTC.
    """
    target = sys.stderr if stream is None else stream
    output = cast(TextIO, _Forgiving(target))
    guard = LogGuard(members, clock)
    processors: list[Processor] = [guard, _renderer(form, target)]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *processors],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Route(processors, structlog.PrintLogger(output))]
    root.setLevel(_LEVELS[level] if level in ("debug", "error") else logging.WARNING)
    logging.captureWarnings(capture=True)
    log_last_words()
    return guard


def _renderer(form: str, stream: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="time")


def _caller() -> FrameType | None:
    """Return the frame of the code that logs: the first that only passes nothing on."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _passes_on(frame):
        frame = frame.f_back
    return frame


def _passes_on(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return any(module == name or module.startswith(f"{name}.") for name in _BETWEEN)


def _is_constant(words: str, frame: FrameType | None) -> bool:
    """Whether the words stand in the code that logs, or that called it to log them."""
    for _ in range(_CALLERS):
        if frame is None:
            return False
        if any(type(c) is str and c == words for c in frame.f_code.co_consts):
            return True
        frame = frame.f_back
    return False


def _exception(exc_info: object) -> BaseException | None:
    if exc_info is True:
        return sys.exc_info()[1]
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _level(method: str, event: EventDict) -> str:
    if method == "exception":
        return "error"
    return method if method in (*_LEVELS, "critical") else "info"


def _iso(time_us: int) -> str:
    return (
        datetime.fromtimestamp(time_us / 1e6, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
