"""Log lines on a terminal: nothing in them acts on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from rich.text import Text

from opsbook.core.terminal import UNSAFE, harmless

_STYLES: Final = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "bold red"}
_IDS: Final = ("request_id", "user_id", "trace_id")


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
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(dict(line)).decode())


def _told(line: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in line["fields"].items():
        yield name, value if isinstance(value, str) else orjson.dumps(value).decode()
    for name in _IDS:
        if line[name]:
            yield name.removesuffix("_id"), line[name]
