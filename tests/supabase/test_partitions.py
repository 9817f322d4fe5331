"""The months of `events`: made ahead, made again without harm, and filled from the default partition."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import LiteralString

import psycopg
from psycopg import Connection

MONTHS: LiteralString = "select count(*) from pg_inherits where inhparent = 'public.events'::regclass"


def value(connection: Connection, query: LiteralString, *values: object) -> object:
    row = connection.execute(query, values).fetchone()
    assert row
    return row[0]


def test_a_year_is_made_ahead_and_making_it_again_changes_nothing(service_url: str) -> None:
    with psycopg.connect(service_url) as connection:
        assert value(connection, MONTHS) == 15  # last month, this one, twelve ahead, and the default
        assert value(connection, "select private.create_event_partitions()") == 0
        assert value(connection, "select private.create_event_partitions(14)") == 2
        connection.rollback()


def test_todays_events_go_to_this_months_partition(service_url: str) -> None:
    with psycopg.connect(service_url) as connection:
        person = value(connection, "insert into auth.users (email) values ('now@example.org') returning id")
        query = "insert into events (user_id, type) values (%s, 'visit') returning tableoid::regclass::text"
        assert value(connection, query, person) == f"events_{datetime.now(UTC):%Y_%m}"
        connection.rollback()


def test_events_that_came_before_their_month_move_into_it(service_url: str) -> None:
    with psycopg.connect(service_url) as connection:
        person = value(connection, "insert into auth.users (email) values ('late@example.org') returning id")
        for day in ("2001-05-01 00:00+00", "2001-05-31 23:59:59.999999+00", "2001-06-01 00:00+00"):
            connection.execute("insert into events (user_id, type, timestamp) values (%s, 'visit', %s)", [person, day])
        assert value(connection, "select private.create_event_partition('2001-05-17')") is True
        assert value(connection, "select private.create_event_partition('2001-05-01')") is False
        assert value(connection, "select count(*) from events_2001_05") == 2
        assert value(connection, "select count(*) from events_default") == 1
        assert value(connection, "select count(*) from events where user_id = %s", person) == 3
        connection.rollback()


def test_months_begin_at_midnight_utc_wherever_the_session_is(service_url: str) -> None:
    with psycopg.connect(service_url) as connection:
        connection.execute("set local timezone = 'Pacific/Kiritimati'")
        connection.execute("select private.create_event_partition('2001-05-01')")
        connection.execute("set local timezone = 'UTC'")
        query = "select pg_get_expr(relpartbound, oid) from pg_class where relname = 'events_2001_05'"
        bounds = "FOR VALUES FROM ('2001-05-01 00:00:00+00') TO ('2001-06-01 00:00:00+00')"
        assert value(connection, query) == bounds
        connection.rollback()
