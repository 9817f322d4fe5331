"""The chapters, in the runbook's order."""

from __future__ import annotations

from opsbook import access, database, debugging, flags, monitoring, performance, runbook
from opsbook.core.chapter import Chapter

CHAPTERS: tuple[Chapter, ...] = (
    monitoring.CHAPTER,
    database.CHAPTER,
    flags.CHAPTER,
    debugging.CHAPTER,
    performance.CHAPTER,
    access.CHAPTER,
    runbook.CHAPTER,
)
