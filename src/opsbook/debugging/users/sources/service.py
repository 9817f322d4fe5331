"""What the service itself wrote down of a person: rows of its own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import DictRow

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.users.mapping import UserTable
from opsbook.debugging.users.sources.interface import Entry, Slice, Source, SourceMissing

_QUERIES = load_queries("opsbook.debugging.users")


class ServiceTable(Source):
    """A table of the service database."""

    database = "service"

    def __init__(self, table: UserTable) -> None:
        self.kind = table.kind
        self._table = table
        self._statement = _statement(table)

    async def read(self, connection: Connection, wanted: Slice) -> Sequence[Entry]:
        await self._look_for_table(connection)
        try:
            async with connection.transaction():
                rows = await (await connection.execute(self._statement, wanted.parameters)).fetchall()
        except (psycopg.errors.InvalidTextRepresentation, psycopg.errors.NumericValueOutOfRange):
            return ()  # such an id, say one that is no uuid, can nobody have there
        except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction) as error:
            raise SourceMissing(f"{self._table.table}: {error.diag.message_primary}") from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise SourceMissing(f"this role may not read {self._table.table}") from error
        return [self._entry(row) for row in rows]

    async def _look_for_table(self, connection: Connection) -> None:
        state = await (await connection.execute(_QUERIES["table_state"], {"table": self._table.table})).fetchone()
        if state is None or not state["is_there"]:
            raise SourceMissing(f"the service database has no table {self._table.table}")
        if state["hides_rows"]:
            raise SourceMissing(f"row level security hides the rows of {self._table.table} from this role")

    def _entry(self, row: DictRow) -> Entry:
        title = " ".join(str(row[column]) for column in self._table.title if row[column] is not None)
        details: Mapping[str, Any] = {column: row[column] for column in self._table.details if row[column] is not None}
        return Entry(row["at"], self.kind, row["key"], title or self.kind, details)


def _statement(table: UserTable) -> sql.Composed:
    columns = dict.fromkeys((*table.title, *table.details)) or {table.key: None}
    return sql.SQL(_QUERIES["service_rows"]).format(
        table=sql.Identifier(*table.table.split(".")),
        user=sql.Identifier(table.user),
        time=sql.Identifier(table.time),
        key=sql.Identifier(table.key),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
    )
