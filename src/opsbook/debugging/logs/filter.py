"""Which lines somebody wants: the same for a search, a follower and a page. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from opsbook.core.errors import Invalid

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
"""The least severe first."""

LONGEST_TEXT: Final = 200

PLACE_PATTERN: Final = "^[0-9]{1,16}_[0-9]{1,9}_[0-9]{1,18}$"
"""A line's time in microseconds since 1970, its writer and its number."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Each field narrows; what is left out does not."""

    level: str | None = None
    """The least severe one that is wanted."""
    logger: str | None = None
    """And those below it: `opsbook` is also `opsbook.http`."""
    request: str | None = None
    trace: str | None = None
    user: str | None = None
    text: str | None = None
    """Words, or beginnings of words, all of which the line has."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Values by the names of the line's fields."""

    def parameters(self) -> Mapping[str, Any]:
        """What the statements take.

        Raises:
            Invalid: The level is none, or the trace is not 32 hexadecimal digits.
        """
        return {
            "levels": self._levels(),
            "logger": _bounded(self.logger),
            "request": _bounded(self.request),
            "trace": _trace(self.trace),
            "user": _bounded(self.user),
            "text": _bounded(self.text),
            "fields": orjson.dumps(dict(self.fields)).decode() if self.fields else None,
        }

    def _levels(self) -> Sequence[str] | None:
        if not self.level:
            return None
        wanted = self.level.lower()
        if wanted not in LEVELS:
            raise Invalid(f"{self.level!r} is no level; there are {', '.join(LEVELS)}")
        return None if wanted == LEVELS[0] else list(LEVELS[LEVELS.index(wanted) :])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of lines ended, for the next one to begin there."""

    logged_at: datetime
    writer: int
    number: int

    def __str__(self) -> str:
        return f"{(self.logged_at - _EPOCH) // _MICROSECOND}_{self.writer}_{self.number}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """A place as its text.

        Raises:
            Invalid: It is none.
        """
        if re.fullmatch(PLACE_PATTERN, text) is None:
            raise Invalid(f"{text[:100]!r} is no place in the logs")
        microseconds, writer, number = map(int, text.split("_"))
        return cls(_EPOCH + microseconds * _MICROSECOND, writer, number)


def read_fields(given: Sequence[str]) -> Mapping[str, str]:
    """Conditions on fields, each written as `status=500`.

    Raises:
        Invalid: One has no name or no `=`.
    """
    pairs = [each.replace("\0", "").partition("=") for each in given]
    for (name, joint, _), text in zip(pairs, given, strict=True):
        if not name or not joint:
            raise Invalid(f"{text!r} is no condition; write one as status=500")
    return {name: value for name, _, value in pairs}


def _bounded(text: str | None) -> str | None:
    return (text or "").replace("\0", "").strip()[:LONGEST_TEXT] or None


def _trace(text: str | None) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text.strip())
    except ValueError as error:
        raise Invalid(f"{text[:LONGEST_TEXT]!r} is no trace: those have 32 hexadecimal digits") from error
