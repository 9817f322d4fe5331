"""Feature flag management: a kill switch that every worker obeys, gradual rollout, history and undo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsbook.core.chapter import Chapter, Command

if TYPE_CHECKING:
    from opsbook.flags.client import Flags
    from opsbook.flags.effects import FlagEffect, effects_on
    from opsbook.flags.sources.postgres import PostgresSource

__all__ = ["CHAPTER", "FlagEffect", "Flags", "PostgresSource", "effects_on"]

CHAPTER = Chapter(
    name="flags",
    title="Feature Flag Management",
    commands={"flags": Command("opsbook.flags.commands:app", "Switch features on, off and up; kill and undo.")},
    api="opsbook.flags.routes:router",
    pages="opsbook.flags.pages:router",
    page="flags",
    running="opsbook.flags.service:running",
    jobs="opsbook.flags.jobs:blueprint",
)

_HOMES = {
    "FlagEffect": "opsbook.flags.effects",
    "Flags": "opsbook.flags.client",
    "PostgresSource": "opsbook.flags.sources.postgres",
    "effects_on": "opsbook.flags.effects",
}


def __getattr__(name: str) -> Any:
    # Loaded when used: listing the chapters must not cost a database driver.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
