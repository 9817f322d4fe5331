"""The service database: one pool, and the two ways to use it, as a signed-in person or as the owner."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, make_url, text

from backend.config import required, settings
from backend.identity import User
from opsbook.core.postgres.connect import guarded
from opsbook.database import pool_status

engine = create_engine(
    make_url(guarded(required(settings.database_url, "DATABASE_URL"))).set(drivername="postgresql+psycopg"),
    pool_size=settings.database_pool_size,
    max_overflow=settings.database_max_overflow,
    pool_timeout=settings.database_pool_timeout_seconds,
    pool_pre_ping=True,  # a restarted server costs nobody a failed request
    hide_parameters=True,  # an error in the log shows no one's e-mail address or password hash
    connect_args={"application_name": "reference-service", "connect_timeout": 5},
)

_ACT = text(
    """
    select
        set_config('role', :role, true),
        set_config('request.jwt.claims', :claims, true),
        set_config('statement_timeout', :statement_timeout, true)
    """
)


@contextmanager
def as_user(user: User) -> Iterator[Connection]:
    """A transaction in which Postgres shows and takes only what the policies grant this person.

    A query that forgets its `where user_id = …` finds nothing of anyone else's. Use this for every request.
    """
    with _acting("authenticated", json.dumps(user.claims())) as connection:
        yield connection


@contextmanager
def as_owner() -> Iterator[Connection]:
    """A transaction past row level security: for accounts.py alone, which must know people before they signed in."""
    with _acting("none", "") as connection:
        yield connection


def get_pool_status() -> Mapping[str, object]:
    """How many connections of this process's pool are in use, and whether it is exhausted."""
    status = pool_status(engine.pool)
    return status.as_dict() if status else {}


@contextmanager
def _acting(role: str, claims: str) -> Iterator[Connection]:
    """A transaction in a role, ended by Postgres if a statement takes too long.

    All three settings are transaction-local: the connection goes back to the pool without them, and a transaction
    pooler in between cannot mix them up.
    """
    values = {
        "role": role,
        "claims": claims,
        "statement_timeout": f"{settings.database_statement_timeout_seconds}s",
    }
    with engine.begin() as connection:
        connection.execute(_ACT, values)
        yield connection
