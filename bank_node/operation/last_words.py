"""What ends a thread or the process without being caught, in the log instead of printed."""

import sys
import threading
from typing import Any

import structlog

__all__ = ["log_last_words"]


def log_last_words() -> None:
    """Log exceptions that nobody caught, told as all others: without their messages."""
    logger = structlog.get_logger()

    def of_process(kind: type[BaseException], error: BaseException, _trace: Any) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            logger.error("uncaught exception", exc_info=error)

    def of_thread(words: threading.ExceptHookArgs) -> None:
        if not issubclass(words.exc_type, SystemExit):
            logger.error("uncaught exception in a thread", exc_info=words.exc_value)

    def of_finaliser(words: "sys.UnraisableHookArgs") -> None:
        logger.error("exception that could not be raised", exc_info=words.exc_value)

    sys.excepthook = of_process
    threading.excepthook = of_thread
    sys.unraisablehook = of_finaliser
