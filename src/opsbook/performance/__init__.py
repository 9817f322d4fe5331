"""Performance Tuning: remembered results, exact rate limits, blocked addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsbook.core.chapter import Chapter, Command

if TYPE_CHECKING:
    from opsbook.performance.blocks.middleware import RefuseBlocked
    from opsbook.performance.blocks.register import AddressBlocks
    from opsbook.performance.cache.decorator import cached
    from opsbook.performance.limits.limiter import RateLimits
    from opsbook.performance.limits.middleware import LimitMiddleware, limited, policies_on_routes
    from opsbook.performance.limits.policy import RateLimit
    from opsbook.performance.limits.register import LimitRegister

__all__ = [
    "CHAPTER",
    "AddressBlocks",
    "LimitMiddleware",
    "LimitRegister",
    "RateLimit",
    "RateLimits",
    "RefuseBlocked",
    "cached",
    "limited",
    "policies_on_routes",
]

CHAPTER = Chapter(
    name="performance",
    title="Performance Tuning",
    commands={
        "cache": Command("opsbook.performance.cache.commands:app", "See what the cache does; have it forget."),
        "limits": Command("opsbook.performance.limits.commands:app", "Show and adjust how often callers may ask."),
        "block": Command("opsbook.performance.blocks.commands:app", "Refuse requests by address."),
    },
    api="opsbook.performance.routes:router",
    pages="opsbook.performance.pages:router",
    page="/performance",
    running="opsbook.performance.service:running",
    jobs="opsbook.performance.jobs:blueprint",
)

_HOMES = {
    "AddressBlocks": "opsbook.performance.blocks.register",
    "LimitMiddleware": "opsbook.performance.limits.middleware",
    "LimitRegister": "opsbook.performance.limits.register",
    "RateLimit": "opsbook.performance.limits.policy",
    "RateLimits": "opsbook.performance.limits.limiter",
    "RefuseBlocked": "opsbook.performance.blocks.middleware",
    "cached": "opsbook.performance.cache.decorator",
    "limited": "opsbook.performance.limits.middleware",
    "policies_on_routes": "opsbook.performance.limits.middleware",
}


def __getattr__(name: str) -> Any:
    # Loaded when used: listing the chapters must not cost a database driver.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
