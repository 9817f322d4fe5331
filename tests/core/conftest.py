"""Databases for the tests of the ground floor."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from opsbook.core.postgres.cluster import EmbeddedPostgres


@pytest.fixture
def empty_database(clusters: EmbeddedPostgres) -> str:
    """The address of a new database with nothing in it, as the role `opsbook` knows it."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(clusters.superuser_url("ops"), dbname="template1", autocommit=True) as connection:
        connection.execute(f"create database {name} template template0 owner opsbook".encode())
    return clusters.urls["ops"].rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture(scope="module")
def superuser(clusters: EmbeddedPostgres, ops_url: str) -> Iterator[psycopg.Connection]:
    """Somebody whom nothing in the module's ops database stops."""
    name = ops_url.rpartition("/")[2]
    with psycopg.connect(clusters.superuser_url("ops"), dbname=name, autocommit=True) as connection:
        connection.execute("set search_path = opsbook, public")
        yield connection
