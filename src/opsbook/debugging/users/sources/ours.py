"""What Opsbook itself knows of a person: errors met, log lines, and the audit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import psycopg
from psycopg.rows import DictRow

from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries
from opsbook.debugging.users.sources.interface import Entry, Slice, Source, SourceMissing

_QUERIES = load_queries("opsbook.debugging.users")
_ABOUT = ("user", "operator")
"""Kinds of targets in the audit that are people."""


class OurTable(Source):
    """A table of the ops database, read by the statement that bears the kind's name."""

    database = "ops"

    async def read(self, connection: Connection, wanted: Slice) -> Sequence[Entry]:
        parameters = wanted.parameters | {"about": list(_ABOUT)}
        try:
            rows = await (await connection.execute(_QUERIES[self.kind], parameters)).fetchall()
        except psycopg.errors.UndefinedTable as error:
            raise SourceMissing(f"the ops database has no {self.kind} yet") from error
        return [self._entry(row) for row in rows]

    @abstractmethod
    def _entry(self, row: DictRow) -> Entry:
        """The entry that a row makes."""


class Errors(OurTable):
    """Errors that a person met, by the user id that the SDK sent along."""

    kind = "errors"

    def _entry(self, row: DictRow) -> Entry:
        path = f"/ops/errors/{row['issue_id']}" if row["issue_id"] is not None else None
        return Entry(row["at"], self.kind, row["key"], row["message"], _others(row, "message"), path)


class Logs(OurTable):
    """Lines that were logged while a person was served."""

    kind = "logs"

    def _entry(self, row: DictRow) -> Entry:
        path = f"/ops/logs?request={row['request_id']}" if row["request_id"] else None
        return Entry(row["at"], self.kind, row["key"], row["message"], _others(row, "message"), path)


class Audit(OurTable):
    """Records by this person, and about them."""

    kind = "audit"

    def _entry(self, row: DictRow) -> Entry:
        title = f"{row['action']} by {row['actor']}"
        return Entry(row["at"], self.kind, row["key"], title, _others(row, "action"), "/ops/audit")


def _others(row: DictRow, shown: str) -> dict[str, object]:
    """What else the row says, without what it leaves open."""
    return {name: value for name, value in row.items() if name not in {"at", "key", shown} and value is not None}
