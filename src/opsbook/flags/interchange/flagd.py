"""Flag definitions of flagd, OpenFeature's own daemon: variants by name, and targeting in JsonLogic."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from opsbook.core.errors import Invalid
from opsbook.flags.interchange.interface import Bundle, LeftBehind
from opsbook.flags.interchange.logic import ALWAYS, NEVER, Condition, Unsayable, all_of, any_of, ask, negated
from opsbook.flags.interchange.outcomes import LIKE_ELSEWHERE_BUT_OTHERS, Branch, outcome
from opsbook.flags.model import Flag

_COMPARED: Final = {
    ">": "number_above",
    ">=": "number_at_least",
    "<": "number_below",
    "<=": "number_at_most",
}
_TURNED: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_VERSIONS: Final = {
    "=": "version_equals",
    ">": "version_above",
    ">=": "version_at_least",
    "<": "version_below",
    "<=": "version_at_most",
}
_DEEPEST: Final = 50
_EVERYBODY: Final = 100.0


class _Flag(msgspec.Struct, rename="camel"):
    state: str
    variants: dict[str, Any]
    default_variant: str | None = None
    targeting: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


class _File(msgspec.Struct):
    flags: dict[str, _Flag]
    evaluators: dict[str, Any] = msgspec.field(default={}, name="$evaluators")


def read_flagd(text: bytes) -> Bundle:
    """Flags of a flagd definition, as JSON.

    Raises:
        Invalid: It is not that.
    """
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"this is no flag definition of flagd: {error}") from error
    left: list[LeftBehind] = []
    return Bundle([_Reading(name, flag, file.evaluators, left).flag() for name, flag in file.flags.items()], (), left)


class _Reading:
    """One flag's import."""

    def __init__(self, name: str, flag: _Flag, evaluators: Mapping[str, Any], left: list[LeftBehind]) -> None:
        self._name = name
        self._flag = flag
        self._evaluators = evaluators
        self._left = left

    def flag(self) -> Flag:
        given = self._flag
        branches = self._branches(given.targeting, ALWAYS, 0) if given.targeting else []
        if any(branch.splits for branch in branches):
            self._leave(LIKE_ELSEWHERE_BUT_OTHERS)
        found = outcome(given.variants, branches, self._to(given.default_variant))
        return Flag(
            name=self._name,
            enabled=given.state == "ENABLED",
            description=str(given.metadata.get("description", "")),
            **found.fields,
        )

    def _to(self, variant: object, condition: Condition = ALWAYS) -> Branch | None:
        """The branch to one variant; None leaves the choice to the caller."""
        if isinstance(variant, bool):
            variant = "true" if variant else "false"
        if variant is None or variant not in self._flag.variants:
            if variant is not None:
                self._leave(f"it names the variant {variant!r}, which there is none of")
            return None
        return Branch({str(variant): 1}, condition)

    def _branches(self, logic: Any, condition: Condition, depth: int) -> list[Branch]:
        """Who gets what by a piece of targeting, under a condition."""
        logic = self._resolved(logic)
        if depth > _DEEPEST:
            self._leave("its targeting is nested too deeply; what lies deeper is left out")
            return []
        match logic:
            case {"if": [*parts]} if len(logic) == 1:
                return self._chain(parts, condition, depth)
            case {"fractional": [*parts]} if len(logic) == 1:
                return self._fractional(parts, condition)
            case None | str() | bool():
                branch = self._to(logic if logic is not None else self._flag.default_variant, condition)
                return [branch] if branch else []
            case _:
                self._leave(f"targeting that is neither `if` nor `fractional` is left out: {_shown(logic)}")
                return []

    def _chain(self, parts: Sequence[Any], condition: Condition, depth: int) -> list[Branch]:
        found: list[Branch] = []
        for question, answer in zip(parts[::2], parts[1::2], strict=False):
            try:
                found += self._branches(answer, all_of([condition, self._condition(question, 0)]), depth + 1)
            except Unsayable as unsayable:
                self._leave(f"a branch is left out, its people get what comes after it: {unsayable}")
        if len(parts) % 2:
            found += self._branches(parts[-1], condition, depth + 1)
        return found

    def _fractional(self, parts: Sequence[Any], condition: Condition) -> list[Branch]:
        stickiness, group = "default", None
        if parts and not isinstance(parts[0], list):
            try:
                stickiness, group = _sticky(parts[0])
            except Unsayable as unsayable:
                self._leave(f"a fraction sticks to {unsayable}; here it sticks to the targeting key")
            parts = parts[1:]
        weights = {
            str(each[0]): int(each[1]) if len(each) > 1 else 1 for each in parts if isinstance(each, list) and each
        }
        unknown = weights.keys() - self._flag.variants.keys()
        if unknown or not weights:
            self._leave(f"a fraction is left out: {_shown(parts)}")
            return []
        return [Branch(weights, condition, _EVERYBODY, stickiness, group)]

    def _condition(self, logic: object, depth: int) -> Condition:
        logic = self._resolved(logic)
        if depth > _DEEPEST:
            raise Unsayable("a condition nested too deeply")
        if isinstance(logic, bool):
            return ALWAYS if logic else NEVER
        if not isinstance(logic, dict) or len(logic) != 1:
            raise Unsayable(_shown(logic))
        ((operator, given),) = logic.items()
        values = given if isinstance(given, list) else [given]
        match operator:
            case "and":
                return all_of(self._condition(each, depth + 1) for each in values)
            case "or":
                return any_of(self._condition(each, depth + 1) for each in values)
            case "!" if len(values) == 1:
                return negated(self._condition(values[0], depth + 1))
            case "!!" if len(values) == 1:
                return self._condition(values[0], depth + 1)
            case _:
                return _comparison(operator, values)

    def _resolved(self, logic: Any) -> Any:
        match logic:
            case {"$ref": str(name)} if name in self._evaluators:
                return self._evaluators[name]
            case _:
                return logic

    def _leave(self, what: str) -> None:
        self._left.append(LeftBehind(self._name, what))


