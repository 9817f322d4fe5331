"""A source map (ECMA-426) as it is kept: decoded once when it is uploaded, and quick to load and to search after."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Annotated, Final, NamedTuple
from urllib.parse import urljoin

import msgspec
import zstandard
from msgspec import Meta

from opsbook.debugging.protocol.document import clean
from opsbook.debugging.protocol.errors import Malformed, TooLarge
from opsbook.debugging.sourcemaps.mappings import NONE, Mappings, decode_mappings, empty_mappings

MOST_BYTES: Final = 48 * 1024 * 1024
"""Of one map's JSON."""
MOST_SOURCES: Final = 50_000
MOST_NAMES: Final = 1_000_000
MOST_SECTIONS: Final = 1_000
MOST_SOURCE_BYTES: Final = 8 * 1024 * 1024
"""Of the text of one source, which is split into lines when one of them is shown."""
PATH_CHARACTERS: Final = 1_000
NAME_CHARACTERS: Final = 200
_MOST_SPLIT_CHARACTERS: Final = 4 * 1024 * 1024
"""Of sources whose lines are at hand; a stack leads through a few dozen files."""
_CACHED: Final = 4_096
_XSSI_PREFIX: Final = b")]}"
_ROOT: Final = re.compile(r"^[a-z][a-z0-9+.-]*:(?://[^/]*)?/*", re.IGNORECASE)


class Source(msgspec.Struct, frozen=True, array_like=True):
    """A file that the script was made from."""

    path: str
    text: bytes | None
    """UTF-8, compressed with zstd; None where the map does not carry it."""
    is_ignored: bool
    """The map itself calls it somebody else's code (`ignoreList`)."""


class Origin(NamedTuple):
    """What a position in the script was in the source; `line` and `column` count from 0."""

    source: int
    line: int
    column: int
    name: str | None
    """What the identifier at this very position is called there."""


class SourceMap:
    """A map to search in, with the lines of sources that were looked at lately."""

    def __init__(self, sources: Sequence[Source], names: Sequence[str], mappings: Mappings) -> None:
        self.sources = sources
        self.names = names
        self.mappings = mappings
        self._split: dict[int, Sequence[str]] = {}
        self._split_characters = 0

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        texts = sum(len(source.text or b"") + len(source.path) + 200 for source in self.sources)
        return sum(len(part) * part.itemsize for part in self.mappings) + texts + 80 * len(self.names)

    def find(self, line: int, column: int) -> Origin | None:
        """Where a position in the script, counted from 0 and in UTF-16 units, comes from."""
        segment = self.mappings.find(line, column)
        if segment is None or segment.source >= len(self.sources):
            return None
        is_named = segment.generated_column == column and NONE < segment.name < len(self.names)
        return Origin(segment.source, segment.line, segment.column, self.names[segment.name] if is_named else None)

    def lines(self, source: int) -> Sequence[str]:
        """The lines of a source; none where the map does not carry it."""
        lines = self._split.get(source)
        return self._split_up(source) if lines is None else lines

    def _split_up(self, source: int) -> Sequence[str]:
        packed = self.sources[source].text
        text = _unpacked(packed).decode() if packed else ""
        if self._split_characters > _MOST_SPLIT_CHARACTERS:
            self._split, self._split_characters = {}, 0
        self._split[source] = lines = text.split("\n") if text else []
        self._split_characters += len(text)
        return lines


def read_source_map(raw: bytes) -> SourceMap:
    """The map in a file's JSON, plain or with sections.

    Raises:
        Malformed: It is no source map of version 3.
        TooLarge: It is one above our limits.
    """
    if len(raw) > MOST_BYTES:
        raise TooLarge(f"a source map has at most {MOST_BYTES:,} bytes, this one {len(raw):,}")
    if raw.startswith(_XSSI_PREFIX):
        raw = raw.partition(b"\n")[2]
    try:
        written = msgspec.json.decode(raw, type=_Written)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a source map: {error}") from error
    if written.sections is None:
        return _plain(written)
    return _joined([(section.offset, _plain(section.map)) for section in written.sections])


def pack(source_map: SourceMap) -> bytes:
    """The map as it is kept."""
    return msgspec.msgpack.encode(
        _Packed(
            source_map.sources,
            source_map.names,
            [zstandard.compress(part.tobytes()) for part in source_map.mappings],
        )
    )


