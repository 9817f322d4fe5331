"""Conditions and contexts as people type them: `plan in pro,team`, `not country in DE`, `plan=pro`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from opsbook.core.errors import Invalid
from opsbook.flags.targeting.context import TARGETING_KEY
from opsbook.flags.targeting.model import ValueType
from opsbook.flags.targeting.operators import OPERATORS, BadValue


def read_condition(text: str, *, case_insensitive: bool = False) -> dict[str, Any]:
    """A constraint from `[not] FIELD OPERATOR VALUE[,VALUE …]`.

    Raises:
        Invalid: It is not of that form, or there is no such operator.
    """
    words = text.split(None, 3 if text.startswith("not ") else 2)
    inverted = words[:1] == ["not"] and len(words) == 4
    if inverted:
        words = words[1:]
    if len(words) != 3:
        raise Invalid(f"{text!r} is no condition; write for example: plan in pro,team")
    field, operator, values = words
    return condition(field, operator, values, inverted=inverted, case_insensitive=case_insensitive)


def condition(
    field: str, operator: str, values: str, *, inverted: bool = False, case_insensitive: bool = False
) -> dict[str, Any]:
    """A constraint from its parts; `values` are separated by commas, but for a pattern, which is one.

    Raises:
        Invalid: There is no such operator, or it cannot work with the values.
    """
    if operator not in OPERATORS:
        raise Invalid(f"there is no operator {operator!r}; there are {', '.join(OPERATORS)}")
    texts = [values] if operator == "matches" else split_values(values)
    try:
        OPERATORS[operator](texts, case_insensitive)
    except BadValue as error:
        raise Invalid(f"{field} {operator}: {error}") from error
    constraint: dict[str, Any] = {"field": field, "operator": operator, "values": texts}
    if inverted:
        constraint["inverted"] = True
    if case_insensitive:
        constraint["case_insensitive"] = True
    return constraint


def require_whom(rule: Mapping[str, Any]) -> None:
    """Refuse a rule that is on for everybody, which nobody means by adding a rule.

    Raises:
        Invalid: It has no condition, no segment and no share.
    """
    if not rule.get("constraints") and not rule.get("segments") and rule.get("percentage", 100) >= 100:
        raise Invalid("a rule needs a condition, a segment or a share below 100 %; for everybody there is the rollout")


def split_values(text: str) -> list[str]:
    """`pro, team, "Doe, John"` as its values: CSV (RFC 4180), where blanks around a value and line ends separate too.

    Raises:
        Invalid: A quotation mark is left open.
    """
    try:
        rows = list(csv.reader(io.StringIO(text), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise Invalid(f'{text[:50]!r} are no values; write for example: pro, team, "Doe, John"') from error
    return [value for row in rows for raw in row if (value := raw.strip())]


def join_values(values: Sequence[str]) -> str:
    """Values as `split_values` reads them."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue().replace(",", ", ") if not any("," in value for value in values) else line.getvalue()


def read_context(targeting_key: str | None, fields: Sequence[str]) -> Mapping[str, Any]:
    """A context from a targeting key and `FIELD=VALUE` texts.

    Raises:
        Invalid: One of them has no `=`.
    """
    context: dict[str, Any] = {} if targeting_key is None else {TARGETING_KEY: targeting_key}
    for text in fields:
        name, found, value = text.partition("=")
        if not found or not name:
            raise Invalid(f"{text!r} is no field of a context; write for example: plan=pro")
        context[name] = value
    return context


def read_value(text: str, value_type: ValueType) -> Any:
    """A variant's value, of the flag's type.

    Raises:
        Invalid: The text is none of that type.
    """
    if value_type == "string":
        return text
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"{text[:50]!r} is no {value_type} as JSON writes it") from error
    if not _is_a(value, value_type):
        raise Invalid(f"{text[:50]!r} is no {value_type}")
    return value


def read_weighted(text: str, value_type: ValueType) -> dict[str, Any]:
    """A variant from `NAME[:WEIGHT][=VALUE]`.

    Raises:
        Invalid: It is not of that form, or the value is missing or none of that type.
    """
    found = re.fullmatch(r"(?P<name>[^=]+?)(:(?P<weight>[0-9]{1,7}))?(=(?P<value>.*))?", text, re.DOTALL)
    if found is None:
        raise Invalid(f"{text[:50]!r} is no variant; write for example blue:3, or blue:3=#0000ff where it has a value")
    variant: dict[str, Any] = {"name": found["name"].strip(), "weight": int(found["weight"] or 1)}
    if found["value"] is not None:
        variant["value"] = read_value(found["value"], value_type)
    elif value_type != "boolean":
        raise Invalid(f"{text[:50]!r} lacks the {value_type} that it stands for; write {text[:50]}=VALUE")
    return variant


def read_override(text: str) -> dict[str, Any]:
    """Who gets a variant whatever the weights, from `FIELD in VALUE[,VALUE …]`.

    Raises:
        Invalid: It is not of that form.
    """
    found = read_condition(text)
    if found["operator"] != "in" or "inverted" in found:
        raise Invalid(f"{text!r} cannot choose a variant; write for example: targetingKey in u1,u2")
    return {"field": found["field"], "values": found["values"]}


def _is_a(value: object, value_type: ValueType) -> bool:
    match value_type:
        case "boolean":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, dict | list)
