"""The scratch service: nothing of this shell or folder leads from there to the real databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsbook.runbook.parse import read_runbook
from opsbook.runbook.prove import prove


def test_nothing_points_at_the_real_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGSERVICE", "PGPASSWORD", "PGOPTIONS", "SUPABASE_URL"):
        monkeypatch.setenv(name, "of-production")
    linked = tmp_path / "supabase" / ".temp" / "project-ref"
    linked.parent.mkdir(parents=True)
    linked.write_text("of-production")
    (tmp_path / "RUNBOOK.md").write_text("```sh\nenv\nfind .\n```\n")
    (outcome,) = prove(read_runbook(tmp_path / "RUNBOOK.md"))
    assert outcome.ok, outcome.output
    assert "OPSBOOK_URL=http" in outcome.output
    assert "of-production" not in outcome.output
    assert "project-ref" not in outcome.output
