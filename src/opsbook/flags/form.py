"""Reads the console's flag forms into the fields the API takes, so that both refuse the same input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from opsbook.core.errors import Invalid
from opsbook.flags.fields import FlagFields, FlagInput

Fields = TypeVar("Fields", bound=FlagFields)

_SWITCHES = {"true": True, "false": False}
_LABELS = {"name": "name", "rollout_percentage": "rollout", "expires_at": "expiry"}


def read_change(form: Mapping[str, str]) -> FlagFields:
    """The fields that a form on an existing flag carries; those it lacks stay as they are.

    Raises:
        Invalid: A value is malformed, told field by field.
    """
    return _validated(FlagFields, form)


def read_new(form: Mapping[str, str]) -> FlagInput:
    """A new flag.

    Raises:
        Invalid: A value is malformed, told field by field.
    """
    return _validated(FlagInput, form)


def _validated(kind: type[Fields], form: Mapping[str, str]) -> Fields:
    known = {name: _value(name, text.strip()) for name, text in form.items() if name in kind.model_fields}
    try:
        return kind.model_validate(known)
    except ValidationError as error:
        raise Invalid("; ".join(_sentence(each) for each in error.errors())) from error


def _value(name: str, text: str) -> Any:
    """A form's text as the value that JSON would carry; what cannot be one is left for validation to refuse."""
    match name:
        case "enabled" | "kill_switch":
            return _SWITCHES.get(text, text)
        case "rollout_percentage":
            return float(text) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,10})?", text) else text
        case "revision":
            return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text
        case "tags":
            return list(dict.fromkeys(text.replace(",", " ").split()))
        case "owner" | "expires_at" | "reason":
            return text or None
        case _:
            return text


def _sentence(problem: Any) -> str:
    field = str(problem["loc"][0]) if problem["loc"] else "form"
    if field == "name":
        return "a name has 1 to 200 letters, digits, dots, dashes, underscores, colons or tildes"
    what = problem["msg"].removeprefix("Value error, ")
    return f"{_LABELS.get(field, field.replace('_', ' '))}: {what[:1].lower()}{what[1:]}"
