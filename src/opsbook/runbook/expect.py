"""Compares what a step printed with the JSON that the runbook expects of it.

Only what is written down must be there: further keys and items are no difference. `…` stands for
anything: alone for any value, inside a text for any part of it, as in `"timestamp": "…Z"`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import cast

ANYTHING = "…"


def difference(expected: str, output: str) -> str | None:
    """The first thing expected that the output does not hold, in one line, or None."""
    documents = list(_documents(output))
    if not documents:
        return "printed no JSON, though the runbook shows what to expect"
    return _difference(json.loads(expected), documents[-1], "")


def _documents(output: str) -> Iterator[object]:
    """The JSON objects and lists in a text, one after another, skipping what stands between them."""
    decoder = json.JSONDecoder()
    position = 0
    while start := re.search(r"[\[{]", output[position:]):
        begin = position + start.start()
        try:
            document, position = decoder.raw_decode(output, begin)
            yield document
        except ValueError:
            position = begin + 1


def _difference(expected: object, actual: object, where: str) -> str | None:
    if expected == ANYTHING:
        return None
    if isinstance(expected, dict):
        return _of_object(cast("dict[str, object]", expected), actual, where)
    if isinstance(expected, list):
        return _of_list(cast("list[object]", expected), actual, where)
    if isinstance(expected, str) and ANYTHING in expected:
        pattern = ".*".join(re.escape(part) for part in expected.split(ANYTHING))
        same = isinstance(actual, str) and re.fullmatch(pattern, actual, re.DOTALL) is not None
    else:
        same = type(expected) is type(actual) and expected == actual
    return None if same else f"{where or 'the output'} is {_short(actual)}, expected {_short(expected)}"


def _of_object(expected: dict[str, object], actual: object, where: str) -> str | None:
    if not isinstance(actual, dict):
        return f"{where or 'the output'} is {_short(actual)}, expected an object"
    held = cast("dict[str, object]", actual)
    for key, value in expected.items():
        place = f"{where}.{key}" if where else key
        found = _difference(value, held[key], place) if key in held else f"{place} is missing"
        if found:
            return found
    return None


def _of_list(expected: list[object], actual: object, where: str) -> str | None:
    if not isinstance(actual, list):
        return f"{where or 'the output'} is {_short(actual)}, expected a list"
    held = cast("list[object]", actual)
    for item in expected:
        if all(_difference(item, candidate, where) for candidate in held):
            return f"{where or 'the output'} holds nothing like {_short(item)}"
    return None


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
