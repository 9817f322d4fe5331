"""Performance Tuning: remembered results, exact rate limits, blocked addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsbook.core.chapter import Chapter, Command

if TYPE_CHECKING:
    from opsbook.performance.blocks.middleware import RefuseBlocked
    from opsbook.performance.blocks.register import AddressBlocks

__all__ = ["CHAPTER", "AddressBlocks", "RefuseBlocked"]

CHAPTER = Chapter(
    name="performance",
    title="Performance Tuning",
    commands={
        "block": Command("opsbook.performance.blocks.commands:app", "Refuse requests by address."),
    },
    api="opsbook.performance.routes:router",
    running="opsbook.performance.service:running",
    jobs="opsbook.performance.jobs:blueprint",
)

_HOMES = {
    "AddressBlocks": "opsbook.performance.blocks.register",
    "RefuseBlocked": "opsbook.performance.blocks.middleware",
}


def __getattr__(name: str) -> Any:
    # Loaded when used: listing the chapters must not cost a database driver.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
