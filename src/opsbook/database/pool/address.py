"""Where a pool or a URL leads: never with a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opsbook.core.errors import NotConfigured

_POSTGRES_PORT = 5432
_THIS_MACHINE = (None, "", "localhost", "::1")
"""Told as one, so that two ways to name a server are not taken for two servers."""


@dataclass(frozen=True, slots=True)
class Address:
    """A database, by what a client dials."""

    host: str
    port: int
    database: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


def address_of_url(url: str) -> Address:
    """Where a connection URL, or libpq's `key=value` form of it, leads.

    Raises:
        NotConfigured: It is neither.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(url)
        return _address(parts.get("host"), parts.get("port"), parts.get("dbname") or parts.get("user"))
    except (psycopg.ProgrammingError, ValueError):
        # Not the driver's own words: they repeat parts of the address.
        raise NotConfigured("this is no address of a database: postgresql://user@host:5432/name") from None


def address_of_pool(pool: object) -> Address | None:
    """Where an engine of SQLAlchemy or a pool of psycopg_pool connects; None where it does not tell."""
    engine: Any = getattr(pool, "sync_engine", pool)
    if (url := getattr(engine, "url", None)) is not None:
        return _address(url.host or url.query.get("host"), url.port or url.query.get("port"), url.database)
    conninfo = getattr(engine, "conninfo", None)
    return address_of_url(conninfo) if isinstance(conninfo, str) else None


def _address(host: object, port: object, database: object) -> Address:
    named = "127.0.0.1" if host in _THIS_MACHINE else str(host)
    return Address(named, int(str(port or _POSTGRES_PORT)), str(database or ""))
