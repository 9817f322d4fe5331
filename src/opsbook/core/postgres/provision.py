"""What a new cluster is given before anyone else signs in: roles, databases, extensions."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import LiteralString, cast

import psycopg
from psycopg import sql

from opsbook.core.postgres.connect import guarded
from opsbook.core.postgres.home import SIGN_IN, ClusterName

_ROLE: Mapping[ClusterName, LiteralString] = {
    "ops": "create role opsbook login password {verifier}",
    "service": "create role postgres login createrole createdb replication bypassrls password {verifier}",
}
"""Whom a cluster's address signs in as; the service's `postgres` may what Supabase's may."""
_OPS_DATABASE = (
    "alter role opsbook in database ops set search_path = opsbook, public",
    "create schema if not exists opsbook authorization opsbook",
    # A transaction forgotten in a shell would hold its locks, and with them every change of a flag.
    "alter role opsbook set idle_in_transaction_session_timeout = '30s'",
    # Lets the role see the statements of others in pg_stat_statements, and end a query that holds a lock.
    "grant pg_monitor, pg_signal_backend to opsbook",
)
_EXTENSION = "create extension if not exists pg_stat_statements"


def provision(cluster: ClusterName, superuser_url: str, password: str) -> None:
    """Prepare a cluster; what is there already stays as it is, so that a start cut short can be repeated.

    Args:
        cluster: Which of the two.
        superuser_url: Its `postgres` database as the superuser.
        password: Of the role that the cluster's address signs in as.
    """
    with psycopg.connect(guarded(superuser_url), autocommit=True, application_name="opsbook up") as connection:
        _make_role(connection, cluster, password)
        if cluster == "ops":
            _make_ops_database(connection, superuser_url)
        else:
            _make_service_database(connection)


def _make_role(connection: psycopg.Connection, cluster: ClusterName, password: str) -> None:
    name, _ = SIGN_IN[cluster]
    # Only the SCRAM verifier travels, so that no log can show the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    if not connection.execute("select from pg_roles where rolname = %s", (name,)).fetchone():
        connection.execute(sql.SQL(_ROLE[cluster]).format(verifier=sql.Literal(verifier)))


def _make_ops_database(connection: psycopg.Connection, superuser_url: str) -> None:
    if not connection.execute("select from pg_database where datname = 'ops'").fetchone():
        connection.execute("create database ops owner opsbook")
    with psycopg.connect(guarded(superuser_url), dbname="ops", autocommit=True) as ops:
        for statement in (_EXTENSION, *_OPS_DATABASE):
            ops.execute(statement)


def _make_service_database(connection: psycopg.Connection) -> None:
    connection.execute("alter database postgres owner to postgres")
    connection.execute(_EXTENSION)
    supabase = resources.files("opsbook.core.postgres") / "supabase.sql"
    if supabase.is_file():
        connection.execute(cast("LiteralString", supabase.read_text(encoding="utf-8")))
