"""What several flag tests need: psql, waiting for an event, a flag made in one line."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import psycopg

from opsbook.core.postgres.binaries import bundled
from opsbook.flags.client import Flags


def psql(url: str, statements: str) -> subprocess.CompletedProcess[str]:
    """Type statements into a real psql, which stops at the first error."""
    return subprocess.run(
        [bundled().program("psql"), url, "-v", "ON_ERROR_STOP=1", "-At"],
        input=statements,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def until(condition: Callable[[], object], within: float) -> float:
    """Wait until a condition holds; gives the seconds that took.

    Raises:
        AssertionError: It did not hold in time.
    """
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within, f"not so within {within} s"
        time.sleep(0.002)
    return time.monotonic() - started


def create(database: psycopg.Connection, name: str, **fields: object) -> None:
    """Make a flag, on unless the fields say otherwise."""
    given = {"enabled": True, **fields}
    columns = ", ".join(given)
    marks = ", ".join(["%s"] * len(given))
    statement = f"insert into feature_flags (name, {columns}) values (%s, {marks})"
    database.execute(statement.encode(), [name, *given.values()])


def set_enabled(database: psycopg.Connection, name: str, enabled: bool) -> None:
    database.execute("update feature_flags set enabled = %s where name = %s", [enabled, name])


def follows(flags: Flags, database: psycopg.Connection, name: str, within: float) -> float:
    """Turn a flag round and see the kit obey; gives the seconds that took."""
    wanted = not flags.enabled(name)
    set_enabled(database, name, wanted)
    return until(lambda: flags.enabled(name) is wanted, within)
