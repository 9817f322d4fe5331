"""Log messages: a template and its parameters, put together the way the sender would have."""

from __future__ import annotations

import re
from typing import Any, Final, cast

_PLACEHOLDER: Final = re.compile(r"%\((\w{1,64})\)[a-z]|%[-+ 0#]{0,3}\d{0,3}(?:\.\d{1,3})?[sdifrxeg%]|\{(\w{0,64})\}")


def fill_in(template: str, params: list[Any] | dict[str, Any] | None) -> str:
    """The template with `%s`, `%(name)s`, `{}`, `{0}` and `{name}` filled in from the parameters.

    Not by the language's own formatting: a template comes from outside, and `%999999999d` is a
    number a gigabyte wide. A placeholder without a parameter stays.
    """
    if not params or not template:
        return template
    waiting = iter(params if isinstance(params, list) else [])

    def parameter(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        name = match[1] or match[2]
        value = _named(params, name) if name else next(waiting, None)
        return match[0] if value is None else str(value)[:1_000]

    return _PLACEHOLDER.sub(parameter, template)


def _named(params: list[Any] | dict[str, Any], name: str) -> object:
    if isinstance(params, dict):
        return cast("dict[str, object]", params).get(name)
    return params[int(name)] if name.isdecimal() and int(name) < len(params) else None
