"""Scrubs nested values: the same for events before they are stored and for log records before they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from opsbook.debugging.protocol.document import Document
from opsbook.debugging.scrubbing.rules import KeyJudge, ScrubbingRules
from opsbook.debugging.scrubbing.text import FILTERED, TextScrubber, is_card

MOST_DEPTH: Final = 260
"""Deeper than any document that was read; what lies below is filtered unseen."""

SOURCE_KEYS: Final = frozenset({"context_line", "pre_context", "post_context"})
"""Where an event holds lines of source code."""

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
        document.value = self._scrubbed(document.value, 0)
        document.refresh()
        return True

    def scrub(self, value: Any) -> Any:
        """The value without its secrets: a copy as far as it had any. For dicts, lists and tuples of any nesting.

        Objects of other types are kept, unless their repr holds a secret; then its scrubbed text takes their place.
        """
        return self._scrubbed(value, 0) if self._is_suspicious(value) else value

    def scrub_text(self, text: str) -> str:
        """A text, such as a log message or a query string, without the secrets in it."""
        return self._text.scrub(text)

    def _is_suspicious(self, value: Any) -> bool:
        try:
            return self._text.may_hold_secret(orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS))
        except (TypeError, ValueError):  # not to be serialised: surrogates, circles, huge numbers
            return True

    def _scrubbed(self, value: Any, depth: int, *, is_source: bool = False) -> Any:
        if isinstance(value, str):
            return self._text.scrub(value, is_source=is_source)
        if isinstance(value, Mapping | list | tuple):
            return self._scrubbed_container(value, depth, is_source=is_source) if depth <= MOST_DEPTH else FILTERED
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return FILTERED if _LEAST_CARD <= value < _MOST_CARD and is_card(str(value)) else value
        shown = repr(value)
        scrubbed = self._text.scrub(shown)
        return value if scrubbed == shown else scrubbed

    def _scrubbed_container(self, value: Any, depth: int, *, is_source: bool) -> Any:
        if isinstance(value, Mapping):
            entries = cast("Mapping[Any, Any]", value).items()
            return {key: self._entry(str(key), child, depth, is_source=is_source) for key, child in entries}
        scrubbed = self._pair(value, depth) or [self._child(child, depth, is_source=is_source) for child in value]
        return tuple(scrubbed) if isinstance(value, tuple) else scrubbed

    def _entry(self, key: str, child: Any, depth: int, *, is_source: bool) -> Any:
        if self._is_secret(key):
            return _filtered(child, depth)
        return self._child(child, depth, is_source=is_source or key in SOURCE_KEYS)

    def _pair(self, items: list[Any] | tuple[Any, ...], depth: int) -> list[Any] | None:
        """Headers, cookies and form fields may come as pairs of a name and a value."""
        if len(items) == 2 and isinstance(items[0], str) and isinstance(items[1], str) and self._is_secret(items[0]):
            return [items[0], _filtered(items[1], depth)]
        return None

    def _child(self, child: Any, depth: int, *, is_source: bool) -> Any:
        # A look at the text of a whole branch is cheaper than a walk through it.
        if isinstance(child, dict | list | tuple) and not self._is_suspicious(child):
            return child
        return self._scrubbed(child, depth + 1, is_source=is_source)

    def _is_secret(self, key: str) -> bool:
        known = self._judged.get(key)
        if known is None:
            if len(self._judged) >= _CACHED_KEYS:
                self._judged.clear()
            known = self._judged[key] = self._judge.is_secret(key)
        return known


def _filtered(value: Any, depth: int) -> Any:
    """Each value below filtered, the shape kept: pages read it. What says nothing, null or empty, stays."""
    if value is None or isinstance(value, bool) or value == "":
        return value
    if isinstance(value, Mapping) and depth <= MOST_DEPTH:
        return {key: _filtered(child, depth + 1) for key, child in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple) and depth <= MOST_DEPTH:
        return [_filtered(child, depth + 1) for child in cast("list[Any]", value)]
    return FILTERED
