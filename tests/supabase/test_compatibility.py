"""What a Supabase migration expects to find, and that finding it twice is no harm."""

from __future__ import annotations

from importlib import resources
from urllib.parse import urlsplit

import psycopg
import pytest

from opsbook.core.postgres.cluster import EmbeddedPostgres

USER = "7f0c5c1e-32a4-4f57-a3a8-2f5a0c3b8f11"


@pytest.fixture
def superuser(clusters: EmbeddedPostgres, service_url: str) -> psycopg.Connection:
    """Whoever prepared the module's service database."""
    return psycopg.connect(clusters.superuser_url("service"), dbname=urlsplit(service_url).path[1:])


@pytest.mark.parametrize(
    ("setting", "claims", "expected"),
    [
        ("request.jwt.claims", f'{{"sub": "{USER}", "role": "authenticated", "email": "a@b.c"}}',
         (USER, "authenticated", "a@b.c")),
        ("request.jwt.claims", "", (None, None, None)),
        ("request.jwt.claim.sub", USER, (USER, None, None)),
        ("request.jwt.claim.role", "anon", (None, "anon", None)),
        ("request.jwt.claim.email", "a@b.c", (None, None, "a@b.c")),
    ],
)  # fmt: skip
def test_policies_learn_who_is_asking(
    service_url: str, setting: str, claims: str, expected: tuple[str | None, ...]
) -> None:
    with psycopg.connect(service_url) as connection:
        connection.execute("select set_config(%s, %s, true)", [setting, claims])
        for role in ("anon", "authenticated", "service_role"):
            connection.execute(f"set local role {role}".encode())
            assert connection.execute("select auth.uid()::text, auth.role(), auth.email()").fetchone() == expected


def test_what_postgres_makes_in_public_is_open_to_the_api_roles(service_url: str) -> None:
    with psycopg.connect(service_url) as connection:
        connection.execute("create table notes (id bigint generated always as identity primary key, body text)")
        connection.execute("create function two() returns integer language sql as 'select 2'")
        for role in ("anon", "authenticated", "service_role"):
            connection.execute(f"set local role {role}".encode())
            connection.execute("insert into notes (body) values ('written')")
            connection.execute("select two()")
        connection.rollback()


def test_the_roles_are_what_they_are_on_supabase(superuser: psycopg.Connection) -> None:
    query = """
        select rolname, rolcanlogin, rolinherit, rolbypassrls, rolsuper
        from pg_roles
        where rolname in ('anon', 'authenticated', 'authenticator', 'postgres', 'service_role')
        order by rolname
    """
    with superuser as connection:
        assert connection.execute(query).fetchall() == [
            ("anon", False, False, False, False),
            ("authenticated", False, False, False, False),
            ("authenticator", True, False, False, False),
            ("postgres", True, True, True, False),
            ("service_role", False, False, True, False),
        ]
        for role in ("anon", "authenticated", "service_role"):
            connection.execute("set session authorization authenticator")
            connection.execute(f"set local role {role}".encode())
            connection.rollback()


def test_preparing_a_prepared_database_changes_nothing(superuser: psycopg.Connection) -> None:
    script = resources.files("opsbook.core.postgres").joinpath("supabase.sql").read_bytes()
    with superuser as connection:
        connection.execute(script)


@pytest.mark.parametrize(
    "statement",
    [
        "set role supabase_admin",
        "alter role postgres superuser",
        "alter role supabase_admin password 'guess'",
        "copy (select 1) to program 'true'",
        "select pg_read_file('postgresql.conf')",
    ],
)
def test_the_address_of_the_service_reaches_no_further_than_on_supabase(service_url: str, statement: str) -> None:
    with psycopg.connect(service_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "create role reporting login password 'long'; grant anon to reporting",
        "alter role authenticator set statement_timeout = '9s'",
        "create schema reports; create table reports.notes (author uuid references auth.users)",
        "create table notes (id int primary key); alter publication supabase_realtime add table notes",
        "create extension pg_trgm schema extensions",
        """
        create function greet() returns trigger language plpgsql as 'begin return new; end';
        create trigger greet after insert on auth.users execute function greet()
        """,
    ],
)
def test_migrations_may_what_they_may_on_supabase(service_url: str, statement: str) -> None:
    with psycopg.connect(service_url) as connection:
        connection.execute(statement.encode())
        connection.rollback()


def test_slow_queries_are_found_by_the_runbooks_unqualified_name(service_url: str) -> None:
    with psycopg.connect(service_url) as connection:
        connection.execute("select * from pg_stat_statements order by mean_exec_time desc limit 10")
