"""Structured logs: events with fields, not sentences.

Our loggers speak through the standard library's, so that a service which mounts the kit keeps
its own logging as it is. `set_up_logging` is for programs that leave it to us: JSON lines for
machines, readable lines on a terminal.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.types import EventDict, Processor, WrappedLogger

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_AS_TEXT = structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True)


def get_logger(name: str) -> BoundLogger:
    """A logger of that name, whose level and destination are those of the standard library's."""
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=BoundLogger,
        processors=[structlog.stdlib.filter_by_level, *_SHARED, _handed_over],
    )
    return cast("BoundLogger", logger)


def set_up_logging(level: str) -> None:
    """Send every log of this process, from `level` up, to standard error."""
    # Plain tracebacks: richer ones print local variables, and with them passwords.
    renderers: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_SHARED, processors=[ProcessorFormatter.remove_processors_meta, *renderers]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Its lines repeat ours, and would carry query strings.
    logging.getLogger("uvicorn.access").disabled = True
    for chatty in ("httpx", "httpcore", "psycopg.pool", "procrastinate"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def _handed_over(logger: WrappedLogger, method: str, event: EventDict) -> Any:
    """As fields where our formatter takes them, as text where another one would print a dict."""
    ours = any(isinstance(handler.formatter, ProcessorFormatter) for handler in logging.getLogger().handlers)
    if ours:
        return ProcessorFormatter.wrap_for_formatter(logger, method, event)
    exc_info = event.pop("exc_info", None)
    for field in ("timestamp", "level", "logger"):
        event.pop(field, None)
    return (_AS_TEXT(logger, method, event),), {"exc_info": exc_info}
