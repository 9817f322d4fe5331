"""Applies `supabase/migrations` to the service database, and keeps the Supabase CLI's own record of it.

The record is `supabase_migrations.schema_migrations`, so that `supabase migration list`
and `supabase db push` agree with what was applied here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

import psycopg

from opsbook.core.errors import Invalid, Unavailable
from opsbook.core.postgres.connect import guarded
from opsbook.core.queries import load_queries
from opsbook.database.statements import split_statements

FILE_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<name>.*)\.sql")
"""As the Supabase CLI reads it: a number, mostly a UTC timestamp, then what the migration does."""

_QUERIES = load_queries("opsbook.database")


class MigrationFailed(Invalid):
    """A migration was refused by the database, and left no trace."""

    exit_code = 3
    title = "A migration failed"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the folder."""

    version: str
    name: str
    path: Path


def in_folder(folder: Path) -> Sequence[Migration]:
    """The migrations of a folder in the order of their versions; other files in it are left alone."""
    matches = ((FILE_NAME.fullmatch(path.name), path) for path in folder.glob("*.sql"))
    found = [Migration(match["version"], match["name"], path) for match, path in matches if match]
    return sorted(found, key=lambda migration: (migration.version, migration.name))


def pending(url: str, folder: Path) -> Sequence[Migration]:
    """The migrations of a folder that this database does not have yet.

    Raises:
        Unavailable: The database does not answer.
    """
    with _connect(url) as connection:
        return _pending(connection, folder)


def apply_pending(url: str, folder: Path) -> Sequence[Migration]:
    """Apply what is pending, one transaction a file; returns what was applied.

    Raises:
        MigrationFailed: One was refused; those before it stand, it and those after it do not.
        Unavailable: The database does not answer.
    """
    with _connect(url) as connection:
        # Held until the connection closes; each file commits by itself.
        connection.execute(_QUERIES["wait_for_other_migrations"])
        connection.execute(_QUERIES["make_record"])
        migrations = _pending(connection, folder)
        for migration in migrations:
            _apply(connection, migration)
        return migrations


def _connect(url: str) -> psycopg.Connection:
    try:
        return psycopg.connect(guarded(url), autocommit=True, application_name="opsbook migration", connect_timeout=5)
    except psycopg.OperationalError as error:
        raise Unavailable(f"the service database does not answer: {error}") from error


def _pending(connection: psycopg.Connection, folder: Path) -> Sequence[Migration]:
    kept = connection.execute(_QUERIES["find_record"]).fetchone()
    rows = connection.execute(_QUERIES["applied_versions"]).fetchall() if kept and kept[0] else []
    applied = {str(row[0]) for row in rows}
    return [migration for migration in in_folder(folder) if migration.version not in applied]


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    text = migration.path.read_text(encoding="utf-8")
    values = {"version": migration.version, "name": migration.name, "statements": split_statements(text)}
    try:
        with connection.transaction():
            connection.execute(cast("LiteralString", text))
            connection.execute(_QUERIES["record_migration"], values)
    except psycopg.Error as error:
        raise MigrationFailed(f"{migration.path}: {str(error).strip()}; it was rolled back, correct it") from error
