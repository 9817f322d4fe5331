"""What an error of the ops database means to whoever asked: one reading, for HTTP and for the command line."""

from __future__ import annotations

import psycopg

from opsbook.core.errors import Conflict, Invalid, NotConfigured, OpsbookError, Unavailable

_SILENT = "the ops database does not answer; `opsbook health` says more"
_TOO_LONG = "the ops database took too long over this and stopped; ask for less, or retry"


def explain(error: psycopg.Error) -> OpsbookError | None:
    """The error that a caller may want to handle, or None for one that is a defect of ours."""
    match error:
        case psycopg.errors.RaiseException() | psycopg.errors.CheckViolation() | psycopg.errors.DataError():
            return Invalid(error.diag.message_primary or "the database refused a value")
        case (
            psycopg.errors.LockNotAvailable()
            | psycopg.errors.SerializationFailure()
            | psycopg.errors.DeadlockDetected()
        ):
            return Conflict(
                "another transaction holds or has just changed this; retry, and see who it is in pg_stat_activity"
            )
        case psycopg.OperationalError():
            return Unavailable(_TOO_LONG if isinstance(error, psycopg.errors.QueryCanceled) else _SILENT)
        case psycopg.errors.UndefinedTable() | psycopg.errors.InvalidSchemaName():
            return NotConfigured(
                "the ops database has no tables of ours; `opsbook up`, `opsbook serve` or `opsbook worker` makes them"
            )
        case psycopg.ProgrammingError() if error.sqlstate is None:
            # libpq's own words would repeat parts of the address, and with them perhaps a password.
            return NotConfigured("OPSBOOK_DATABASE_URL is no address of a database: postgresql://user@host:5432/name")
        case _:
            return None
