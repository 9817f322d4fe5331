"""CSV for a spreadsheet, in which nothing that came from outside runs as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import orjson

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    """Rows as CSV. Texts stand as they are, other values as JSON has them, nothing as nothing."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows([cell(value) for value in row] for row in rows)
    return buffer.getvalue().encode()


def cell(value: object) -> str:
    """One cell; what a spreadsheet would run as a formula is quoted (OWASP, "CSV Injection")."""
    text = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode().strip('"')
    return f"'{text}" if text.startswith(_FORMULA) else text
