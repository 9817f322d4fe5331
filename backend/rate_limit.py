"""Rate limits: how often one address may ask, by the minute and by the hour; `opsbook limits` changes them at once."""

from __future__ import annotations

import opsbook
from backend.config import settings

RATE_LIMIT_PER_MINUTE = 60
RATE_LIMIT_PER_HOUR = 1000

DEFAULT = opsbook.RateLimit(
    "default",
    per_minute=settings.rate_limit_per_minute or RATE_LIMIT_PER_MINUTE,
    per_hour=settings.rate_limit_per_hour or RATE_LIMIT_PER_HOUR,
    paths=["/api/*"],
)
