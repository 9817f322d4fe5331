"""Row level security, asked in SQL as Supabase's data API would ask: nobody reaches another person's rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import Connection, errors


@pytest.fixture(scope="module")
def people(service_url: str) -> tuple[UUID, UUID]:
    """Ada and Bob, each with a live session, an ended one, and an event in this month and in the default partition."""
    with psycopg.connect(service_url) as owner:
        return make_person(owner), make_person(owner)


def make_person(owner: Connection) -> UUID:
    person = uuid4()
    owner.execute("insert into auth.users (id, email) values (%s, %s)", [person, f"{person}@example.org"])
    owner.execute("insert into sessions (user_id, revoked_at) values (%s, null), (%s, now())", [person, person])
    for timestamp in ("now", "1999-12-31"):
        owner.execute("insert into events (user_id, type, timestamp) values (%s, 'visit', %s)", [person, timestamp])
    return person


@pytest.fixture
def acting_as(service_url: str) -> Iterator[Callable[[UUID | None], Connection]]:
    """A connection in the role of a signed-in person, or of a visitor; rolled back at the end."""
    with psycopg.connect(service_url) as connection:

        def become(person: UUID | None) -> Connection:
            role = "authenticated" if person else "anon"
            claims = json.dumps({"sub": str(person), "role": role}) if person else ""
            query = "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)"
            connection.execute(query, [role, claims])
            return connection

        yield become
        connection.rollback()


@contextmanager
def refused(connection: Connection) -> Iterator[None]:
    with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
        yield


def count(connection: Connection, query: LiteralString, *values: object) -> int:
    row = connection.execute(query, values).fetchone()
    assert row
    return row[0]


def partitions(connection: Connection) -> list[str]:
    query = "select inhrelid::regclass::text from pg_inherits where inhparent = 'public.events'::regclass"
    return [row[0] for row in connection.execute(query)]


def test_each_person_sees_their_own_rows_and_no_others(
    people: tuple[UUID, UUID], acting_as: Callable[[UUID | None], Connection]
) -> None:
    for person, other in [people, people[::-1]]:
        connection = acting_as(person)
        assert count(connection, "select count(*) from events") == 2
        assert count(connection, "select count(*) from sessions") == 2
        assert count(connection, "select count(*) from events where user_id = %s", other) == 0
        assert count(connection, "select count(*) from sessions where user_id = %s", other) == 0


def test_a_visitor_and_a_person_without_claims_see_nothing(acting_as: Callable[[UUID | None], Connection]) -> None:
    visitor = acting_as(None)
    for table in ("events", "sessions", "auth.users"):
        with refused(visitor):
            visitor.execute(f"select from {table}".encode())
    visitor.execute("set local role authenticated")
    assert count(visitor, "select count(*) from events") == 0
    assert count(visitor, "select count(*) from sessions") == 0


def test_naming_a_partition_is_no_way_around(
    people: tuple[UUID, UUID], acting_as: Callable[[UUID | None], Connection], service_url: str
) -> None:
    ada, _ = people
    with psycopg.connect(service_url) as owner:
        names = partitions(owner)
        unprotected = "select count(*) from pg_class where relname like 'events%%' and relkind in ('r', 'p')"
        assert count(owner, unprotected + " and not relrowsecurity") == 0
    assert len(names) >= 3
    connection = acting_as(ada)
    for name in names:
        with refused(connection):
            connection.execute(f"select from {name}".encode())
    # A careless grant would still show each person their own rows only.
    connection.execute("reset role")
    connection.execute("grant select on events_default to authenticated")
    assert count(acting_as(ada), "select count(*) from events_default") == 1


def test_nobody_writes_in_another_persons_name(
    people: tuple[UUID, UUID], acting_as: Callable[[UUID | None], Connection]
) -> None:
    ada, bob = people
    connection = acting_as(ada)
    with refused(connection):
        connection.execute("insert into events (user_id, type) values (%s, 'forged')", [bob])
    with refused(connection):
        connection.execute("insert into sessions (user_id) values (%s)", [ada])
    with refused(connection):
        connection.execute("update sessions set user_id = %s", [bob])
    for table in ("events", "sessions"):
        with refused(connection):
            connection.execute(f"delete from {table}".encode())
        with refused(connection):
            connection.execute(f"truncate {table}".encode())
    with refused(connection):
        connection.execute("update events set type = 'changed'")


def test_a_person_ends_their_live_sessions_and_cannot_bring_one_back(
    people: tuple[UUID, UUID], acting_as: Callable[[UUID | None], Connection]
) -> None:
    connection = acting_as(people[0])
    assert connection.execute("update sessions set revoked_at = now()").rowcount == 1
    assert connection.execute("update sessions set revoked_at = null").rowcount == 0


def test_the_internal_functions_are_out_of_reach(
    people: tuple[UUID, UUID], acting_as: Callable[[UUID | None], Connection]
) -> None:
    for caller in (people[0], None):
        connection = acting_as(caller)
        with refused(connection):
            connection.execute("select private.create_event_partitions(600)")


def test_the_services_own_role_sees_everyone(acting_as: Callable[[UUID | None], Connection]) -> None:
    connection = acting_as(None)
    connection.execute("set local role service_role")
    assert count(connection, "select count(distinct user_id) from events") >= 2
