"""The Python of docs/caching.md runs as it stands."""

from __future__ import annotations

from pathlib import Path

GUIDE = Path(__file__).parents[3] / "docs" / "caching.md"


def test_every_example_runs() -> None:
    names: dict[str, object] = {}
    for text in GUIDE.read_text(encoding="utf-8").split("```python\n")[1:]:
        exec(compile(text.partition("```")[0], str(GUIDE), "exec"), names)
    assert {"profile", "Shop"} <= names.keys()
