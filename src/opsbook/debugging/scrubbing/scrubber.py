"""Scrubs nested values: the same for events before they are stored and for log records before they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from opsbook.debugging.protocol.document import Document
from opsbook.debugging.scrubbing.patterns import is_card
from opsbook.debugging.scrubbing.rules import KeyJudge, ScrubbingRules
from opsbook.debugging.scrubbing.text import FILTERED, TextScrubber

MOST_DEPTH: Final = 100
"""What lies deeper is filtered unseen."""

WIDE: Final = 8
"""From so many entries on, each branch is looked at before it is walked."""

SOURCE_KEYS: Final = frozenset({"context_line", "pre_context", "post_context"})
"""Where an event holds lines of source code."""

_NAME: Final = re.compile(r"[\w.\[\]'\"-]{1,64}")
_CONTAINERS: Final = (dict, list, tuple, Mapping)
_LEAST_CARD: Final = 10**11
_MOST_CARD: Final = 10**19
_CACHED_KEYS: Final = 4_096


class Scrubber:
    """Takes secrets out, by the names of their keys and by their form. Safe to share between threads."""

    def __init__(self, rules: ScrubbingRules | None = None) -> None:
        """Compiles the rules, which takes milliseconds: make one and keep it."""
        rules = rules or ScrubbingRules()
        self._judge = KeyJudge(rules)
        self._text = TextScrubber(rules, self._judge)
        self._judged: dict[str, bool] = {}

    def scrub_document(self, document: Document) -> bool:
        """Scrub an event's document before it is read; whether it might have held a secret.

        A clean document costs one pass over its text.
        """
        if not self._text.may_hold_secret(document.text):
            return False
        document.value = self._scrubbed_container(document.value, 0, is_source=False)
        document.refresh()
        return True

    def scrub(self, value: Any) -> Any:
        """The value without its secrets: a copy as far as it had any. For dicts, lists and tuples of any nesting.

        Other objects are kept, unless their repr holds a secret; then its scrubbed text takes their
        place. So it does for branches that JSON cannot hold, such as those that go round in circles.
        """
        if isinstance(value, _CONTAINERS):
            return self._scrubbed_container(value, 0, is_source=False) if self._is_suspicious(value) else value
        return self._scrubbed(value, 0)

    def scrub_text(self, text: str) -> str:
        """A text, such as a log message or a query string, without the secrets in it."""
        return self._text.scrub(text)

    def _is_suspicious(self, value: Any) -> bool:
        try:
            return self._text.may_hold_secret(_serialised(value))
        except (TypeError, ValueError):
            return True

    def _scrubbed(self, value: Any, depth: int, *, is_source: bool = False, look_first: bool = False) -> Any:
        if isinstance(value, str):
            return self._text.scrub(value, is_source=is_source)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return FILTERED if _LEAST_CARD <= value < _MOST_CARD and is_card(str(value)) else value
        if isinstance(value, _CONTAINERS):
            return self._scrubbed_branch(value, depth, is_source=is_source, look_first=look_first)
        shown = repr(value)
        scrubbed = self._text.scrub(shown)
        return value if scrubbed == shown else scrubbed

    def _scrubbed_branch(self, value: Any, depth: int, *, is_source: bool, look_first: bool) -> Any:
        if look_first:
            try:
                text = _serialised(value)
            except (TypeError, ValueError):
                return self._text.scrub(repr(value))
            if not self._text.may_hold_secret(text):
                return value
        return self._scrubbed_container(value, depth, is_source=is_source) if depth < MOST_DEPTH else FILTERED

    def _scrubbed_container(self, value: Any, depth: int, *, is_source: bool) -> Any:
        # Among many branches few hold a secret, and a look at a branch's text is cheaper than a walk
        # through it. The first level is always looked at: what cannot be serialised goes no deeper.
        look_first = depth == 0 or len(value) >= WIDE
        if isinstance(value, Mapping):
            entries: dict[Any, Any] = {}
            for key, child in cast("Mapping[Any, Any]", value).items():
                name = str(key)
                if self._is_secret(name):
                    entries[key] = _filtered(child, depth)
                else:
                    source = is_source or name in SOURCE_KEYS
                    entries[key] = self._scrubbed(child, depth + 1, is_source=source, look_first=look_first)
            return entries
        if not is_source and self._is_secret_pair(value):
            items = [value[0], FILTERED]
        else:
            items = [self._scrubbed(item, depth + 1, is_source=is_source, look_first=look_first) for item in value]
        return tuple(items) if isinstance(value, tuple) else items

    def _is_secret_pair(self, value: list[Any] | tuple[Any, ...]) -> bool:
        """Headers, cookies and form fields may come as pairs of a name and a value."""
        if len(value) != 2 or not isinstance(value[0], str) or not isinstance(value[1], str):
            return False
        return bool(value[1]) and _NAME.fullmatch(value[0]) is not None and self._is_secret(value[0])

    def _is_secret(self, key: str) -> bool:
        known = self._judged.get(key)
        if known is None:
            if len(self._judged) >= _CACHED_KEYS:
                self._judged.clear()
            known = self._judged[key] = self._judge.is_secret(key)
        return known


def _serialised(value: Any) -> bytes:
    """As JSON. Raises TypeError for circles, lone surrogates and numbers beyond 64 bits."""
    return orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS)


def _filtered(value: Any, depth: int) -> Any:
    """Each value below filtered, the shape kept: pages read it. What says nothing, null or empty, stays."""
    if value is None or isinstance(value, bool) or value == "":
        return value
    if isinstance(value, Mapping) and depth <= MOST_DEPTH:
        return {key: _filtered(child, depth + 1) for key, child in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple) and depth <= MOST_DEPTH:
        return [_filtered(child, depth + 1) for child in cast("list[Any]", value)]
    return FILTERED
