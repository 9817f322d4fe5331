"""Log lines on a terminal: what a stranger wrote must not move the cursor, clear the screen or forge a line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from rich.text import Text

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters of both sets (ISO/IEC 6429), line and paragraph separators, and marks that turn the direction."""
_STYLES: Final = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "bold red"}
_IDS: Final = ("request_id", "user_id", "trace_id")


def harmless(text: str) -> str:
    """The text on one line, with what would act on a terminal written out as in a Python string."""
    return _UNSAFE.sub(lambda found: _written_out(found[0]), text)


def as_text(line: Mapping[str, Any]) -> Text:
    """A line for a person: time, level, logger, message, fields, where it comes from; a traceback below it."""
    moment: datetime = line["logged_at"].astimezone()
    text = Text(f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03} ")
    text.append(f"{line['level']:<8} ", _STYLES.get(line["level"], ""))
    text.append(f"{harmless(line['logger'])}  ", "dim")
    text.append(harmless(line["message"]), "bold")
    for name, value in _told(line):
        text.append(f"  {harmless(name)}=", "dim")
        text.append(harmless(value))
    text.append(f"  {harmless(line['host'] or '?')}:{line['process_id'] or '?'}", "dim")
    for row in (line["exception"] or "").splitlines():
        text.append(f"\n    {harmless(row)}")
    return text


def as_json(line: Mapping[str, Any]) -> str:
    """A line for a machine, on one line that a terminal may show, too."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(dict(line)).decode())


def _told(line: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in line["fields"].items():
        yield name, value if isinstance(value, str) else orjson.dumps(value).decode()
    for name in _IDS:
        if line[name]:
            yield name.removesuffix("_id"), line[name]


def _written_out(character: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return short or (f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}")
