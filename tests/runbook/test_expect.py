"""What the runbook expects of an output: only what is written down, `…` for anything."""

from __future__ import annotations

import pytest

from opsbook.runbook.expect import difference


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": "…"}', '{"a": [1, 2]}'),
        ('{"at": "…Z"}', '{"at": "2026-01-31T10:00:00Z"}'),
        ('{"a": {"b": null}}', 'before {"a": {"b": null, "c": 1}} after'),
        ('[{"name": "x"}]', '[{"name": "w"}, {"name": "x"}]'),
        ('{"second": true}', '{"first": true}\n{"second": true}'),
    ],
)
def test_what_is_written_down_is_there(expected: str, output: str) -> None:
    assert difference(expected, output) is None


@pytest.mark.parametrize(
    ("expected", "output", "says"),
    [
        ('{"a": 1}', "nothing", "printed no JSON"),
        ('{"a": {"b": 1}}', '{"a": {}}', "a.b is missing"),
        ('{"a": 1}', '{"a": true}', "a is true, expected 1"),
        ('{"at": "…Z"}', '{"at": "2026"}', 'at is "2026"'),
        ('{"a": [3]}', '{"a": [1, 2]}', "a holds nothing like 3"),
        ('{"a": []}', '{"a": 1}', "expected a list"),
        ('{"a": {}}', '{"a": 1}', "expected an object"),
    ],
)
def test_a_difference_names_the_place(expected: str, output: str, says: str) -> None:
    assert says in (difference(expected, output) or "")
