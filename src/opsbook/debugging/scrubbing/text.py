"""Scrubbing one text, and telling fast which texts hold nothing to scrub."""

from __future__ import annotations

from typing import Any, Final

import re2

from opsbook.debugging.scrubbing import patterns
from opsbook.debugging.scrubbing.rules import SECRET_NAMES, SECRET_WORDS, KeyJudge, ScrubbingRules

FILTERED: Final = "[Filtered]"
SHORTEST_SECRET: Final = 6
"""A text that is shorter cannot be told to be a secret by its form."""

_KEPT: Final = frozenset(b'abcdefghijklmnopqrstuvwxyz0123456789":,ABCDEFGHIJKLMNOPQRSTUVWXYZ')
_LOWER: Final = bytes(range(256)).lower()
_DROPPED: Final = bytes(sorted(set(range(256)) - _KEPT))


class TextScrubber:
    """Takes secrets out of texts."""

    def __init__(self, rules: ScrubbingRules, judge: KeyJudge) -> None:
        own_words = sorted(rules.secret_keys - set(SECRET_NAMES))
        words = [*SECRET_WORDS, *("-".join(_parts(word)) for word in own_words if _parts(word))]
        personal = [
            *([patterns.EMAIL] if rules.emails else []),
            *([patterns.IP_ADDRESS] if rules.ip_addresses else []),
        ]
        self._keys = _over_bytes(
            [*judge.words, *(f'"{name}"[:,]' for name in judge.names), *map("".join, map(_parts, own_words))]
        )
        self._hints = _over_bytes([*patterns.HINTS, *(pattern.replace(r"\b", "") for pattern in personal)])
        self._shapes = re2.compile("|".join((*patterns.SHAPES, *personal)))
        self._assignment = re2.compile(patterns.assignment(words))
        self._quoted_assignment = re2.compile(patterns.quoted_assignment(words))

    def may_hold_secret(self, serialised: bytes) -> bool:
        """Whether JSON, or a plain text, could hold a secret key or value. False is certain.

        Keys are sought in the text without its separators, so that `X-Api-Key` and `api_key` are one.
        """
        reduced = serialised.translate(_LOWER, _DROPPED)
        return bool(self._keys.Match(reduced) or self._hints.Match(serialised))

    def scrub(self, text: str, *, is_source: bool = False) -> str:
        """The text with each secret replaced; what stands around it stays. `is_source`: a line of code."""
        if len(text) < SHORTEST_SECRET or not self.may_hold_secret(text.encode("utf-8", "replace")):
            return text
        text = text.encode("utf-8", "replace").decode()
        text = _PRIVATE_KEY.sub(FILTERED, text)
        text = _URL_CREDENTIALS.sub(rf"\1{FILTERED}@", text)
        assignment = self._quoted_assignment if is_source else self._assignment
        text = assignment.sub(_without_value, text)
        text = _AUTHORIZATION.sub(rf"\1{FILTERED}", text)
        text = self._shapes.sub(FILTERED, text)
        return _CARD.sub(_without_card, text)


_PRIVATE_KEY: Final = re2.compile(patterns.PRIVATE_KEY)
_URL_CREDENTIALS: Final = re2.compile(patterns.URL_CREDENTIALS)
_AUTHORIZATION: Final = re2.compile(patterns.AUTHORIZATION)
_CARD: Final = re2.compile(patterns.CARD)


def _without_value(match: Any) -> str:
    """`key='value'` with its quotes, so that what it stands in remains readable."""
    value: str = match[2]
    for quote in ('\\"', "\\'", '"', "'"):
        if value.removeprefix("b").startswith(quote):
            closing = quote if value.endswith(quote) and len(value) > len(quote) else ""
            return f"{match[1]}{quote}{FILTERED}{closing}"
    return f"{match[1]}{FILTERED}"


def _without_card(match: Any) -> str:
    digits = "".join(filter(str.isdecimal, match[0]))
    return FILTERED if patterns.is_card(digits) else match[0]


def _parts(key: str) -> list[str]:
    """The letters and digits of a key, split at its separators."""
    return "".join(
        character if character.isalnum() and character.isascii() else " " for character in key.lower()
    ).split()


def _over_bytes(alternatives: list[str]) -> Any:
    """Something whose `Match` finds any of these; a set, since it answers at half the cost of a search."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    compiled = re2.Set.SearchSet(options)
    compiled.Add("|".join(f"(?:{alternative})" for alternative in alternatives).encode())
    compiled.Compile()
    return compiled
