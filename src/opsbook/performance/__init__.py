"""Performance Tuning: remembered results, exact rate limits, blocked addresses."""

from __future__ import annotations

from opsbook.core.chapter import Chapter

CHAPTER = Chapter(name="performance", title="Performance Tuning")
