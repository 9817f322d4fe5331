"""Limits in words, as commands and pages tell them."""

from __future__ import annotations

from collections.abc import Mapping

from opsbook.performance.limits.store import Limit


def told(limits: Mapping[str, object]) -> str:
    """`60 per minute, 1,000 per hour`."""
    return ", ".join(f"{limit:,} {name.replace('_', ' ')}" for name, limit in limits.items()) or "nothing"


def state(limit: Limit) -> str:
    """What is made of who exceeds it, and until when."""
    if not limit.is_changed:
        return "as declared"
    mode = {"enforce": "changed", "observe": "observed only", "off": "off"}[limit.mode]
    return f"{mode} until {limit.until.astimezone():%Y-%m-%d %H:%M}" if limit.until else mode


def reach(limit: Limit) -> str:
    """Whom a change of it concerns."""
    return (
        f"{limit.processes} processes count it; in the last 15 minutes"
        f" {limit.admitted:,} requests were admitted and {limit.refused:,} refused"
    )
