"""Lines for the tests of the logs: names of their own, waiting until they have arrived, processes that write them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.flags.helpers import until

_numbers = itertools.count(1)


def fresh_logger_name() -> str:
    return f"tests.logs.{next(_numbers)}"


def lines_of(database: psycopg.Connection, logger: str) -> Sequence[Mapping[str, Any]]:
    """The lines of a logger, in the order in which they were logged."""
    with database.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select l.*, w.host, w.process_id, w.release from log_lines l join log_writers w on w.id = l.writer"
            " where l.logger = %s order by l.logged_at, l.writer, l.number",
            [logger],
        ).fetchall()


def arrived(
    database: psycopg.Connection, logger: str, count: int = 1, within: float = 10
) -> Sequence[Mapping[str, Any]]:
    """The lines of a logger, once there are so many."""
    until(lambda: len(lines_of(database, logger)) >= count, within)
    return lines_of(database, logger)
