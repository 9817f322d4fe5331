"""The worker's part in the service database: events find the partition of their month, years from now too."""

from __future__ import annotations

import psycopg
import pytest

from opsbook.core.settings import Settings, load_settings
from tests.working import run_tasks


def test_missing_months_of_events_are_made(settings: Settings, service_url: str, database: psycopg.Connection) -> None:
    with psycopg.connect(service_url, autocommit=True) as service:
        newest = months(service)[-1]
        service.execute(f"drop table {newest}".encode())
        run_tasks(settings, "make_event_partitions")
        assert months(service)[-1] == newest
    assert unfinished(database) == []


@pytest.mark.parametrize("service", ["none", "without events"])
def test_a_service_without_such_events_is_left_alone(ops_url: str, database: psycopg.Connection, service: str) -> None:
    # The ops database stands in for a service that has no partitions of events.
    settings = load_settings(ops_database_url=ops_url, database_url=ops_url if service == "without events" else None)
    run_tasks(settings, "make_event_partitions")
    assert unfinished(database) == []


def months(service: psycopg.Connection) -> list[str]:
    query = "select relname from pg_class where relname ~ '^events_[0-9]{4}_[0-9]{2}$' order by 1"
    return [row[0] for row in service.execute(query)]


def unfinished(database: psycopg.Connection) -> list[tuple[object, ...]]:
    return database.execute("select task_name from procrastinate_jobs where status <> 'succeeded'").fetchall()
