"""Structured logs: events with fields, not sentences.

Our loggers speak through the standard library's, so that a service which mounts the kit keeps
its own logging as it is. `set_up_logging` is for programs that leave it to us: JSON lines for
machines, readable lines on a terminal.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO, TypeAlias, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.types import EventDict, Processor, WrappedLogger

from opsbook.core.log_context import CURRENT
from opsbook.core.terminal import harmless, harmless_lines

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""The names that LOG_LEVEL takes, the least severe first."""

Scrub: TypeAlias = Callable[[Any], Any]
"""Gives an event, or a text, without the secrets in it."""

_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "_logger", "_name"}
"""What every record of the standard library has; whatever else one has was given as `extra`."""
_GIVEN = "opsbook_event"
_HEADING = ("timestamp", "level", "logger", "exc_info", "stack_info", "_record", "_from_structlog")


class _Process:
    """What holds for every line of this process."""

    release: str | None = None
    scrub: Scrub | None = None


def describe_process(release: str | None, scrub: Scrub) -> None:
    """Say which release this process runs, and what takes secrets out of its lines before they are written."""
    _Process.release, _Process.scrub = release, scrub


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
    renderers: list[Processor] = (
        [_scrubbed, _harmless, structlog.dev.ConsoleRenderer(exception_formatter=_harmless_traceback)]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, _scrubbed, structlog.processors.JSONRenderer()]
    )
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=_SHARED, processors=[ProcessorFormatter.remove_processors_meta, *renderers]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for server in ("uvicorn", "uvicorn.error"):
        # Uvicorn's command has set them up for itself before it loaded the app; their lines are to be like all others.
        logging.getLogger(server).handlers.clear()
        logging.getLogger(server).propagate = True
    # Its lines repeat ours, and would carry query strings.
    logging.getLogger("uvicorn.access").disabled = True
    for chatty in ("httpx", "httpcore", "psycopg.pool", "procrastinate"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def event_of(record: logging.LogRecord) -> dict[str, Any]:
    """A record, of whatever logger, as its fields by name: its text is `event`, a traceback `exception`."""
    given = record.msg if isinstance(record.msg, dict) else getattr(record, _GIVEN, None)
    if given is None:
        extra = {name: value for name, value in record.__dict__.items() if name not in _ATTRIBUTES}
        given = _with_context(None, "", {**extra, "event": _message(record), "exc_info": record.exc_info})
    event = structlog.processors.format_exc_info(None, "", dict(cast("EventDict", given)))
    return {name: value for name, value in event.items() if name not in _HEADING}


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        # Its arguments do not fit, or one cannot be shown: that somebody wanted to say something is worth a line.
        told = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        return f"{told} <{type(error).__name__}>"


def _with_context(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What is known of the request, under what the line says itself."""
    context = CURRENT.get()
    known = {**structlog.contextvars.get_contextvars(), **(context.fields() if context else {})}
    if _Process.release:
        known["release"] = _Process.release
    return {**known, **event} if known else event


def _handed_over(logger: WrappedLogger, method: str, event: EventDict) -> Any:
    """As fields where our formatter takes them, as text where another one would print a dict."""
    ours = any(isinstance(handler.formatter, ProcessorFormatter) for handler in logging.getLogger().handlers)
    if ours:
        return ProcessorFormatter.wrap_for_formatter(logger, method, event)
    # Others' formatters scrub nothing, neither the text nor what is given beside it.
    whole = _scrubbed(logger, method, event)
    said = {name: value for name, value in whole.items() if name not in _HEADING}
    return (_AS_TEXT(logger, method, said),), {"exc_info": whole.get("exc_info"), "extra": {_GIVEN: whole}}


def _scrubbed(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if _Process.scrub is None:
        return event
    # An exception is scrubbed as text, once it is one.
    kept = {"exc_info": event.pop("exc_info")} if "exc_info" in event else {}
    try:
        return {**_Process.scrub(event), **kept}
    except Exception:
        # A value whose repr fails costs only itself.
        return {**{name: _scrubbed_alone(name, value, _Process.scrub) for name, value in event.items()}, **kept}


def _scrubbed_alone(name: str, value: object, scrub: Scrub) -> object:
    try:
        return scrub({name: value})[name]
    except Exception:
        # As above.
        return f"<{type(value).__name__}>"


def _harmless(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """With nothing in it that acts on a terminal; a traceback keeps its lines."""
    for name, value in tuple(event.items()):
        if name in {"exception", "stack"}:
            event[name] = harmless_lines(str(value))
        elif name != "exc_info":
            event[harmless(name)] = _harmless_value(event.pop(name))
    return event


def _harmless_value(value: object) -> object:
    if isinstance(value, str):
        return harmless(value.rstrip("\n"))
    shown = repr(value)
    clean = harmless(shown)
    return value if clean == shown else clean


def _harmless_traceback(
    stream: TextIO, exc_info: tuple[type[BaseException], BaseException, TracebackType | None]
) -> None:
    # Plain: richer tracebacks print local variables, and with them passwords.
    text = structlog.processors.format_exc_info(None, "", {"exc_info": exc_info})["exception"]
    stream.write("\n" + harmless_lines(text if _Process.scrub is None else _Process.scrub(text)))


class _Handler(logging.StreamHandler[TextIO]):
    """Of a record that cannot be written it tells where it came from, and not its arguments, which nobody scrubbed."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Called by the standard library while the error is handled."""
        error = sys.exc_info()[0]
        with suppress(OSError, ValueError):
            why = error.__name__ if error else "unknown error"
            self.stream.write(f"log record of {record.name}, {record.pathname}:{record.lineno}, not written: {why}\n")


_SHARED: list[Processor] = [
    _with_context,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_AS_TEXT = structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True)
