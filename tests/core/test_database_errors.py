"""What an error of the ops database is told as."""

from __future__ import annotations

import psycopg
import pytest

from opsbook.core.database_errors import explain


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (psycopg.errors.QueryCanceled(), "took too long"),
        (psycopg.OperationalError(), "does not answer"),
        (psycopg.errors.DeadlockDetected(), "another transaction"),
    ],
)
def test_slow_absent_and_contended_are_told_apart(error: psycopg.Error, told: str) -> None:
    assert told in str(explain(error))
