"""Which tables of the service know what people did: those of the reference service, or as a TOML file says."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from opsbook.core.errors import NotConfigured

_KIND: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}")
RESERVED: Final = frozenset({"errors", "logs", "flags", "audit"})
"""Kinds that are not the service's."""


class UserTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the service: its name, and which of its columns say who, when, which and what."""

    kind: str
    table: str
    user: str = "user_id"
    time: str = "created_at"
    key: str = "id"
    title: Sequence[str] = ()
    """Columns that say in short what it was."""
    details: Sequence[str] = ()
    """Columns that are shown beside it."""


USUAL_TABLES: Final = (
    UserTable("events", "public.events", time="timestamp", title=("type",), details=("properties", "session_id")),
    UserTable(
        "sessions", "public.sessions", title=("user_agent",), details=("last_seen_at", "ip", "user_agent", "revoked_at")
    ),
)
"""Of the reference service."""


@dataclass(frozen=True, slots=True)
class _File:
    table: list[UserTable]


def read_tables(path: Path | None) -> Sequence[UserTable]:
    """The tables that a file names, or the reference service's where there is no file.

    Raises:
        NotConfigured: It cannot be read, or does not say what it should.
    """
    if path is None:
        return USUAL_TABLES
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = msgspec.convert(document, _File).table
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise NotConfigured(f"OPSBOOK_USER_TABLES: {path} cannot be used: {error}") from error
    for table in tables:
        _check(path, table, [each.kind for each in tables])
    return tables


def _check(path: Path, table: UserTable, kinds: Sequence[str]) -> None:
    if not _KIND.fullmatch(table.kind) or table.kind in RESERVED or kinds.count(table.kind) > 1:
        raise NotConfigured(
            f"OPSBOOK_USER_TABLES: {path}: the kind {table.kind!r} is used twice, is one of our own"
            f" ({', '.join(sorted(RESERVED))}), or is no word of lower-case letters, digits, - and _"
        )
    if len(table.table.split(".")) > 2 or not all(table.table.split(".")):
        raise NotConfigured(f"OPSBOOK_USER_TABLES: {path}: write the table {table.table!r} as schema.table")
