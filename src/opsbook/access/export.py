"""Writes audit records as CSV (for a spreadsheet) or JSON lines (for a program), page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Literal

import orjson
from psycopg.rows import DictRow

from opsbook.core.audit import AuditFilter, search
from opsbook.core.postgres.connect import Connection
from opsbook.core.spreadsheet import csv_lines

Format = Literal["csv", "jsonl"]
Connect = Callable[[], AbstractAsyncContextManager[Connection]]

MEDIA_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}
COLUMNS = (
    *("id", "created_at", "actor", "actor_kind", "action", "target_kind", "target", "before", "after"),
    *("ip", "user_agent", "request_id", "success", "reason", "database_user"),
)
_PAGE = 1000


async def export(connect: Connect, wanted: AuditFilter, written_as: Format) -> AsyncIterator[bytes]:
    """All matching records, newest first; holds one page in memory, and no connection between pages."""
    if written_as == "csv":
        yield csv_lines([COLUMNS])
    while True:
        async with connect() as connection:
            rows = await search(connection, replace(wanted, limit=_PAGE))
        if rows:
            yield csv_lines([[row[name] for name in COLUMNS] for row in rows]) if written_as == "csv" else _lines(rows)
        if len(rows) < _PAGE:
            return
        wanted = replace(wanted, before_id=rows[-1]["id"])


def _lines(rows: Sequence[DictRow]) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z) for row in rows)
