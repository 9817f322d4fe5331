"""The chapters, in the runbook's order."""

from __future__ import annotations

from opsbook import access, database, flags, monitoring, runbook
from opsbook.core.chapter import Chapter

CHAPTERS: tuple[Chapter, ...] = (
    monitoring.CHAPTER,
    database.CHAPTER,
    flags.CHAPTER,
    access.CHAPTER,
    runbook.CHAPTER,
)
