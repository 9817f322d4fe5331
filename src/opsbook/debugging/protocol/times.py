"""Times as SDKs write them, set right by what our own clock says."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Final

SMALLEST_DRIFT: Final = timedelta(minutes=55)
"""Below this, what a clock is off is as likely the network's delay; Sentry's Relay has the same bound,
so that a wrong time zone is noticed and a slow link is not."""

MOST_AHEAD: Final = timedelta(minutes=1)
MOST_BEHIND: Final = timedelta(days=30)
"""A time further off is replaced by that of receipt. Relay's bounds."""

_MOST_SECONDS: Final = 253_402_300_799.0
"""9999-12-31T23:59:59Z."""

_LEAST_MILLISECONDS: Final = 100_000_000_000.0
"""From here up (the year 5138) a number can only be meant in milliseconds."""


def read_time(value: object) -> datetime | None:
    """A time in UTC from seconds or milliseconds since 1970, as number or text, or from ISO 8601.

    Text without a zone is in UTC. None for everything that is no time.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _from_number(float(value)) if abs(value) < 1e18 else None
    if not isinstance(value, str) or not 4 <= len(value) <= 64:
        return None
    return _from_iso(value.strip()) or _from_digits(value)


def correct(time: datetime | None, sent_at: datetime | None, received_at: datetime) -> datetime:
    """When it happened by our clock.

    The sender's clock is off by what lies between `sent_at` and `received_at`, if that is more than
    latency explains. A time that is missing, or still far from receipt, becomes the time of receipt.
    """
    if time is None:
        return received_at
    if sent_at is not None and abs(received_at - sent_at) >= SMALLEST_DRIFT:
        time = _shifted(time, received_at - sent_at)
    ahead = time - received_at
    return received_at if ahead > MOST_AHEAD or ahead < -MOST_BEHIND else time


def _from_number(seconds: float) -> datetime | None:
    if abs(seconds) >= _LEAST_MILLISECONDS:
        seconds /= 1000
    if not math.isfinite(seconds) or abs(seconds) > _MOST_SECONDS:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _from_iso(text: str) -> datetime | None:
    # "2026" and "20260101" are ISO 8601 too, but sent as text they are numbers of seconds.
    if "-" not in text[1:]:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _from_digits(text: str) -> datetime | None:
    try:
        return _from_number(float(text))
    except ValueError:
        return None


def _shifted(time: datetime, by: timedelta) -> datetime:
    try:
        return time + by
    except OverflowError:
        return time
