"""The link checker: what it follows and what it finds."""

from __future__ import annotations

from pathlib import Path

import links
import pytest


def test_broken_links_are_named_with_their_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "ROOT", tmp_path)
    document = tmp_path / "README.md"
    document.write_text(
        "# A `b` & C\n\n## Twice\n\n## Twice\n\n"
        "[ok](README.md) [ok](#a-b--c) [ok](#twice-1) [out](https://example.org/x)\n\n"
        "[gone](gone.md) [nowhere](#nowhere) ![picture](gone.png)\n"
    )
    assert list(links.broken_links(document)) == [
        "README.md:9: gone.md",
        "README.md:9: #nowhere",
        "README.md:9: gone.png",
    ]
