"""Brings the ops database to the packaged schema: files in order, once each, never changed after.

Each folder's `schema/NNNN_name.sql` files are applied in one transaction a file under an
advisory lock, so that any number of replicas may start at once. The hash of what was applied
is recorded; a file that no longer matches is drift and is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from opsbook.core.chapter import Chapter
from opsbook.core.errors import OpsbookError, Unavailable
from opsbook.core.postgres.connect import LIVENESS, guarded
from opsbook.core.settings import Settings

_LOCK_KEY = 0x0B5B_00C4
_JOBS = "procrastinate"
_CONNECTION: Mapping[str, Any] = {**LIVENESS, "application_name": "opsbook schema", "connect_timeout": 5}
_CORE = Path(__file__).parent / "schema"

_BOOKKEEPING: LiteralString = """
create schema if not exists opsbook;
create table if not exists opsbook.schema_files (
    folder text not null,
    file text not null,
    sha256 text not null,
    applied_at timestamptz not null default now(),
    primary key (folder, file)
)
"""

_SEARCH_PATH_FOR_PEOPLE: LiteralString = """
do $$
begin
    if not exists (
        select from pg_class where relkind in ('r', 'p') and relnamespace = to_regnamespace('public')
    ) then
        execute format('alter role current_user in database %I set search_path = opsbook, public', current_database());
    end if;
end
$$
"""


class SchemaDrift(OpsbookError):
    """An applied schema file differs from the packaged one."""

    title = "Schema drift"


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One packaged file: the folder it belongs to, its name and text."""

    folder: str
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def prepare_ops_database(settings: Settings, chapters: Iterable[Chapter]) -> Sequence[SchemaFile]:
    """What every server and worker does first: bring the ops database that it is configured with up to date.

    Raises:
        NotConfigured: No ops database is known.
        SchemaDrift, Unavailable: As `apply_schema`.
    """
    url, service = settings.require_url("ops"), settings.url_of("service")
    return apply_schema(url, chapters, dedicated=service is None or _place(service) != _place(url))


def apply_schema(url: str, chapters: Iterable[Chapter], *, dedicated: bool = True) -> Sequence[SchemaFile]:
    """Apply what is missing, and say which files that was.

    Args:
        url: Address of the ops database.
        chapters: Whose tables, besides the core's.
        dedicated: Whether the database is ours alone, so that people may find our tables there without naming
            the schema; in one that we share, their migrations would then create the service's tables among ours.

    Raises:
        SchemaDrift: A file that was applied has changed since; nothing was applied.
        Unavailable: The database does not answer.
    """
    files = tuple(_packaged(chapters))
    try:
        with psycopg.connect(guarded(url), autocommit=True, **_CONNECTION) as connection:
            connection.execute("set search_path = opsbook, public")
            connection.execute("select pg_advisory_lock(%s)", (_LOCK_KEY,))
            if dedicated:
                connection.execute(_SEARCH_PATH_FOR_PEOPLE)
            return _apply(connection, files)
    except psycopg.OperationalError as error:
        raise Unavailable(f"the ops database does not answer: {error}") from error


def _place(url: str) -> tuple[object, object]:
    """What tells databases apart; not the port, for a pooler is another way to the same one."""
    parts = conninfo_to_dict(url)
    return parts.get("host"), parts.get("dbname")


def _packaged(chapters: Iterable[Chapter]) -> Iterator[SchemaFile]:
    folders = [("core", sorted(_CORE.glob("*.sql"))), *((c.name, c.schema_files()) for c in chapters)]
    for folder, paths in folders:
        for path in paths:
            yield SchemaFile(folder, path.name, path.read_text(encoding="utf-8"))


def _apply(connection: psycopg.Connection[TupleRow], files: Sequence[SchemaFile]) -> Sequence[SchemaFile]:
    connection.execute(_BOOKKEEPING)
    rows = connection.execute("select folder, file, sha256 from opsbook.schema_files").fetchall()
    applied: dict[tuple[str, str], str] = {(row[0], row[1]): row[2] for row in rows}
    drifted = [f for f in files if applied.get((f.folder, f.name), f.sha256) != f.sha256]
    if drifted:
        raise SchemaDrift(
            "applied schema files differ from the packaged ones: "
            + ", ".join(f"{f.folder}/{f.name}" for f in drifted)
            + "; install the version that applied them, or restore the ops database"
        )
    missing = [f for f in files if (f.folder, f.name) not in applied]
    for file in missing:
        with connection.transaction():
            connection.execute(cast("LiteralString", file.text))
            _record(connection, file)
    _apply_job_tables(connection, {name for folder, name in applied if folder == _JOBS})
    return missing


def _apply_job_tables(connection: psycopg.Connection[TupleRow], known: Set[str]) -> None:
    """Procrastinate's own schema: whole at first, later only the migrations that a newer version brings."""
    folder = resources.files("procrastinate.sql")
    migrations = sorted((f for f in (folder / "migrations").iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    with connection.transaction():
        if not known:
            connection.execute(cast("LiteralString", (folder / "schema.sql").read_text(encoding="utf-8")))
        for migration in migrations:
            if migration.name in known:
                continue
            text = migration.read_text(encoding="utf-8")
            if known:
                connection.execute(cast("LiteralString", text))
            _record(connection, SchemaFile(_JOBS, migration.name, text))


def _record(connection: psycopg.Connection[TupleRow], file: SchemaFile) -> None:
    connection.execute(
        "insert into opsbook.schema_files (folder, file, sha256) values (%s, %s, %s)",
        (file.folder, file.name, file.sha256),
    )
