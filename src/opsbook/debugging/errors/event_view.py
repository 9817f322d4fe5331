"""An event's document as its page shows it: stacks, breadcrumbs, request, contexts, all as bounded text. Pure.

Only what `protocol.canonical` names is known to have its form; whatever else an SDK sent is taken as it is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeAlias, cast

from opsbook.debugging.grouping.frames import is_ours
from opsbook.debugging.protocol.canonical import Frame

VALUE_CHARACTERS: Final = 2_000
"""Of a value shown; the download has all."""
MOST_VALUES: Final = 100
"""Of one section."""
_LINE_CHARACTERS: Final = 400
_HEADER_SECTIONS: Final = ("headers", "cookies", "query_string", "data", "env")

Pairs: TypeAlias = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of source around a call."""

    number: int | None
    text: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One frame of a stack."""

    function: str
    place: str
    """File and line."""
    path: str
    lines: Sequence[SourceLine]
    variables: Pairs
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Calls:
    """Neighbouring calls that are all ours, or all not."""

    are_ours: bool
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Thrown:
    """An exception of the chain, or the stack of an event without one."""

    kind: str
    value: str
    handled: bool | None
    stack: Sequence[Calls]
    """The innermost call first."""


@dataclass(frozen=True, slots=True)
class Crumb:
    """Something that happened before."""

    at: str
    category: str
    level: str
    message: str
    data: Pairs


@dataclass(frozen=True, slots=True)
class EventView:
    """What is shown of an event's document."""

    chain: Sequence[Thrown]
    """The exception that was seen first, then what it came from."""
    message: str
    crumbs: Sequence[Crumb]
    """The newest first."""
    request: str
    request_sections: Sequence[tuple[str, Pairs]]
    user: Pairs
    contexts: Sequence[tuple[str, Pairs]]


def view_of(document: Mapping[str, Any]) -> EventView:
    """What is shown of a document in canonical form."""
    request = _mapping(document.get("request"))
    entry = _mapping(document.get("logentry"))
    contexts = [(str(name), _pairs(_mapping(value))) for name, value in _mapping(document.get("contexts")).items()]
    extra = [("extra", _pairs(_mapping(document.get("extra"))))]
    return EventView(
        chain=_chain(document),
        message=_text(entry.get("formatted") or entry.get("message") or document.get("message") or ""),
        crumbs=[_crumb(each) for each in reversed(_values(document.get("breadcrumbs")))],
        request=f"{_text(request.get('method') or '')} {_text(request.get('url') or '')}".strip(),
        request_sections=[(name, _section(request[name])) for name in _HEADER_SECTIONS if request.get(name)],
        user=_pairs(_mapping(document.get("user"))),
        contexts=[(name, pairs) for name, pairs in contexts + extra if pairs][:MOST_VALUES],
    )


def _chain(document: Mapping[str, Any]) -> Sequence[Thrown]:
    thrown = [_thrown(each) for each in reversed(_values(document.get("exception")))]
    if any(each.stack for each in thrown):
        return thrown
    stack = _stack(document) or next((stack for stack in map(_stack, _threads(document)) if stack), ())
    return [*thrown, Thrown("Stack", "", None, stack)] if stack else thrown


def _threads(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The one that crashed, then the one that ran."""
    threads = _values(document.get("threads"))
    return sorted(threads, key=lambda thread: (not thread.get("crashed"), not thread.get("current")))


def _thrown(exception: Mapping[str, Any]) -> Thrown:
    handled = _mapping(exception.get("mechanism")).get("handled")
    return Thrown(
        _text(exception.get("type") or "Exception"),
        _text(exception.get("value") or ""),
        handled if isinstance(handled, bool) else None,
        _stack(exception),
    )


def _stack(holder: Mapping[str, Any]) -> Sequence[Calls]:
    """The innermost call first, since that is where it broke; ours apart from those of libraries."""
    frames = _mapping(holder.get("stacktrace")).get("frames")
    calls = [_call(frame) for frame in reversed(_mappings(frames))]
    return [Calls(are_ours, list(group)) for are_ours, group in groupby(calls, key=lambda call: call.is_ours)]


def _call(frame: Mapping[str, Any]) -> Call:
    known = Frame(
        function=_string(frame, "function"),
        module=_string(frame, "module"),
        filename=_string(frame, "filename"),
        abs_path=_string(frame, "abs_path"),
        in_app=frame.get("in_app") if isinstance(frame.get("in_app"), bool) else None,
    )
    line = frame.get("lineno")
    file = known.filename or known.module or known.abs_path or "?"
    return Call(
        _text(known.function or "?"),
        _text(f"{file}:{line}" if isinstance(line, int) else file),
        _text(known.abs_path or ""),
        list(_source(frame, line if isinstance(line, int) else None)),
        _pairs(_mapping(frame.get("vars"))),
        is_ours(known),
    )


def _source(frame: Mapping[str, Any], line: int | None) -> Iterator[SourceLine]:
    current = frame.get("context_line")
    if not isinstance(current, str):
        return
    before, after = _strings(frame.get("pre_context")), _strings(frame.get("post_context"))
    for place, text in enumerate([*before, current, *after], -len(before)):
        number = line + place if line is not None else None
        yield SourceLine(number, text[:_LINE_CHARACTERS], place == 0)


def _crumb(crumb: Mapping[str, Any]) -> Crumb:
    kind = crumb.get("category") or crumb.get("type") or ""
    return Crumb(
        _text(crumb.get("timestamp") or ""),
        _text(kind),
        _text(crumb.get("level") or "info"),
        _text(crumb.get("message") or ""),
        _pairs(_mapping(crumb.get("data"))),
    )


def _section(value: object) -> Pairs:
    """Headers and the like come as a mapping, as pairs, or as one text."""
    if isinstance(value, dict):
        return _pairs(cast("dict[str, Any]", value))
    pairs = (
        [cast("list[Any]", each) for each in cast("list[Any]", value) if isinstance(each, list)]
        if isinstance(value, list)
        else []
    )
    if pairs and all(len(pair) == 2 for pair in pairs):
        return [(_text(name), _text(each)) for name, each in pairs[:MOST_VALUES]]
    return [("", _text(value))]


def _pairs(values: Mapping[str, Any]) -> Pairs:
    return [(_text(name), _text(value)) for name, value in list(values.items())[:MOST_VALUES]]


def _text(value: object) -> str:
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return written if len(written) <= VALUE_CHARACTERS else written[:VALUE_CHARACTERS] + "…"


def _string(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) and value else None


def _strings(value: object) -> Sequence[str]:
    return [each for each in cast("list[Any]", value) if isinstance(each, str)] if isinstance(value, list) else []


def _values(value: object) -> Sequence[Mapping[str, Any]]:
    return _mappings(_mapping(value).get("values"))


def _mappings(value: object) -> Sequence[Mapping[str, Any]]:
    return (
        [_mapping(each) for each in cast("list[Any]", value) if isinstance(each, dict)]
        if isinstance(value, list)
        else []
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
