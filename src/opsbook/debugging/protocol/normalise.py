"""Brings an event that some SDK wrote its own way into the canonical form, in place.

Numbers become texts and texts numbers where the form wants them, lists of pairs become objects,
nulls disappear from lists, and what is too long is cut. What cannot be read as what it should be
is taken out and kept under `_meta`, so that nothing vanishes without a trace.
"""

from __future__ import annotations

from typing import Any, Final, cast

from opsbook.debugging.protocol import fixes
from opsbook.debugging.protocol.fixes import Fix
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


def fix_common_forms(document: dict[str, Any]) -> bool:
    """Fix what most SDKs do their own way: old names, bare lists, numbers as tags and ids; whether there were any.

    Cheap, and all that most events need.
    """
    old = [name for name in document.keys() & OLD_NAMES if document.get(OLD_NAMES[name]) is None]
    for name in old:
        document[OLD_NAMES[name]] = document.pop(name)
    bare = [name for name in WRAPPED if isinstance(document.get(name), list)]
    for name in bare:
        document[name] = {"values": document[name]}
    user, tags = fixes.as_object(document.get("user")) or {}, fixes.as_object(document.get("tags")) or {}
    numbers = [name for name, value in tags.items() if isinstance(value, int | float)]
    for name in numbers:
        tags[name] = _name(tags[name])
    has_number = isinstance(user.get("id"), int | float)
    if has_number:
        user["id"] = _name(user["id"])
    return bool(old or bare or numbers or has_number)


def normalise(document: dict[str, Any]) -> None:
    """Bring the event's attributes into canonical form."""
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
        meta = fixes.as_object(document.get("_meta")) or {}
        document["_meta"] = {**meta, **unreadable}


def _tags(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict | list):
        return None
    key_text, value_text = fixes.text(TAG_KEY_CHARACTERS), fixes.any_text(TAG_VALUE_CHARACTERS)
    named = [(key_text(key), entry) for key, entry in fixes.as_pairs(value) if entry is not None]
    return {key: value_text(entry) for key, entry in named[:MOST_TAGS] if key}


def _modules(value: Any) -> dict[str, Any] | None:
    fields = fixes.as_object(value)
    return None if fields is None else {key: _name(entry) for key, entry in fields.items()}


def _fingerprint(value: Any) -> list[str] | None:
    parts = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [fixes.any_text(PATH_CHARACTERS)(part) for part in parts[:MOST_FINGERPRINT_PARTS] if part is not None]


def _params(value: Any) -> list[Any] | dict[str, Any] | None:
    return cast("list[Any] | dict[str, Any]", value) if isinstance(value, list | dict) else [value]


def _log_entry(value: Any) -> dict[str, Any] | None:
    return _log_entry_fields({"message": value} if isinstance(value, str) else value)


def _any_object(value: Any) -> dict[str, Any] | None:
    return fixes.as_object(value) or (dict(fixes.as_pairs(value)) if _has_text_keys(value) else None)


def _has_text_keys(value: Any) -> bool:
    return isinstance(value, dict | list) and all(isinstance(key, str) for key, _ in fixes.as_pairs(value))


_name, _path, _message = fixes.text(NAME_CHARACTERS), fixes.text(PATH_CHARACTERS), fixes.any_text(MESSAGE_CHARACTERS)
_lines = fixes.each(fixes.text(MESSAGE_CHARACTERS), fixes.first(100))
_log_entry_fields = fixes.fields(message=_message, formatted=_message, params=_params)
_frame = fixes.fields(
    **dict.fromkeys(("function", "module", "filename", "abs_path", "package"), _path),
    context_line=fixes.text(MESSAGE_CHARACTERS),
    pre_context=_lines,
    post_context=_lines,
    lineno=fixes.integer,
    colno=fixes.integer,
    in_app=fixes.flag,
    vars=_any_object,
)
_stacktrace = fixes.listed("frames", _frame, fixes.ends(MOST_FRAMES))
_exception = fixes.fields(
    type=_path,
    value=_message,
    module=_path,
    stacktrace=_stacktrace,
    mechanism=fixes.fields(type=_path, handled=fixes.flag, synthetic=fixes.flag),
)
_thread = fixes.fields(crashed=fixes.flag, current=fixes.flag, stacktrace=_stacktrace)
_context = fixes.fields(trace_id=_name, span_id=_name)

_ATTRIBUTES: Final[dict[str, Fix]] = {
    "event_id": _name,
    "timestamp": fixes.number_or_text,
    "level": _name,
    "environment": fixes.text(ENVIRONMENT_CHARACTERS),
    **dict.fromkeys(("platform", "release", "dist", "transaction", "logger", "server_name"), _name),
    "message": _message,
    "logentry": _log_entry,
    "exception": fixes.listed("values", _exception, fixes.last(MOST_EXCEPTIONS)),
    "threads": fixes.listed("values", _thread, fixes.first(MOST_THREADS)),
    "stacktrace": _stacktrace,
    "fingerprint": _fingerprint,
    "user": fixes.fields(id=_name, email=_name, username=_name, ip_address=_name),
    "tags": _tags,
    "request": fixes.fields(url=fixes.text(MESSAGE_CHARACTERS), method=_name),
    "contexts": fixes.fields(trace=_context),
    "breadcrumbs": fixes.listed("values", fixes.as_object, fixes.last(MOST_BREADCRUMBS)),
    "extra": _any_object,
    "modules": _modules,
    "sdk": fixes.fields(name=_name, version=_name),
}
