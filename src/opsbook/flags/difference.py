"""What differs between two states of a flag: field by field, and rule by rule within a list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from opsbook.flags.model import Flag, flag_from
from opsbook.flags.wording import prerequisite_in_words, rule_in_words, rule_title, variant_in_words

_UNINTERESTING = ("name", "revision", "created_at", "updated_at")

Parts = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field, or one element of a list, that differs; None stands for "was not there"."""

    field: str
    before: str | None
    after: str | None


def flag_differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Sequence[Difference]:
    """What differs between two recorded states, in the order of the newer; a missing state has no fields."""
    fields = [*(after or {}), *(field for field in before or {} if field not in (after or {}))]
    old, new = (flag_from(state) if state else None for state in (before, after))
    found: list[Difference] = []
    for field in fields:
        if field in _LISTS:
            found += _between(field, *(_LISTS[field](flag) if flag else () for flag in (old, new)))
        elif field not in _UNINTERESTING and _value(before, field) != _value(after, field):
            found.append(Difference(field, _value(before, field), _value(after, field)))
    return found


def _between(field: str, before: Parts, after: Parts) -> Sequence[Difference]:
    """Elements are the same one where they have one name; order alone is told once."""
    old, new = dict(before), dict(after)
    singular = field.removesuffix("s")
    found = [
        Difference(_labelled(singular, name), old.get(name), new.get(name))
        for name in [*new, *(name for name in old if name not in new)]
        if old.get(name) != new.get(name)
    ]
    kept_before, kept_after = _kept(old, new), _kept(new, old)
    if kept_before != kept_after:
        found.append(Difference(f"order of {field}", ", ".join(kept_before), ", ".join(kept_after)))
    return found


def _kept(names: Collection[str], others: Collection[str]) -> Sequence[str]:
    return [name for name in names if name in others]


def _labelled(singular: str, name: str) -> str:
    return name if name.startswith(f"{singular} ") else f"{singular} {name}"


def _rules(flag: Flag) -> Parts:
    # Two rules may have one name: the later are told apart by their place.
    parts: dict[str, str] = {}
    for place, rule in enumerate(flag.rules, start=1):
        title = rule_title(rule, place)
        parts[title if title not in parts else f"rule {place} {title}"] = rule_in_words(rule)
    return list(parts.items())


def _variants(flag: Flag) -> Parts:
    return [(variant.name, variant_in_words(variant)) for variant in flag.variants]


def _prerequisites(flag: Flag) -> Parts:
    return [(each.flag, prerequisite_in_words(each)) for each in flag.prerequisites]


_LISTS: Mapping[str, Callable[[Flag], Parts]] = {
    "rules": _rules,
    "variants": _variants,
    "prerequisites": _prerequisites,
}


def _value(state: Mapping[str, Any] | None, field: str) -> str | None:
    value = (state or {}).get(field)
    match value:
        case None:
            return None
        case str():
            return value
        case float():
            return f"{value:g}"
        case _:
            return orjson.dumps(value, default=str).decode()
