"""Databases for the tests of the ground floor."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from opsbook.core.postgres.cluster import EmbeddedPostgres


@pytest.fixture(scope="module")
def superuser(clusters: EmbeddedPostgres, ops_url: str) -> Iterator[psycopg.Connection]:
    """Somebody whom nothing in the module's ops database stops."""
    name = ops_url.rpartition("/")[2]
    with psycopg.connect(clusters.superuser_url("ops"), dbname=name, autocommit=True) as connection:
        connection.execute("set search_path = opsbook, public")
        yield connection
