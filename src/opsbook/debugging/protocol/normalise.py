"""Brings an event that some SDK wrote its own way into the canonical form, in place.

Numbers become texts and texts numbers where the form wants them, lists of pairs become objects,
nulls disappear from lists, and what is too long is cut. What cannot be read as what it should be
is taken out and kept under `_meta`, so that nothing vanishes without a trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import orjson

from opsbook.debugging.protocol.limits import (
    ENVIRONMENT_CHARACTERS,
    MESSAGE_CHARACTERS,
    MOST_BREADCRUMBS,
    MOST_EXCEPTIONS,
    MOST_FINGERPRINT_PARTS,
    MOST_FRAMES,
    MOST_TAGS,
    MOST_THREADS,
    NAME_CHARACTERS,
    PATH_CHARACTERS,
    TAG_KEY_CHARACTERS,
    TAG_VALUE_CHARACTERS,
)

Fix = Callable[[Any], Any]
"""Gives the canonical form of a value, or None where it has none."""

OLD_NAMES: Final = {
    "culprit": "transaction",
    "sentry.interfaces.Exception": "exception",
    "sentry.interfaces.Http": "request",
    "sentry.interfaces.Message": "logentry",
    "sentry.interfaces.Stacktrace": "stacktrace",
    "sentry.interfaces.User": "user",
    "sentry.interfaces.Breadcrumbs": "breadcrumbs",
    "sentry.interfaces.Contexts": "contexts",
}
"""Attribute names of the protocol's first versions."""


WRAPPED: Final = ("breadcrumbs", "exception", "threads")
"""Attributes of the form `{"values": [...]}`; some SDKs send the bare list."""


def wrap_lists(document: dict[str, Any]) -> bool:
    """Give bare lists their canonical form; whether there were any. Cheap, and all that most events need."""
    bare = [name for name in WRAPPED if isinstance(document.get(name), list)]
    for name in bare:
        document[name] = {"values": document[name]}
    return bool(bare)


def normalise(document: dict[str, Any]) -> None:
    """Bring the event's attributes into canonical form."""
    for old, new in OLD_NAMES.items():
        if old in document and document.get(new) is None:
            document[new] = document.pop(old)
    if isinstance(document.get("message"), dict):
        document.setdefault("logentry", document.pop("message"))
    unreadable: dict[str, Any] = {}
    for name, fix in _ATTRIBUTES.items():
        value = document.get(name)
        if value is not None:
            document[name] = fixed = fix(value)
            if fixed is None:
                unreadable[name] = {"": {"err": ["invalid_data"], "val": value}}
    if unreadable:
        meta = _object(document.get("_meta")) or {}
        document["_meta"] = {**meta, **unreadable}


def _text(most: int) -> Fix:
    """Text of at most so many characters."""

    def fix(value: Any) -> str | None:
        if isinstance(value, str):
            return value if len(value) <= most else value[: most - 3] + "..."
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)[:most]
        return None

    return fix


def _any_text(most: int) -> Fix:
    """Text, or the JSON of whatever else."""
    text = _text(most)

    def fix(value: Any) -> str | None:
        written = text(value)
        return orjson.dumps(value).decode()[:most] if written is None else written

    return fix


def _flag(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, int) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        digits = value.strip()
        value = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None
    if isinstance(value, float):
        value = int(value) if abs(value) < 2**31 else None
    return value if isinstance(value, int) and abs(value) < 2**31 else None


def _time(value: Any) -> str | float | None:
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _fields(**fixes: Fix) -> Fix:
    """An object, whose named fields are fixed and lose what cannot be; other fields stay."""

    def fix(value: Any) -> dict[str, Any] | None:
        fields = _object(value)
        if fields is None:
            return None
        for name, fix_field in fixes.items():
            if fields.get(name) is not None:
                fields[name] = fix_field(fields[name])
        return fields

    return fix


def _each(fix: Fix, keep: Callable[[list[Any]], list[Any]]) -> Fix:
    """A list, fixed one by one; nulls and what cannot be fixed are left out."""

    def fix_all(value: Any) -> list[Any] | None:
        if not isinstance(value, list):
            return None
        fixed = [fix(entry) for entry in keep(cast("list[Any]", value)) if entry is not None]
        return [entry for entry in fixed if entry is not None]

    return fix_all


