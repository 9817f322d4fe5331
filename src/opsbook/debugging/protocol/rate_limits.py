"""X-Sentry-Rate-Limits and Retry-After: how an SDK is told to hold back, and how long.

A header is a list of `seconds:categories:scope:reason:namespaces`, categories and namespaces split
by semicolons, where no category means all of them ("Rate Limiting" under develop.sentry.dev/sdk).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import msgspec

HEADER: Final = "X-Sentry-Rate-Limits"
DEFAULT_SECONDS: Final = 60
"""How long a client holds back after a 429 that does not say."""

MOST_SECONDS: Final = 86_400
_STRUCTURE: Final = str.maketrans(dict.fromkeys(",:;\r\n \t", "_"))


class RateLimit(msgspec.Struct, frozen=True):
    """One limit: `categories` (empty: all) are refused for so many seconds."""

    seconds: int
    categories: tuple[str, ...] = ()
    scope: str = "project"
    reason: str = ""
    namespaces: tuple[str, ...] = ()

    def covers(self, category: str) -> bool:
        """Whether it is a limit for what is of this category."""
        return not self.categories or category in self.categories


def render(limits: Iterable[RateLimit]) -> str:
    """The header's value."""
    return ", ".join(map(_render_one, limits))


def retry_after(limits: Iterable[RateLimit]) -> int:
    """The value of Retry-After, in seconds: the longest of the limits."""
    return max((limit.seconds for limit in limits), default=DEFAULT_SECONDS)


def parse(header: str) -> list[RateLimit]:
    """The limits in a header's value; what is not a limit is passed over, as SDKs do."""
    limits: list[RateLimit] = []
    for part in header.split(","):
        seconds, categories, scope, reason, namespaces = (*part.strip().split(":"), "", "", "", "", "")[:5]
        waiting = _seconds(seconds)
        if waiting is not None:
            limits.append(RateLimit(waiting, _names(categories), scope, reason, _names(namespaces)))
    return limits


def _render_one(limit: RateLimit) -> str:
    parts = [str(limit.seconds), _joined(limit.categories), _plain(limit.scope)]
    if limit.reason or limit.namespaces:
        parts.append(_plain(limit.reason))
    if limit.namespaces:
        parts.append(_joined(limit.namespaces))
    return ":".join(parts)


def _joined(names: Iterable[str]) -> str:
    return ";".join(map(_plain, names))


def _plain(text: str) -> str:
    """Without the characters that structure the header."""
    return text.translate(_STRUCTURE).encode("ascii", "replace").decode()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.strip().split(";") if name)


def _seconds(text: str) -> int | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(math.ceil(seconds), MOST_SECONDS) if 0 <= seconds < math.inf else None
