"""A service database as a new cluster has it: prepared for Supabase, without our migrations."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from opsbook.core.postgres.cluster import EmbeddedPostgres


@pytest.fixture
def bare_service_url(clusters: EmbeddedPostgres) -> Iterator[str]:
    """Its address, as `opsbook url service` prints one."""
    name = f"bare_{uuid.uuid4().hex}"
    # From `template1`, because a database that is copied may have no other connection.
    with psycopg.connect(clusters.superuser_url("service"), dbname="template1", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template postgres owner postgres").format(sql.Identifier(name)))
        yield clusters.urls["service"].replace("/postgres?", f"/{name}?")
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
