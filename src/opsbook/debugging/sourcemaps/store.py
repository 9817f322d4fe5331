"""Source maps in the ops database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import IO, Any, Final
from uuid import UUID

import msgspec

from opsbook.core.errors import NotFound
from opsbook.core.postgres.connect import Connection
from opsbook.core.queries import load_queries

QUERIES: Final = load_queries("opsbook.debugging.sourcemaps")


class NewBundle(msgspec.Struct, frozen=True):
    """A bundle as it is uploaded for one project."""

    project_id: int
    checksum: bytes
    debug_id: UUID | None
    release: str | None
    dist: str


class NewMap(msgspec.Struct, frozen=True):
    """A map of it, ready to be kept."""

    url: str
    debug_id: UUID | None
    scripts: Sequence[str]
    content: bytes


async def project_of(connection: Connection, name: str) -> int:
    """The number of the project that is called so, or has that number. Raises `NotFound`."""
    row = await _one(connection, "project", project=name)
    if row is None:
        raise NotFound(f"there is no project {name!r}; `opsbook errors project list` shows all")
    return row["id"]


async def waiting_bytes(connection: Connection) -> int:
    """Of chunks whose bundle is not whole yet."""
    row = await _one(connection, "waiting_bytes")
    assert row is not None
    return row["bytes"]


async def add_chunk(connection: Connection, checksum: bytes, content: bytes) -> None:
    await connection.execute(QUERIES["add_chunk"], {"checksum": checksum, "content": content})


async def missing_chunks(connection: Connection, checksums: Sequence[bytes]) -> Sequence[bytes]:
    found = await connection.execute(QUERIES["missing_chunks"], {"checksums": list(checksums)})
    return [row["checksum"] for row in await found.fetchall()]


async def write_chunk(connection: Connection, checksum: bytes, file: IO[bytes]) -> None:
    """Append a chunk to a file. Raises `NotFound` where it is gone."""
    row = await _one(connection, "chunk", checksum=checksum)
    if row is None:
        raise NotFound("a chunk of the bundle is gone; upload it again")
    file.write(row["content"])


async def drop_chunks(connection: Connection, checksums: Sequence[bytes]) -> None:
    await connection.execute(QUERIES["drop_chunks"], {"checksums": list(checksums)})


async def has_bundle(connection: Connection, project_id: int, checksum: bytes) -> bool:
    row = await _one(connection, "has_bundle", project_id=project_id, checksum=checksum)
    assert row is not None
    return row["held"]


async def add_bundle(
    connection: Connection, bundle: NewBundle, maps: Sequence[NewMap], passed_over: Sequence[str]
) -> None:
    """Keep a bundle's maps; does nothing where the project has the bundle."""
    row = await _one(connection, "add_bundle", **msgspec.structs.asdict(bundle))
    if row is None:
        return
    common = {"bundle_id": row["id"], "project_id": bundle.project_id, "release": bundle.release, "dist": bundle.dist}
    for each in maps:
        await connection.execute(
            QUERIES["add_map"], {**common, **msgspec.structs.asdict(each), "scripts": list(each.scripts)}
        )
    ended = {"bundle_id": row["id"], "files": len(maps), "passed_over": list(passed_over)}
    await connection.execute(QUERIES["end_bundle"], ended)


async def map_by_debug_id(connection: Connection, project_id: int, debug_id: UUID) -> int | None:
    row = await _one(connection, "by_debug_id", project_id=project_id, debug_id=debug_id)
    return row["id"] if row else None


async def map_by_address(
    connection: Connection, project_id: int, release: str, dist: str, urls: Sequence[str]
) -> int | None:
    row = await _one(connection, "by_address", project_id=project_id, release=release, dist=dist, urls=list(urls))
    return row["id"] if row else None


async def load_map(connection: Connection, map_id: int) -> bytes | None:
    """A map's content, noted as used; None where it was dropped."""
    row = await _one(connection, "map", id=map_id)
    if row is None:
        return None
    await connection.execute(QUERIES["used"], {"id": map_id})
    return row["content"]


async def tidy(connection: Connection, kept: timedelta) -> None:
    """Drop bundles that were not used for so long, and what is left of uploads that were given up."""
    await connection.execute(QUERIES["drop_abandoned_chunks"])
    await connection.execute(QUERIES["drop_unused"], {"kept": kept})


async def add_release(
    connection: Connection,
    project_id: int,
    release: str,
    released_at: datetime | None = None,
    commit_id: str | None = None,
) -> None:
    parameters = {"project_id": project_id, "release": release, "released_at": released_at, "commit_id": commit_id}
    await connection.execute(QUERIES["add_release"], parameters)


async def releases(
    connection: Connection, project_id: int | None = None, release: str | None = None
) -> Sequence[dict[str, Any]]:
    """The newest 100 releases, of one project or of one name."""
    found = await connection.execute(QUERIES["releases"], {"project_id": project_id, "release": release})
    return await found.fetchall()


async def _one(connection: Connection, query: str, **parameters: Any) -> dict[str, Any] | None:
    return await (await connection.execute(QUERIES[query], parameters)).fetchone()
