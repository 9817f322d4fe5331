"""Artifact bundles: the zip files in which sentry-cli uploads scripts and their source maps.

A zip archive behind eight bytes of its own (`SYSB`, a version), with a `manifest.json` that says what
each file is. The format is the published one ("Source Bundles" in Symbolicator's documentation).
Nothing is unpacked to disk, and never more than one file to memory.
"""

from __future__ import annotations

import zlib
from base64 import b64decode
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import IO, Annotated, Final, NamedTuple
from urllib.parse import unquote_to_bytes
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import msgspec
from msgspec import Meta

from opsbook.debugging.protocol.document import clean
from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.sourcemaps import source_map

MOST_FILES: Final = 10_000
MOST_UNPACKED_BYTES: Final = 1024 * 1024 * 1024
"""Of all that is read of one bundle."""
_MOST_MANIFEST_BYTES: Final = source_map.MOST_BYTES
"""It holds the maps that scripts carry inside."""
_DATA: Final = "data:"
_DIRECTORY_ENTRY: Final = b"PK\x01\x02"
_COMPRESSIONS: Final = frozenset({ZIP_STORED, ZIP_DEFLATED})
"""Others could demand gigabytes of memory before they give a byte."""
_PIECE_BYTES: Final = 1024 * 1024

Text = Annotated[str, Meta(max_length=source_map.PATH_CHARACTERS)]


class MapFile(NamedTuple):
    """A source map in a bundle, and the scripts that were made with it."""

    path: str
    """Where it lies; for one that its script carries inside, the `data:` address that it is."""
    url: str
    debug_id: UUID | None
    scripts: Sequence[str]
    """Their addresses; `~` stands for any scheme and host."""


class Bundle:
    """A bundle that is read file by file.

    Raises (on creation):
        Malformed: It is no zip file, has no sound manifest, or names files outside of itself.
        TooLarge: It is one above our limits.
    """

    def __init__(self, file: IO[bytes]) -> None:
        _check_directory(file)
        self._unpacked_bytes = 0
        try:
            self._archive = ZipFile(file)
        except (BadZipFile, ValueError, OSError) as error:
            raise Malformed(f"the bundle is no zip file: {error}") from error
        self._manifest = self._read_manifest()
        for path in self._manifest.files:
            _check_path(path)

    @property
    def debug_id(self) -> UUID | None:
        """The bundle's own."""
        return _uuid(self._manifest.debug_id)

    @property
    def maps(self) -> Sequence[MapFile]:
        """The source maps, each with its scripts."""
        scripts = [file for file in self._manifest.files.values() if file.type == "minified_source" and file.url]
        apart = [
            MapFile(path, file.url, _uuid(file.header("debug-id")), _scripts_of(file, scripts))
            for path, file in self._manifest.files.items()
            if file.type == "source_map" and file.url
        ]
        inside = [
            MapFile(reference, script.url, _uuid(script.header("debug-id")), [clean(script.url)])
            for script in scripts
            if (reference := script.reference) and reference.startswith(_DATA)
        ]
        return apart + inside

    def read_map(self, file: MapFile) -> bytes:
        """The JSON of a map. Raises `Malformed` or `TooLarge`."""
        return _inside(file.path) if file.path.startswith(_DATA) else self.read(file.path, source_map.MOST_BYTES)

    def read(self, path: str, most_bytes: int) -> bytes:
        """A file's bytes. Raises `Malformed` or `TooLarge`."""
        most_bytes = min(most_bytes, MOST_UNPACKED_BYTES - self._unpacked_bytes)
        try:
            if self._archive.getinfo(path).compress_type not in _COMPRESSIONS:
                raise Malformed(f"{path!r} in the bundle is compressed otherwise than by deflate")
            with self._archive.open(path) as packed:
                raw = packed.read(most_bytes + 1)
        except KeyError as error:
            raise Malformed(f"the bundle has no file {path!r}") from error
        except (BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, zlib.error) as error:
            raise Malformed(f"{path!r} in the bundle cannot be unpacked: {error}") from error
        if len(raw) > most_bytes:
            raise TooLarge(f"{path!r} unpacks to more than {most_bytes:,} bytes")
        self._unpacked_bytes += len(raw)
        return raw

    def _read_manifest(self) -> _Manifest:
        try:
            return msgspec.json.decode(self.read("manifest.json", _MOST_MANIFEST_BYTES), type=_Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"the bundle's manifest is not readable: {error}") from error


class _File(msgspec.Struct):
    type: str = ""
    url: Text = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers.items() if key.lower() == name), None)

    @property
    def reference(self) -> str | None:
        """Where a script says that its map is."""
        return self.header("sourcemap") or self.header("x-sourcemap")


class _Manifest(msgspec.Struct):
    files: Annotated[dict[Text, _File], Meta(max_length=MOST_FILES)] = msgspec.field(default_factory=dict)
    debug_id: str | None = None


def _check_directory(file: IO[bytes]) -> None:
    """Before the archive's directory is read, which takes some hundred bytes of memory for each of its entries."""
    entries = 0
    while piece := file.read(_PIECE_BYTES):
        entries += piece.count(_DIRECTORY_ENTRY)
    file.seek(0)
    if entries > MOST_FILES + 1:
        raise TooLarge(f"a bundle has at most {MOST_FILES:,} files, this one {entries:,}")


def _check_path(path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or "\0" in path:
        raise Malformed(f"the bundle names a file outside of itself, {path[:200]!r}")


def _scripts_of(map_file: _File, scripts: Sequence[_File]) -> Sequence[str]:
    """The addresses of scripts that refer to a map, by address or by the debug id that they share."""
    debug_id = map_file.header("debug-id")
    return [
        clean(script.url)
        for script in scripts
        if _map_url(script) == map_file.url or (debug_id and script.header("debug-id") == debug_id)
    ]


def _map_url(script: _File) -> str | None:
    reference = script.reference
    if not reference or reference.startswith(_DATA):
        return None
    return source_map.resolve(reference, script.url)  # to which "~" is a folder like any other


def _inside(address: str) -> bytes:
    """What a `data:` address holds (RFC 2397)."""
    kind, _, data = address.partition(",")
    try:
        return b64decode(data, validate=True) if kind.endswith(";base64") else unquote_to_bytes(data)
    except ValueError as error:
        raise Malformed(f"the map inside a script is not Base64: {error}") from error


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text[:36]) if text else None
    except ValueError:
        return None
