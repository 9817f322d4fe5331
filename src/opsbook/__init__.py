"""Opsbook: the operations runbook of a Postgres-backed web service, as running software.

The kit's public face. Names are loaded when first used, so that `import opsbook` costs next
to nothing in a program that only asks for a flag now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opsbook.core.http.body_limit import BodyLimit
    from opsbook.core.log import set_up_logging
    from opsbook.core.log_context import set_user
    from opsbook.flags.client import Flags
    from opsbook.performance.cache.decorator import cached
    from opsbook.performance.limits.limiter import RateLimits
    from opsbook.performance.limits.middleware import LimitMiddleware, limited
    from opsbook.performance.limits.policy import RateLimit
    from opsbook.server import Opsbook, create_app, install

__all__ = [
    "BodyLimit",
    "Flags",
    "LimitMiddleware",
    "Opsbook",
    "RateLimit",
    "RateLimits",
    "cached",
    "create_app",
    "install",
    "limited",
    "set_up_logging",
    "set_user",
]
__version__ = "0.1.0"

_HOMES = {
    "BodyLimit": "opsbook.core.http.body_limit",
    "Flags": "opsbook.flags.client",
    "LimitMiddleware": "opsbook.performance.limits.middleware",
    "Opsbook": "opsbook.server",
    "RateLimit": "opsbook.performance.limits.policy",
    "RateLimits": "opsbook.performance.limits.limiter",
    "cached": "opsbook.performance.cache.decorator",
    "create_app": "opsbook.server",
    "install": "opsbook.server",
    "limited": "opsbook.performance.limits.middleware",
    "set_up_logging": "opsbook.core.log",
    "set_user": "opsbook.core.log_context",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
