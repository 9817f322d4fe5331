"""A log record as it is sent to the ops database: bounded, and in a form that Postgres takes. Pure."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, TypeAlias, cast

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
_MOST_INTEGER: Final = 2**63
_MOST_DEPTH: Final = 50
_COLUMNS: Final = ("request_id", "trace_id", "user_id")
_TRACE: Final = re.compile(r"[0-9a-fA-F]{32}")


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


def line_of(record: logging.LogRecord, scrubber: Scrubber) -> Line:
    """The line of a record; whatever it refers to may change or go afterwards.

    Secrets are still in it, but for those that could not be told any more from what is left of a long event.
    """
    event = event_of(record)
    event.pop("release", None)  # stands with the writer
    message = _text(event.pop("event", ""))
    exception = event.pop("exception", None)
    ids = {name: _short(event.pop(name, None)) for name in _COLUMNS}
    ids["trace_id"] = _trace(ids["trace_id"])
    return Line(
        record.created,
        _level_of(record.levelno),
        _clean(record.name)[:_LONGEST_NAME] or "root",
        _clean(message[:MOST_MESSAGE]),
        _fields(event, scrubber),
        None if exception is None else _clean(_text(exception)[-MOST_EXCEPTION:]),
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
    return msgspec.structs.replace(line, fields=_fields(clean, scrubber), message=message, exception=exception)


def _level_of(number: int) -> Level:
    """The level of a record, also one of somebody's own between ours."""
    for least, level in _LEVELS:
        if number >= least:
            return level
    return "debug"


def _fields(event: Mapping[str, Any], scrubber: Scrubber) -> bytes:
    encoded = _encoded(event)
    if len(encoded) > MOST_FIELDS:
        # In the text of what is cut off, a secret could not be told by the name that it has.
        encoded = orjson.dumps(scrubber.scrub(orjson.loads(encoded)))
        encoded = orjson.dumps({"cut_off": encoded[: MOST_FIELDS // 2].decode("utf-8", "ignore")})
    return encoded.replace(b"\\u0000", b"\\ufffd")  # which Postgres' jsonb cannot hold


def _encoded(event: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, RecursionError):
        # Lone surrogates, numbers beyond 64 bits, circles, a repr that fails.
        return orjson.dumps(_plain(event, frozenset()))


def _plain(value: object, within: Collection[int]) -> Any:
    """The value as far as JSON can hold it, its names kept for the scrubber; `within` are the ids of what it is in."""
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _MOST_INTEGER):
        return value
    if not isinstance(value, Mapping | list | tuple):
        return _clean(_text(value))
    if id(value) in within or len(within) >= _MOST_DEPTH:
        return f"<{type(value).__name__}>"
    inside = {*within, id(value)}
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value).items()
        return {_clean(_text(name)): _plain(each, inside) for name, each in entries}
    return [_plain(each, inside) for each in cast("list[object] | tuple[object, ...]", value)]


def _text(value: object) -> str:
    try:
        return value if isinstance(value, str) else str(value)
    except Exception:
        # It may raise anything, and the line is worth more than this value.
        return f"<{type(value).__name__}>"


def _clean(text: str) -> str:
    """As Postgres' text can hold it: no NUL, no lone surrogates."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _short(value: object) -> str | None:
    return _clean(_text(value))[:_LONGEST_NAME] if value not in (None, "") else None


def _trace(text: str | None) -> str | None:
    """Its 32 digits, which Postgres takes as they are; with dashes, it takes those of a UUID alone."""
    digits = (text or "").replace("-", "")
    return digits if _TRACE.fullmatch(digits) else None
