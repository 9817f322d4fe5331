"""Logging & Debugging: errors from any Sentry SDK, check-ins, logs, and what one person did."""

from __future__ import annotations

from opsbook.core.chapter import Chapter

CHAPTER = Chapter(
    name="debugging",
    title="Logging & Debugging",
    api="opsbook.debugging.routes:router",
    running="opsbook.debugging.service:running",
)