def _comparison(operator: str, values: Sequence[Any]) -> Condition:
    match operator, values:
        case ("==" | "===" | "!=" | "!==", [left, right]):
            return _equal(left, right) if operator.startswith("=") else negated(_equal(left, right))
        case "in", [{"var": _} as field, [*among]] if all(isinstance(each, str | int | float) for each in among):
            return ask(_field(field), "in", *among)
        case "in", [str(part), {"var": _} as field]:
            return ask(_field(field), "contains", part)
        case ("starts_with" | "ends_with", [{"var": _} as field, str(part)]):
            return ask(_field(field), operator, part)
        case ("sem_ver", [{"var": _} as field, str(how), str(version)]):
            return _version(_field(field), how, version)
        case _ if operator in _COMPARED:
            return _number(operator, values)
        case _:
            raise Unsayable(_shown({operator: list(values)}))


def _number(operator: str, values: Sequence[Any]) -> Condition:
    match values:
        case [{"var": _} as field, int() | float() as limit]:
            return ask(_field(field), _COMPARED[operator], limit)
        case [int() | float() as limit, {"var": _} as field]:
            return ask(_field(field), _COMPARED[_TURNED[operator]], limit)
        case [int() | float() as low, {"var": _} as field, int() | float() as high] if operator in ("<", "<="):
            between = (_COMPARED[_TURNED[operator]], low), (_COMPARED[operator], high)
            return all_of(ask(_field(field), name, limit) for name, limit in between)
        case _:
            raise Unsayable(_shown({operator: list(values)}))


def _equal(left: object, right: object) -> Condition:
    match left, right:
        case ({"var": _} as field, str() | int() | float() as value) | (
            str() | int() | float() as value,
            {"var": _} as field,
        ):
            return ask(_field(field), "in", value)
        case _:
            raise Unsayable(_shown({"==": [left, right]}))


def _version(field: str, how: str, version: str) -> Condition:
    if how in _VERSIONS:
        return ask(field, _VERSIONS[how], version)
    if how == "!=":
        return ask(field, "version_equals", version, inverted=True)
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,9})\.\d{1,9}.*", version)
    if found is None or how not in ("^", "~"):
        raise Unsayable(_shown({"sem_ver": [how, version]}))
    major, minor = int(found[1]), int(found[2])
    # flagd's ^ asks for the same major version, ~ for the same minor one too.
    low, high = (
        (f"{major}.0.0-0", f"{major + 1}.0.0-0") if how == "^" else (f"{major}.{minor}.0-0", f"{major}.{minor + 1}.0-0")
    )
    return all_of([ask(field, "version_at_least", low), ask(field, "version_below", high)])


def _field(variable: object) -> str:
    match variable:
        case {"var": str(name)} | {"var": [str(name)]} if name and not name.startswith("$flagd.") and "." not in name:
            return name
        case _:
            raise Unsayable(_shown(variable))


def _sticky(given: object) -> tuple[str, str | None]:
    match given:
        case {"cat": [{"var": "$flagd.flagKey"}, {"var": _} as field]}:
            name, group = _field(field), None
        case {"cat": [str(seed), {"var": _} as field]}:
            name, group = _field(field), seed
        case _:
            name, group = _field(given), None
    return ("default" if name == "targetingKey" else name), group


def _shown(logic: object) -> str:
    return msgspec.json.encode(logic).decode()[:200]
