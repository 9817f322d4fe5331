"""HTTP of source maps: the calls of Sentry's API that sentry-cli makes to upload them.

`SENTRY_URL` is where this server is, `SENTRY_AUTH_TOKEN` one of our tokens with the scope
`errors:write`, `SENTRY_PROJECT` a project's name or number; any `SENTRY_ORG` will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from opsbook.core.access import Identity, Role
from opsbook.core.errors import NotFound
from opsbook.core.http.dependencies import Running
from opsbook.core.http.identity import requires
from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.sourcemaps.uploads import CHUNK_BYTES, MOST_BUNDLE_BYTES, MOST_CHUNKS, Order, Uploads

router = APIRouter(prefix="/api/0/organizations/{organization}", include_in_schema=False)

Writes = Annotated[Identity, Depends(requires(Role.OPERATOR, "errors:write"))]
Sha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]

_PACKED = "file_gzip"
_ROOM_AROUND_BYTES = 64 * 1024


class Assembly(BaseModel):
    """A bundle that sentry-cli wants put together."""

    checksum: Sha1
    chunks: Annotated[list[Sha1], Field(min_length=1, max_length=MOST_CHUNKS)]
    projects: Annotated[list[Annotated[str, Field(max_length=100)]], Field(min_length=1, max_length=20)]
    version: Annotated[str | None, Field(min_length=1, max_length=250)] = None
    dist: Annotated[str | None, Field(max_length=64)] = None


@router.get("/chunk-upload/")
async def options(request: Request, _: Writes) -> dict[str, Any]:
    """How bundles are to be sent: in chunks, each in a request of its own that is within the bound of all requests."""
    return {
        "url": str(request.url.replace(query="")),
        "chunkSize": CHUNK_BYTES,
        "chunksPerRequest": 1,
        "maxRequestSize": CHUNK_BYTES + _ROOM_AROUND_BYTES,
        "maxFileSize": MOST_BUNDLE_BYTES,
        "concurrency": 2,
        "hashAlgorithm": "sha1",
        "compression": ["gzip"],
        "accept": ["release_files", "sources", "artifact_bundles", "artifact_bundles_v2"],
    }


@router.post("/chunk-upload/")
async def upload(request: Request, runtime: Running, _: Writes) -> None:
    """Take chunks: parts of a form, each called by its SHA-1."""
    async with request.form(max_files=8, max_fields=8) as form:
        for field, file in form.multi_items():
            if not isinstance(file, UploadFile):
                raise Malformed("a chunk is sent as a file whose name is its SHA-1")
            is_packed = field == _PACKED
            await runtime.get(Uploads).add_chunk(file.filename or "", await file.read(), is_packed=is_packed)


@router.post("/artifactbundle/assemble/")
async def assemble(runtime: Running, identity: Writes, given: Assembly) -> dict[str, Any]:
    """Put a bundle together of its chunks, or say which are missing."""
    order = Order(
        checksum=bytes.fromhex(given.checksum),
        chunks=[bytes.fromhex(chunk) for chunk in given.chunks],
        projects=given.projects,
        release=given.version,
        dist=given.dist or "",
    )
    try:
        missing = await runtime.get(Uploads).assemble(identity, order)
    except (Malformed, NotFound, TooLarge) as refusal:
        return _state("error", detail=str(refusal))
    return _state("not_found" if missing else "ok", missing)


def _state(state: str, missing: Sequence[bytes] = (), detail: str | None = None) -> dict[str, Any]:
    return {"state": state, "missingChunks": [chunk.hex() for chunk in missing], "detail": detail}
