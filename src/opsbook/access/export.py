"""Writes audit records as CSV (for a spreadsheet) or JSON lines (for a program), page by page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Literal

import orjson
from psycopg.rows import DictRow

from opsbook.core.audit import AuditFilter, search
from opsbook.core.postgres.connect import Connection

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
        yield _csv([COLUMNS])
    while True:
        async with connect() as connection:
            rows = await search(connection, replace(wanted, limit=_PAGE))
        if rows:
            yield _csv([_cells(row) for row in rows]) if written_as == "csv" else _lines(rows)
        if len(rows) < _PAGE:
            return
        wanted = replace(wanted, before_id=rows[-1]["id"])


def _lines(rows: Sequence[DictRow]) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z) for row in rows)


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _cells(row: DictRow) -> list[str]:
    return [_cell(row[column]) for column in COLUMNS]


def _cell(value: object) -> str:
    """One cell; what a spreadsheet would run as a formula is quoted (OWASP, "CSV Injection")."""
    text = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode().strip('"')
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
