"""The console's static files, served from memory under an address that changes with their content."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib import resources

from fastapi import APIRouter, Request, Response

from opsbook.core.errors import NotFound

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Assets:
    """Every static file's bytes, and one version for all, so that scripts can import each other relatively."""

    files: dict[str, bytes]
    version: str


@router.get("/static/{version}/{name}")
async def static_file(request: Request, version: str, name: str) -> Response:
    """A style sheet, script or icon; browsers keep it for a year, since its address names its content."""
    assets = _assets()
    content = assets.files.get(name)
    if content is None:
        raise NotFound(f"the console has no file named {name}")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable" if version == assets.version else "no-cache",
        "ETag": f'"{assets.version}"',
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=mimetypes.guess_type(name)[0], headers=headers)


def asset_url(name: str) -> str:
    """The address of a static file."""
    return f"/ops/static/{_assets().version}/{name}"


@cache
def _assets() -> Assets:
    folder = resources.files("opsbook.web") / "static"
    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)}
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + content)
    return Assets(files, digest.hexdigest()[:16])
