"""Logging & Debugging: errors from any Sentry SDK, check-ins, logs, and what one person did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsbook.core.chapter import Chapter, Command

if TYPE_CHECKING:
    from opsbook.debugging.errors.projects import dsn_of
    from opsbook.debugging.intake.api import Intake
    from opsbook.debugging.logs.process import ProcessLogs, shipping_logs

__all__ = ["CHAPTER", "Intake", "ProcessLogs", "dsn_of", "shipping_logs"]

CHAPTER = Chapter(
    name="debugging",
    title="Logging & Debugging",
    commands={
        "errors": Command("opsbook.debugging.errors.commands:app", "Find errors and decide about them."),
        "logs": Command("opsbook.debugging.logs.commands:app", "Follow and search logs; change their level."),
        "check-in": Command("opsbook.debugging.checkins.commands:check_in", "Tell that a scheduled job has run."),
        "check-ins": Command("opsbook.debugging.checkins.commands:app", "Whether scheduled jobs ran, and how."),
        "user": Command("opsbook.debugging.users.commands:user", "Show what one person did."),
    },
    api="opsbook.debugging.routes:router",
    pages="opsbook.debugging.pages:router",
    page="errors",
    further_pages=("logs", "check-ins", "users"),
    running="opsbook.debugging.service:running",
    jobs="opsbook.debugging.jobs:blueprint",
)

_HOMES = {
    "Intake": "opsbook.debugging.intake.api",
    "ProcessLogs": "opsbook.debugging.logs.process",
    "dsn_of": "opsbook.debugging.errors.projects",
    "shipping_logs": "opsbook.debugging.logs.process",
}


def __getattr__(name: str) -> Any:
    # Loaded when used: listing the chapters must not cost a database driver.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
