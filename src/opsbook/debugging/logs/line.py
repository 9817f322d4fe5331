"""A log record as it is sent to the ops database: bounded, and in a form that Postgres takes. Pure."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
import orjson

from opsbook.core.log import event_of
from opsbook.debugging.scrubbing import Scrubber

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]

MOST_MESSAGE: Final = 8_000
MOST_FIELDS: Final = 16_000
MOST_EXCEPTION: Final = 32_000
"""Characters, and of the fields bytes of JSON; of a longer traceback its end stays, where the error is."""

_LONGEST_NAME: Final = 200
_LEVELS: Final[tuple[tuple[int, Level], ...]] = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)
_COLUMNS: Final = ("request_id", "trace_id", "user_id")
_TRACE_DIGITS: Final = 32


class Line(msgspec.Struct, frozen=True):
    """One line as it was said; `fields` is a JSON object."""

    logged_at: float
    """Seconds since 1970."""
    level: Level
    logger: str
    message: str
    fields: bytes
    exception: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    user_id: str | None = None

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return 500 + len(self.fields) + len(self.message) + len(self.exception or "")


def line_of(record: logging.LogRecord) -> Line:
    """The line of a record; whatever it refers to may change or go afterwards."""
    event = event_of(record)
    event.pop("release", None)  # stands with the writer
    message = str(event.pop("event", ""))
    exception = event.pop("exception", None)
    ids = {name: _short(event.pop(name, None)) for name in _COLUMNS}
    if not _is_trace(ids["trace_id"]):
        ids["trace_id"] = None
    return Line(
        record.created,
        _level_of(record.levelno),
        _clean(record.name)[:_LONGEST_NAME] or "root",
        _clean(message[:MOST_MESSAGE]),
        _fields(event),
        None if exception is None else _clean(str(exception)[-MOST_EXCEPTION:]),
        **ids,
    )


def scrubbed(line: Line, scrubber: Scrubber) -> Line:
    """The line without its secrets; the same one where it has none."""
    fields: Any = orjson.loads(line.fields)
    clean = scrubber.scrub(fields)
    message = scrubber.scrub_text(line.message)
    exception = None if line.exception is None else scrubber.scrub_text(line.exception)
    if clean is fields and message == line.message and exception == line.exception:
        return line
    return msgspec.structs.replace(line, fields=_fields(clean), message=message, exception=exception)


def _level_of(number: int) -> Level:
    """The level of a record, also one of somebody's own between ours."""
    for least, level in _LEVELS:
        if number >= least:
            return level
    return "debug"


def _fields(event: Mapping[str, Any]) -> bytes:
    encoded = _encoded(event)
    if len(encoded) > MOST_FIELDS:
        encoded = orjson.dumps({"cut_off": encoded[: MOST_FIELDS // 2].decode("utf-8", "ignore")})
    return encoded.replace(b"\\u0000", b"\\ufffd")  # which Postgres' jsonb cannot hold


def _encoded(event: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, RecursionError):
        # Lone surrogates, numbers beyond 64 bits, circles, a repr that fails.
        return orjson.dumps({str(name): _clean(_shown(value)) for name, value in event.items()})


def _shown(value: object) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, default=repr)
    except Exception:
        # A repr may raise anything, and the line is worth more than this field.
        return f"<{type(value).__name__}>"


def _clean(text: str) -> str:
    """As Postgres' text can hold it: no NUL, no lone surrogates."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _short(value: object) -> str | None:
    return _clean(str(value))[:_LONGEST_NAME] if value not in (None, "") else None


def _is_trace(text: str | None) -> bool:
    digits = (text or "").replace("-", "")
    return len(digits) == _TRACE_DIGITS and all(digit in "0123456789abcdefABCDEF" for digit in digits)
