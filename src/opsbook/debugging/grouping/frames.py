"""The calls that tell one problem from another: our own code's, named so that a release does not rename them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from opsbook.debugging.protocol.canonical import Frame

MOST_CALLS: Final = 50
"""The innermost calls that count, repetitions taken out."""

LONGEST_LINE: Final = 120
"""A longer line of source is minified, and says nothing that lasts."""

LONGEST_CYCLE: Final = 5
"""Recursion through up to so many functions counts once, however deep it went."""

LONGEST_MINIFIED: Final = 2
"""Characters of a name in a script that a minifier may have made; the next release gives it to another function."""

SCRIPT_PLATFORMS: Final = {"javascript", "node"}
_CACHED: Final = 2_048
_ANONYMOUS: Final = {"", "?", "<anonymous>", "anonymous", "(anonymous)", "<unknown>", "<lambda>", "lambda", "null"}

_FRAMEWORK: Final = re.compile(
    r"(?:^|/)(?:site-packages|dist-packages|node_modules|lib/python\d[\d.]*|vendor/bundle|gems|go/pkg/mod)/"
    r"|^(?:node:|internal/|native |\[native code\]|<frozen |<string>|<anonymous>$)"
    r"|webpack/(?:bootstrap|runtime)|^[a-z-]+-extension://"
)
_NEVER_OURS: Final = re.compile(
    r"(?:^|/)node_modules/|^(?:node:|\[native code\]|<anonymous>$)|webpack/(?:bootstrap|runtime)|^[a-z-]+-extension://"
)
_ORIGIN: Final = re.compile(r"^[a-z][a-z0-9+.-]*:(?:///|//[^/]*/)")
_QUERY: Final = re.compile(r"[?#].*$", re.DOTALL)
_CONTENT_HASH: Final = re.compile(
    r"""[.\-_~]
        (?: (?=[a-f]*[0-9])[0-9a-f]{6,40}                              # webpack, esbuild: hexadecimal
          | (?=[A-Za-z_-]*[0-9]|(?:[a-z_-]*[A-Z]){3})[A-Za-z0-9_-]{8} ) # Vite, Rollup: base64
        (?=\.)""",
    re.VERBOSE,
)
_NUMBERED_FILE: Final = re.compile(r"^\d+(?=\.)")
_RELEASE_FOLDER: Final = re.compile(r"^(?:v?\d[\d.\-]*|(?=[a-f]*[0-9])[0-9a-f]{7,40})$")
_DECORATION: Final = re.compile(
    r"^(?:(?:async|new|static|get|set) )*(?:(?:Object|Module|Array|exports|module\.exports|Window|window|global)\.)?"
    r"| \[as [^\]]{0,100}\]$|<locals>\."
)
_COUNTER: Final = re.compile(r"\$\d+|#\d+|(?<=func)\d+|(?<=__)\d+|\d{4,}")


class FrameKey(msgspec.Struct, frozen=True):
    """A call as it counts for grouping; `is_telling` if it names a function or shows its source."""

    text: str
    is_telling: bool


def calls(frames: Sequence[Frame], platform: str) -> list[FrameKey]:
    """The calls of our own code, or all of them where none is ours, outermost first."""
    counted = [frame for frame in frames if is_ours(frame)] or list(frames)
    keys: list[FrameKey] = []
    for frame in counted:
        key = _key(frame, platform)
        if key:
            _add(keys, key)
    # Its line of source tells apart what one function raises in two places.
    line = _source(counted[-1].context_line) if counted else ""
    if keys and line and not keys[-1].text.endswith(line):
        keys[-1] = FrameKey(f"{keys[-1].text}: {line}", is_telling=True)
    return keys[-MOST_CALLS:]


def innermost(frames: Sequence[Frame]) -> Frame | None:
    """The call of our own code nearest to the error, or the nearest of all."""
    return next((frame for frame in reversed(frames) if is_ours(frame)), frames[-1] if frames else None)


def is_ours(frame: Frame) -> bool:
    """Whether a call is of the application's own code: as the SDK says, else by where its file lies."""
    path = frame.abs_path or frame.filename or ""
    if frame.in_app is None:
        return not _is_framework(path)
    return frame.in_app and not _is_never_ours(frame.filename or path)


@lru_cache(_CACHED)
def _is_framework(path: str) -> bool:
    return _FRAMEWORK.search(path.replace("\\", "/")) is not None


@lru_cache(_CACHED)
def _is_never_ours(path: str) -> bool:
    """Whatever the SDK says: browsers' SDKs call every frame the application's."""
    return _NEVER_OURS.search(path) is not None


def _key(frame: Frame, platform: str) -> FrameKey | None:
    place = _place(frame.module, frame.filename or frame.abs_path or frame.package, platform)
    function = lasting_function(frame.function or "")
    if function and not (platform in SCRIPT_PLATFORMS and len(function) <= LONGEST_MINIFIED):
        return FrameKey(f"{place} in {function}", is_telling=True)
    # Without a name, the line of source says which function it is.
    line = _source(frame.context_line)
    if not (place or line):
        return None
    return FrameKey(f"{place} in ?: {line}" if line else f"{place} in ?", is_telling=bool(line))


def _place(module: str | None, path: str | None, platform: str) -> str:
    # A module of browser code is made from its URL; Node's and Python's are names.
    if module and platform not in SCRIPT_PLATFORMS:
        return module
    return lasting_path(path) if path else module or ""


@lru_cache(_CACHED)
def lasting_path(path: str) -> str:
    """The last two segments of a file's path or address, without origin, query and content hash."""
    plain = _QUERY.sub("", _ORIGIN.sub("", path.replace("\\", "/")))
    *folders, name = [part for part in plain.split("/") if part not in {"", ".", ".."}] or [""]
    name = _NUMBERED_FILE.sub("#", _CONTENT_HASH.sub("", name))
    folder = folders[-1] if folders else ""
    return name if not folder or _RELEASE_FOLDER.match(folder) else f"{folder}/{name}"


@lru_cache(_CACHED)
def lasting_function(function: str) -> str:
    """A function's name without decorations and counters; empty for an anonymous one."""
    name = _DECORATION.sub("", function.strip())
    name = _COUNTER.sub("#", name.removesuffix(".<anonymous>").removesuffix(".<computed>"))
    return "" if name.lower() in _ANONYMOUS else name


def _add(keys: list[FrameKey], key: FrameKey) -> None:
    """Add a call; one that recursion comes back to takes what lies between off again."""
    recent = keys[-LONGEST_CYCLE:]
    if key in recent:
        keep = len(recent) - recent.index(key) - 1
        del keys[len(keys) - keep :]
    else:
        keys.append(key)


def _source(line: str | None) -> str:
    if not line:
        return ""
    text = " ".join(line.split())
    return text if len(text) <= LONGEST_LINE else ""