def unpack(packed: bytes) -> SourceMap:
    """The map that `pack` wrote."""
    kept = msgspec.msgpack.decode(packed, type=_Packed)
    mappings = empty_mappings()
    for part, column in zip(mappings, kept.columns, strict=True):
        part.frombytes(_unpacked(column))
    return SourceMap(kept.sources, kept.names, mappings)


@lru_cache(_CACHED)
def name_of(path: str) -> str:
    """A source's path without what the bundler put before it: the name that stays from one build to the next."""
    parts = _ROOT.sub("", path.partition("?")[0]).split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."}) or path


@lru_cache(_CACHED)
def resolve(reference: str, base: str) -> str:
    """An address as seen from another; the reference itself where that makes none."""
    try:
        return urljoin(base, reference)[:PATH_CHARACTERS]
    except ValueError:
        return reference[:PATH_CHARACTERS]


class _Offset(msgspec.Struct):
    line: Annotated[int, Meta(ge=0, lt=2**31)]
    column: Annotated[int, Meta(ge=0, lt=2**31)]


class _Section(msgspec.Struct):
    offset: _Offset
    map: _Written


class _Written(msgspec.Struct):
    """A map as ECMA-426 has it written. Sections do not nest."""

    version: int
    mappings: str = ""
    sources: Annotated[list[str | None], Meta(max_length=MOST_SOURCES)] = msgspec.field(default_factory=list)
    sources_content: Annotated[list[str | None], Meta(max_length=MOST_SOURCES)] | None = msgspec.field(
        default=None, name="sourcesContent"
    )
    names: Annotated[list[str], Meta(max_length=MOST_NAMES)] = msgspec.field(default_factory=list)
    source_root: str | None = msgspec.field(default=None, name="sourceRoot")
    ignore_list: list[int] | None = msgspec.field(default=None, name="ignoreList")
    x_google_ignore_list: list[int] | None = None
    sections: Annotated[list[_Section], Meta(max_length=MOST_SECTIONS)] | None = None


class _Packed(msgspec.Struct, array_like=True):
    sources: Sequence[Source]
    names: Sequence[str]
    columns: Sequence[bytes]


def _plain(written: _Written) -> SourceMap:
    if written.version != 3 or written.sections is not None:
        raise Malformed(f"only source maps of version 3 are read, without sections in sections; not {written.version}")
    ignored = frozenset(written.ignore_list or written.x_google_ignore_list or ())
    texts = written.sources_content or []
    sources = [
        Source(_path(path, written.source_root), _packed_text(texts[at]) if at < len(texts) else None, at in ignored)
        for at, path in enumerate(written.sources)
    ]
    names = [clean(name[:NAME_CHARACTERS]) for name in written.names]
    return SourceMap(sources, names, decode_mappings(written.mappings))


def _path(path: str | None, root: str | None) -> str:
    full = f"{root.rstrip('/')}/{path}" if root and path else path or ""
    return clean(full[:PATH_CHARACTERS])


def _packed_text(text: str | None) -> bytes | None:
    if text is None or len(text) > MOST_SOURCE_BYTES:
        return None
    return zstandard.compress(clean(text).encode())


def _unpacked(packed: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(packed)


def _joined(sections: Sequence[tuple[_Offset, SourceMap]]) -> SourceMap:
    """One map of the sections, which must follow one another."""
    places = [(offset.line, offset.column) for offset, _ in sections]
    if places != sorted(set(places)):
        raise Malformed("the sections of the map do not follow one another")
    sources: list[Source] = []
    names: list[str] = []
    parts: list[Mappings] = []
    for offset, section in sections:
        parts.append(section.mappings.shifted(offset.line, offset.column, len(sources), len(names)))
        sources += section.sources
        names += section.names
    if len(sources) > MOST_SOURCES:
        raise TooLarge(f"a source map has at most {MOST_SOURCES:,} sources, this one {len(sources):,}")
    joined = Mappings(*(array(of[0].typecode, chain(*of)) for of in zip(empty_mappings(), *parts, strict=True)))
    if any(map(int.__gt__, joined.positions, joined.positions[1:])):
        raise Malformed("a section of the map reaches into the next one")
    return SourceMap(sources, names, joined)
