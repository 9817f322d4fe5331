"""What callers are told: the RateLimit header fields, and a problem for who must wait.

The fields are those of draft-ietf-httpapi-ratelimit-headers-11, Structured Fields (RFC 9651): each window is a quota
policy of its own, named after the policy and the window. `r` is what is left, `t` the seconds until there is more.
A refusal's RateLimit names the windows that refused alone, so that no `t` lies beyond `Retry-After`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from starlette.responses import Response

from opsbook.core.http.problems import problem_response
from opsbook.performance.limits.decision import Standing, Window, Windows, longest_wait

_TYPES = "https://iana.org/assignments/http-problem-types#"
_AWAY_SECONDS = 2
"""After which to come back while Redis is away; its breaker looks every second."""
_MOST_WINDOWS = 1024
"""Of which what is written about them is kept; operators change limits now and then."""
_WORDS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}

RawHeader: TypeAlias = tuple[bytes, bytes]


class _Kind(NamedTuple):
    """A problem type of the draft."""

    status: int
    name: str
    title: str


_QUOTA_EXCEEDED = _Kind(429, "quota-exceeded", "Too many requests")
_REDUCED_CAPACITY = _Kind(503, "temporary-reduced-capacity", "Requests cannot be counted")


class Item(NamedTuple):
    """One window of one policy, and how the caller stands in it."""

    policy: str
    window: Window
    standing: Standing

    @property
    def name(self) -> str:
        """The quota policy's name, as `default-minute`."""
        return quota_name(self.policy, self.window)


def items_of(policy: str, windows: Windows, standings: Iterable[Standing]) -> list[Item]:
    """A policy's windows with their standings."""
    return [Item(policy, window, standing) for window, standing in zip(windows, standings, strict=False)]


def headers_of(items: Sequence[Item]) -> list[RawHeader]:
    """RateLimit-Policy and RateLimit of an answer."""
    if not items:
        return []
    refused = [item for item in items if item.standing.wait > 0]
    return [
        (b"ratelimit-policy", ", ".join([_quota(item.policy, item.window) for item in items]).encode()),
        (b"ratelimit", ", ".join([_limit(item) for item in refused or items]).encode()),
    ]


def refusal(items: Sequence[Item], request_id: str | None) -> Response:
    """429 for whoever asked too often."""
    violated = [item for item in items if item.standing.wait > 0]
    seconds = whole_seconds(longest_wait([item.standing for item in violated]))
    told = " and ".join(f"{item.window.limit:,} in a {_word(item.window)}" for item in violated)
    detail = f"more than {told}; come back in {seconds} s"
    return _problem(_QUOTA_EXCEEDED, detail, seconds, [item.name for item in violated], request_id)


def out_of_service(policies: Sequence[str], request_id: str | None) -> Response:
    """503 for whoever cannot be counted now, where the policy is not to let them pass uncounted."""
    detail = f"requests cannot be counted now; come back in {_AWAY_SECONDS} s"
    return _problem(_REDUCED_CAPACITY, detail, _AWAY_SECONDS, policies, request_id)


def whole_seconds(seconds: float) -> int:
    """Rounded up, so that whoever waits so long has waited long enough; at least 1."""
    return max(1, math.ceil(seconds))


def quota_name(policy: str, window: Window) -> str:
    """A window's name in the header fields."""
    return f"{policy}-{_word(window)}"


def _problem(kind: _Kind, detail: str, seconds: int, policies: Sequence[str], request_id: str | None) -> Response:
    extensions = {"type": _TYPES + kind.name, "violated-policies": list(policies)}
    headers = {"Retry-After": str(seconds)}
    return problem_response(kind.status, kind.title, detail, request_id, headers=headers, **extensions)


@lru_cache(maxsize=_MOST_WINDOWS)
def _quota(policy: str, window: Window) -> str:
    return f"{_quoted_name(policy, window)};q={window.limit};w={math.ceil(window.seconds)}"


def _limit(item: Item) -> str:
    policy, window, (_, remaining, reset) = item
    return f"{_quoted_name(policy, window)};r={remaining};t={whole_seconds(reset)}"


@lru_cache(maxsize=_MOST_WINDOWS)
def _quoted_name(policy: str, window: Window) -> str:
    return _string(quota_name(policy, window))


def _word(window: Window) -> str:
    return _WORDS.get(int(window.seconds), f"{window.seconds:g}s")


def _string(text: str) -> str:
    """A string of RFC 9651, 3.3.3; names are ASCII, as their pattern has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
