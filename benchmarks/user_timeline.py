"""One person's trail among a million errors, log lines and events: the newest page, and one from the middle."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import LiteralString

import psycopg

from opsbook.chapters import CHAPTERS
from opsbook.core.bus import Bus
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.postgres.connect import make_pool
from opsbook.core.runtime import Runtime
from opsbook.core.schema import apply_schema
from opsbook.core.settings import Settings, load_settings
from opsbook.database.migrations import apply_pending
from opsbook.debugging.users.timeline import Trails, Wanted
from opsbook.debugging.users.trails import trails_in

ROWS = 1_000_000
PEOPLE = 10_000
ROUNDS = 200
TARGET_MILLISECONDS = 30
MIGRATIONS = Path(__file__).parent.parent / "supabase" / "migrations"

PERSON = "('00000000-0000-4000-8000-' || lpad(mod(n, %(people)s)::text, 12, '0'))::uuid"
ERRORS: LiteralString = """
insert into error_events (
    received_on, event_id, group_id, project_id, occurred_at, level, platform, environment, user_id, message, payload,
    payload_bytes
)
select current_date + mod(n, 14), gen_random_uuid(), mod(n, 500), 1, now() - n * interval '1 second', 'error', 'python',
    'production', {person}::text, 'ValueError: ' || n, '', 0
from generate_series(1, %(rows)s) n
"""
LINES: LiteralString = """
insert into log_lines (received_on, writer, number, logged_at, level, logger, message, user_id)
select current_date + mod(n, 14), 1, n, now() - n * interval '1 second', 'info', 'shop', 'request', {person}::text
from generate_series(1, %(rows)s) n
"""
PEOPLE_THEMSELVES: LiteralString = """
insert into auth.users (id, email)
select {person}, n || '@example.org' from generate_series(1, %(people)s) n
"""
EVENTS: LiteralString = """
insert into events (user_id, timestamp, type) select {person}, now() - n * interval '1 second', 'visit'
from generate_series(1, %(rows)s) n
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "home") as postgres:
        apply_schema(postgres.urls["ops"], CHAPTERS)
        apply_pending(postgres.urls["service"], MIGRATIONS)
        fill(postgres.urls["ops"], "set search_path = opsbook", ERRORS, LINES)
        fill(postgres.urls["service"], "set search_path = public", PEOPLE_THEMSELVES, EVENTS)
        settings = load_settings(
            ops_database_url=postgres.urls["ops"], database_url=postgres.urls["service"], home=Path(folder)
        )
        newest, middle = asyncio.run(measured(settings))
    report("newest", f"a person's newest 100 entries of {3 * ROWS // PEOPLE:,}", newest)
    report("middle", "100 entries from the middle", middle)


def fill(url: str, *statements: LiteralString) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            parameters = {"rows": ROWS, "people": PEOPLE}
            psycopg.ClientCursor(connection).execute(statement.replace("{person}", PERSON), parameters)
        connection.execute("vacuum analyze")


async def measured(settings: Settings) -> tuple[list[float], list[float]]:
    """Milliseconds of each reading, of ever other people."""
    newest: list[float] = []
    middle: list[float] = []
    url = settings.require_url("ops")
    runtime = Runtime(settings, CHAPTERS, make_pool(url, "benchmark"), Bus(url), b"")
    async with runtime.pool, trails_in(runtime):
        trails = runtime.get(Trails)
        for number in range(ROUNDS):
            person = f"00000000-0000-4000-8000-{number * 37 % PEOPLE:012d}"
            half = datetime.now(UTC) - timedelta(seconds=ROWS / 2)
            for kept, wanted in ((newest, Wanted(person)), (middle, Wanted(person, until=half))):
                started = time.perf_counter()
                found = await trails.read(wanted)
                kept.append((time.perf_counter() - started) * 1000)
                assert len(found.entries) == wanted.limit and not found.missing
    return newest, middle


def report(name: str, what: str, milliseconds: list[float]) -> None:
    percentiles = statistics.quantiles(milliseconds, n=100)
    for percentile, target in ((50, None), (95, TARGET_MILLISECONDS)):
        figure = {"name": f"user_timeline_{name}_p{percentile}", "what": f"{what}: p{percentile}", "unit": "ms"}
        print(json.dumps({**figure, "value": round(percentiles[percentile - 1], 1), "target": target}), flush=True)


if __name__ == "__main__":
    main()
