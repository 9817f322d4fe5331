"""What a constraint may ask of a field's text; each operator compiles its values once into a test."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import eq, ge, gt, le, lt
from typing import Any, Final

import re2

from opsbook.flags.targeting.versions import precedence

Test = Callable[[str], bool]
Compiler = Callable[[Sequence[str], bool], Test]

MOST_VALUES: Final = 100_000
LONGEST_PATTERN: Final = 500
_MOST_PATTERN_MEMORY_BYTES: Final = 1 << 20

_NUMBER = re.compile(r"[+-]?(\d{1,200}(\.\d{0,200})?|\.\d{1,200})([eE][+-]?\d{1,3})?", re.ASCII)
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?([Zz]|[+-](0\d|1[0-5]):?[0-5]\d)", re.ASCII
)
_BYTE = r"(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])"
_IPV4 = rf"{_BYTE}(\.{_BYTE}){{3}}"
_IPV4_NETWORK = re.compile(rf"{_IPV4}(/(0|[1-9]|[12]\d|3[0-2]))?", re.ASCII)
_IPV6_NETWORK = re.compile(
    rf"(?!.*[0-9A-Fa-f]{{5}})[0-9A-Fa-f:]*:({_IPV4}|:|[0-9A-Fa-f]+)(/(0|[1-9]\d{{0,2}}))?", re.ASCII
)
# The grammars above are those of as_number, as_instant and as_network in SQL, so that both say the same.
_LARGEST_NUMBER: Final = 1e308
_SMALLEST_NUMBER: Final = 1e-307


class BadValue(ValueError):
    """A value that the operator cannot work with; the message says why."""


def number(text: str) -> float | None:
    """A decimal number below 1e308, or None; what is nearer to 0 than 1e-307 is 0."""
    text = text.strip(" ")
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if abs(value) >= _LARGEST_NUMBER:
        return None
    return value if abs(value) >= _SMALLEST_NUMBER else 0.0


def instant(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date and time with a zone, or None; without a zone it means nothing."""
    found = _moment(text)
    return None if found is None else found.timestamp()


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """An address or a network in CIDR notation (RFC 4632), or None."""
    text = text.strip(" ")
    if not (_IPV4_NETWORK.fullmatch(text) or _IPV6_NETWORK.fullmatch(text)):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _moment(text: str) -> datetime | None:
    # Not as a float, which has no microseconds left in far years. Finer digits are cut off.
    if not _INSTANT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


def _texts(decide: Callable[[str, tuple[str, ...]], bool]) -> Compiler:
    def compiled(values: Sequence[str], case_insensitive: bool) -> Test:
        if case_insensitive:
            lowered = tuple(value.lower() for value in values)
            return lambda text: decide(text.lower(), lowered)
        kept = tuple(values)
        return lambda text: decide(text, kept)

    return compiled


def _among(values: Sequence[str], case_insensitive: bool) -> Test:
    if case_insensitive:
        lowered = frozenset(value.lower() for value in values)
        return lambda text: text.lower() in lowered
    return frozenset(values).__contains__


def _compared(parse: Callable[[str], Any], compare: Callable[[Any, Any], bool], what: str) -> Compiler:
    def compiled(values: Sequence[str], _: bool) -> Test:
        if len(values) != 1:
            raise BadValue(f"takes exactly one value, {what}")
        limit = parse(values[0])
        if limit is None:
            raise BadValue(f"takes {what}, not {values[0][:50]!r}")

        def test(text: str) -> bool:
            found = parse(text)
            return found is not None and compare(found, limit)

        return test

    return compiled


def _in_network(values: Sequence[str], _: bool) -> Test:
    networks = tuple(found for found in map(network, values) if found is not None)
    if not networks and values:
        raise BadValue("takes addresses or networks, such as 203.0.113.0/24")

    def test(text: str) -> bool:
        found = None if "/" in text else network(text)
        return found is not None and any(
            found.version == each.version and found.network_address in each for each in networks
        )

    return test


def _matching(values: Sequence[str], case_insensitive: bool) -> Test:
    if len(values) != 1 or len(values[0]) > LONGEST_PATTERN:
        raise BadValue(f"takes exactly one pattern of at most {LONGEST_PATTERN} characters")
    options = re2.Options()
    options.case_sensitive = not case_insensitive
    options.max_mem = _MOST_PATTERN_MEMORY_BYTES
    options.log_errors = False
    try:
        pattern = re2.compile(values[0], options)
    except re2.error as error:
        raise BadValue(f"is no RE2 pattern: {error}") from error
    return lambda text: pattern.search(text) is not None


_NUMBER_WANTED = "a number"
_VERSION_WANTED = "a semantic version such as 1.4.0"
_INSTANT_WANTED = "a date and time with its zone, such as 2026-01-31T12:00:00Z"

OPERATORS: Final[dict[str, Compiler]] = {
    "in": _among,
    "not_in": _among,
    "contains": _texts(lambda text, values: any(value in text for value in values)),
    "starts_with": _texts(lambda text, values: text.startswith(values)),
    "ends_with": _texts(lambda text, values: text.endswith(values)),
    "matches": _matching,
    "in_network": _in_network,
    "number_equals": _compared(number, eq, _NUMBER_WANTED),
    "number_above": _compared(number, gt, _NUMBER_WANTED),
    "number_at_least": _compared(number, ge, _NUMBER_WANTED),
    "number_below": _compared(number, lt, _NUMBER_WANTED),
    "number_at_most": _compared(number, le, _NUMBER_WANTED),
    "version_equals": _compared(precedence, eq, _VERSION_WANTED),
    "version_above": _compared(precedence, gt, _VERSION_WANTED),
    "version_at_least": _compared(precedence, ge, _VERSION_WANTED),
    "version_below": _compared(precedence, lt, _VERSION_WANTED),
    "version_at_most": _compared(precedence, le, _VERSION_WANTED),
    "date_after": _compared(_moment, gt, _INSTANT_WANTED),
    "date_before": _compared(_moment, lt, _INSTANT_WANTED),
}
"""By name. `not_in` is `in`, inverted by the constraint, which also decides what a missing field means."""


def require_patterns(constraints: Iterable[Any]) -> None:
    """Refuse patterns that RE2 does not accept, in constraints as they come from outside.

    Raises:
        BadValue: One does not.
    """
    for constraint in constraints:
        if isinstance(constraint, Mapping) and constraint.get("operator") == "matches":
            values = constraint.get("values")
            _matching([str(value) for value in values] if isinstance(values, list) else [], False)
