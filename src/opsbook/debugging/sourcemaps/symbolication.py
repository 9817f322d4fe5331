"""Reads the frames of minified scripts in an event back to the source that they were made from. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast
from uuid import UUID

from opsbook.debugging.sourcemaps.source_map import Origin, SourceMap, name_of, resolve

CONTEXT_LINES: Final = 5
"""Before and after a frame's line, as SDKs send them."""
LINE_CHARACTERS: Final = 400
MOST_SCRIPTS: Final = 32
"""That one event refers to."""
PLATFORMS: Final = frozenset({"javascript", "node"})
_LONGEST_URL: Final = 1_000
_HOST: Final = re.compile(r"^[a-z][a-z0-9+.-]*:(?://[^/]*)?", re.IGNORECASE)
_LARGEST: Final = 2**31

Document: TypeAlias = dict[str, Any]
Lookup: TypeAlias = Callable[[str], SourceMap | None]
"""The map of the script at an address, as frames name it."""


class Script(NamedTuple):
    """How the map of a script can be found."""

    url: str
    debug_id: UUID | None
    release: str | None
    dist: str


def scripts_of(document: Document) -> Sequence[Script]:
    """The scripts that an event's frames lie in; none for other than JavaScript, or where frames were read back."""
    if document.get("platform") not in PLATFORMS:
        return ()
    debug_ids = _debug_ids(document)
    release, dist = document.get("release"), document.get("dist")
    release = release if isinstance(release, str) and release else None
    urls = dict.fromkeys(url for _, frames in _stacks(document) for frame in frames if (url := _url(frame)))
    return [
        Script(url, debug_ids.get(url), release, dist if isinstance(dist, str) else "")
        for url in list(urls)[:MOST_SCRIPTS]
        if release or url in debug_ids
    ]


def symbolicate(document: Document, lookup: Lookup) -> bool:
    """Read frames back, in place; the stack as it was stays beside, as `raw_stacktrace`. Says whether one was."""
    is_changed = False
    for holder, frames in list(_stacks(document)):
        origins = [_origin(frame, lookup) for frame in frames]
        if any(origins):
            holder["raw_stacktrace"] = holder["stacktrace"]
            holder["stacktrace"] = {**holder["stacktrace"], "frames": list(_read_back(frames, origins))}
            is_changed = True
    return is_changed


def addresses(url: str) -> Sequence[str]:
    """The names under which a script at that address may have been uploaded, the most exact first.

    `~` stands for any scheme and host, as in Sentry.
    """
    bare = url.partition("?")[0].partition("#")[0]
    return list(dict.fromkeys([url, bare, f"~/{_HOST.sub('', bare).lstrip('/')}"]))


class _Place(NamedTuple):
    """A position in a source, the source's map, and the script's address."""

    map: SourceMap
    origin: Origin
    url: str


def _stacks(document: Document) -> Iterator[tuple[Document, Sequence[Any]]]:
    """What holds a stack that was not read back yet, with its frames, outermost first."""
    for holder in (document, *_values(document.get("exception")), *_values(document.get("threads"))):
        stack = holder.get("stacktrace")
        frames = stack.get("frames") if isinstance(stack, dict) else None
        if isinstance(frames, list) and not holder.get("raw_stacktrace"):
            yield holder, cast("Sequence[Any]", frames)


def _values(holder: object) -> Sequence[Document]:
    """SDKs write a list, an object with a list of `values`, or one alone."""
    values = cast("Document", holder).get("values", [holder]) if isinstance(holder, dict) else holder
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else ()


def _url(frame: object) -> str | None:
    if not isinstance(frame, dict):
        return None
    held = cast("Document", frame)
    url = held.get("abs_path") or held.get("filename")
    return url if isinstance(url, str) and len(url) <= _LONGEST_URL else None


def _debug_ids(document: Document) -> Mapping[str, UUID]:
    """By the script's address, from what the SDK says of the files that it saw in stacks."""
    meta = document.get("debug_meta")
    images = cast("Document", meta).get("images") if isinstance(meta, dict) else None
    found: dict[str, UUID] = {}
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and cast("Document", image).get("type") == "sourcemap":
            url, debug_id = cast("Document", image).get("code_file"), _uuid(cast("Document", image).get("debug_id"))
            if isinstance(url, str) and debug_id:
                found[url] = debug_id
    return found


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _origin(frame: object, lookup: Lookup) -> _Place | None:
    url = _url(frame)
    found = lookup(url) if url else None
    if url is None or found is None:
        return None
    held = cast("Document", frame)
    line, column = _from_zero(held.get("lineno")), _from_zero(held.get("colno"))
    origin = found.find(line, column) if line is not None and column is not None else None
    return _Place(found, origin, url) if origin else None


def _from_zero(number: object) -> int | None:
    """A line or column as a map counts it; SDKs count from 1."""
    return number - 1 if isinstance(number, int) and 0 < number < _LARGEST else None


def _read_back(frames: Sequence[Any], places: Sequence[_Place | None]) -> Iterator[Any]:
    callers = (None, *places)
    for frame, place, caller in zip(frames, places, callers, strict=False):
        yield _in_source(frame, place, caller) if place else frame


def _in_source(frame: Document, place: _Place, caller: _Place | None) -> Document:
    """The frame in its source. A function is called what its caller calls it: the map names identifiers, no bodies."""
    source = place.map.sources[place.origin.source]
    name = caller.origin.name if caller else None
    read = {key: value for key, value in frame.items() if key != "module"}
    read |= {
        "filename": name_of(source.path),
        "abs_path": resolve(source.path, place.url),
        "lineno": place.origin.line + 1,
        "colno": place.origin.column + 1,
        **_context(place.map.lines(place.origin.source), place.origin.line),
    }
    if name:
        read["function"] = name
    if source.is_ignored or "node_modules/" in source.path:
        read["in_app"] = False
    return read


def _context(lines: Sequence[str], at: int) -> Mapping[str, Any]:
    if at >= len(lines):
        return {}
    shown = [line[:LINE_CHARACTERS].rstrip("\r") for line in lines[max(0, at - CONTEXT_LINES) : at + CONTEXT_LINES + 1]]
    middle = min(at, CONTEXT_LINES)
    return {
        "pre_context": shown[:middle],
        "context_line": shown[middle],
        "post_context": shown[middle + 1 :],
    }
