"""Writes a trail as CSV (for a spreadsheet) or JSON lines (for a program), page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

import orjson

from opsbook.core.spreadsheet import csv_lines
from opsbook.debugging.users.sources.interface import Entry
from opsbook.debugging.users.timeline import Trails, Wanted

Format = Literal["csv", "jsonl"]

MEDIA_TYPES: Mapping[Format, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
COLUMNS = ("at", "kind", "title", "details", "key")


async def export(trails: Trails, wanted: Wanted, written_as: Format) -> AsyncIterator[bytes]:
    """All of a trail, the newest first.

    Raises:
        Invalid: What is wanted makes no sense.
    """
    if written_as == "csv":
        yield csv_lines([COLUMNS])
    async for page in trails.pages(wanted):
        if written_as == "csv":
            yield csv_lines([[plain(entry)[column] for column in COLUMNS] for entry in page.entries])
        else:
            yield b"".join(orjson.dumps(plain(entry), option=orjson.OPT_APPEND_NEWLINE) for entry in page.entries)


def plain(entry: Entry) -> dict[str, Any]:
    """An entry in JSON's own types: a service's columns may be of any type."""
    details = orjson.loads(orjson.dumps(dict(entry.details), default=str))
    return {
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "title": entry.title,
        "details": details,
        "key": entry.key,
        "path": entry.path,
    }
