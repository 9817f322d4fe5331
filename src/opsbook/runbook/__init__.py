"""The runbook itself: parsed, run step by step, proven as a whole on a scratch service."""

from __future__ import annotations

from opsbook.core.chapter import Chapter, Command

CHAPTER = Chapter(
    name="runbook",
    title="Runbook",
    commands={"runbook": Command("opsbook.runbook.commands:app", "List, show, run and prove the steps of RUNBOOK.md.")},
)
