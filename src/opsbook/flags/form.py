"""Reads the console's flag forms into the fields the API takes, so that both refuse the same input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from opsbook.core.errors import Invalid
from opsbook.core.http.fields import Moment
from opsbook.flags.fields import FlagFields, FlagInput, SegmentFields
from opsbook.flags.model import NAME_PATTERN, Flag

Fields = TypeVar("Fields", bound=FlagFields)

_SWITCHES = {"true": True, "false": False}
_LABELS = {"rollout_percentage": "rollout", "expires_at": "expiry"}
_NAME_RULE = "a name has 1 to 200 characters, no blanks and no / ? # % \\, and begins with no dot"
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?", re.ASCII)
"""What a browser sends of a date and time; our forms ask for it in UTC."""
_MOMENTS: TypeAdapter[datetime] = TypeAdapter(Moment)


def read_change(form: Mapping[str, str]) -> FlagFields:
    """The fields that a form on an existing flag carries; those it lacks stay as they are.

    Raises:
        Invalid: A value is malformed, told field by field.
    """
    return _validated(FlagFields, form)


def shown(flag: Flag) -> Mapping[str, str]:
    """What the form of a flag's facts shows of them."""
    return {
        "description": flag.description,
        "owner": flag.owner or "",
        "tags": " ".join(flag.tags),
        "expires_at": f"{flag.expires_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if flag.expires_at else "",
        "off_when_expired": "true" if flag.off_when_expired else "false",
    }


def touched(form: Mapping[str, str], flag: Flag) -> Mapping[str, str]:
    """What a person changed of what the form showed: a tag with a blank, or a fraction of a second, is not in it."""
    before = {name: _plain(text) for name, text in shown(flag).items()}
    return {name: text for name, text in form.items() if _plain(text) != before.get(name)}


def read_moment(text: str) -> datetime | None:
    """A date and time in UTC, as a browser sends it; None for no text.

    Raises:
        Invalid: It is none.
    """
    if not text.strip():
        return None
    try:
        return _MOMENTS.validate_python(_moment(text.strip()))
    except ValidationError as error:
        raise Invalid(f"{text[:40]!r} is no date and time in UTC, such as 2031-01-31T14:05") from error


def read_new(form: Mapping[str, str]) -> FlagInput:
    """A new flag.

    Raises:
        Invalid: A value is malformed, told field by field.
    """
    return _validated(FlagInput, form)


def read_segment(name: str, description: str, constraints: list[dict[str, Any]], reason: str) -> SegmentFields:
    """A segment as a form gave it.

    Raises:
        Invalid: Its name or a value is malformed.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise Invalid(_NAME_RULE)
    if not constraints:
        raise Invalid("a segment needs a condition: with none it would be everybody")
    try:
        return SegmentFields(description=description, constraints=constraints, reason=reason or None)
    except ValidationError as error:
        raise Invalid("; ".join(_sentence(each) for each in error.errors())) from error


def read_share(text: str) -> float:
    """A percentage in steps of 0.01.

    Raises:
        Invalid: It is none.
    """
    value = _number(text)
    if not isinstance(value, float) or value > 100 or value != round(value, 2):
        raise Invalid("a percentage is a number from 0 to 100 in steps of 0.01")
    return value


def _validated(kind: type[Fields], form: Mapping[str, str]) -> Fields:
    known = {name: _value(name, _plain(text)) for name, text in form.items() if name in kind.model_fields}
    try:
        return kind.model_validate(known)
    except ValidationError as error:
        raise Invalid("; ".join(_sentence(each) for each in error.errors())) from error


def _value(name: str, text: str) -> Any:
    """A form's text as the value that JSON would carry; what cannot be one is left for validation to refuse."""
    match name:
        case "enabled" | "kill_switch" | "off_when_expired":
            value = _SWITCHES.get(text, text)
        case "rollout_percentage":
            value = _number(text)
        case "revision":
            value = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text
        case "tags":
            value = list(dict.fromkeys(text.replace(",", " ").split()))
        case "expires_at":
            value = _moment(text) or None
        case "owner" | "reason":
            value = text or None
        case _:
            value = text
    return value


def _plain(text: str) -> str:
    """A field's text with line ends as they are stored; browsers send CR LF (HTML, 4.10.21.4)."""
    return text.replace("\r\n", "\n").strip()


def _moment(text: str) -> str:
    return f"{text}Z" if _LOCAL_TIME.fullmatch(text) else text


def _number(text: str) -> float | str:
    return float(text) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,10})?", text) else text


def _sentence(problem: Any) -> str:
    field = str(problem["loc"][0]) if problem["loc"] else "form"
    if field == "name":
        return _NAME_RULE
    what = problem["msg"].removeprefix("Value error, ")
    return f"{_LABELS.get(field, field.replace('_', ' '))}: {what[:1].lower()}{what[1:]}"