def _listed(name: str, fix: Fix, keep: Callable[[list[Any]], list[Any]]) -> Fix:
    """`{name: [...]}`, also where the list, or its only entry (known by its `type`), was sent bare."""
    fix_list = _each(fix, keep)

    def fix_all(value: Any) -> dict[str, Any] | None:
        if isinstance(value, list):
            return {name: fix_list(value)}
        fields = _object(value)
        if fields is None:
            return None
        if "type" in fields and name not in fields:
            return {name: fix_list([fields])}
        fields[name] = fix_list(fields.get(name)) or []
        return fields

    return fix_all


def _first(most: int) -> Callable[[list[Any]], list[Any]]:
    return lambda entries: entries[:most]


def _last(most: int) -> Callable[[list[Any]], list[Any]]:
    return lambda entries: entries[-most:]


def _ends(most: int) -> Callable[[list[Any]], list[Any]]:
    return lambda entries: entries if len(entries) <= most else [*entries[: most // 2], *entries[-(most - most // 2) :]]


def _object(value: Any) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    """Of an object, or of a list of pairs."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).items()
    if isinstance(value, list):
        entries = cast("list[Any]", value)
        return [(entry[0], entry[1]) for entry in entries if isinstance(entry, list) and len(entry) == 2]
    return []


def _tags(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict | list):
        return None
    key_text, value_text = _text(TAG_KEY_CHARACTERS), _any_text(TAG_VALUE_CHARACTERS)
    named = [(key_text(key), entry) for key, entry in _pairs(value) if entry is not None]
    return {key: value_text(entry) for key, entry in named[:MOST_TAGS] if key}


def _modules(value: Any) -> dict[str, Any] | None:
    fields = _object(value)
    return None if fields is None else {key: _name(entry) for key, entry in fields.items()}


def _fingerprint(value: Any) -> list[str] | None:
    parts = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [_any_text(PATH_CHARACTERS)(part) for part in parts[:MOST_FINGERPRINT_PARTS] if part is not None]


def _params(value: Any) -> list[Any] | dict[str, Any] | None:
    return cast("list[Any] | dict[str, Any]", value) if isinstance(value, list | dict) else [value]


def _log_entry(value: Any) -> dict[str, Any] | None:
    return _log_entry_fields({"message": value} if isinstance(value, str) else value)


def _any_object(value: Any) -> dict[str, Any] | None:
    return _object(value) or (dict(_pairs(value)) if _has_text_keys(value) else None)


def _has_text_keys(value: Any) -> bool:
    return isinstance(value, dict | list) and all(isinstance(key, str) for key, _ in _pairs(value))


_name, _path, _message = _text(NAME_CHARACTERS), _text(PATH_CHARACTERS), _any_text(MESSAGE_CHARACTERS)
_lines = _each(_text(MESSAGE_CHARACTERS), _first(100))
_log_entry_fields = _fields(message=_message, formatted=_message, params=_params)
_frame = _fields(
    **dict.fromkeys(("function", "module", "filename", "abs_path", "package"), _path),
    context_line=_text(MESSAGE_CHARACTERS),
    pre_context=_lines,
    post_context=_lines,
    lineno=_integer,
    colno=_integer,
    in_app=_flag,
    vars=_any_object,
)
_stacktrace = _listed("frames", _frame, _ends(MOST_FRAMES))
_exception = _fields(
    type=_path,
    value=_message,
    module=_path,
    stacktrace=_stacktrace,
    mechanism=_fields(type=_path, handled=_flag, synthetic=_flag),
)
_thread = _fields(crashed=_flag, current=_flag, stacktrace=_stacktrace)
_context = _fields(trace_id=_name, span_id=_name)

_ATTRIBUTES: Final[dict[str, Fix]] = {
    "event_id": _name,
    "timestamp": _time,
    "level": _name,
    "environment": _text(ENVIRONMENT_CHARACTERS),
    **dict.fromkeys(("platform", "release", "dist", "transaction", "logger", "server_name"), _name),
    "message": _message,
    "logentry": _log_entry,
    "exception": _listed("values", _exception, _last(MOST_EXCEPTIONS)),
    "threads": _listed("values", _thread, _first(MOST_THREADS)),
    "stacktrace": _stacktrace,
    "fingerprint": _fingerprint,
    "user": _fields(id=_name, email=_name, username=_name, ip_address=_name),
    "tags": _tags,
    "request": _fields(url=_text(MESSAGE_CHARACTERS), method=_name),
    "contexts": _fields(trace=_context),
    "breadcrumbs": _listed("values", _object, _last(MOST_BREADCRUMBS)),
    "extra": _any_object,
    "modules": _modules,
    "sdk": _fields(name=_name, version=_name),
}
