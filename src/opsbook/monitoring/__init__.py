"""Monitoring & Health Checks: is the service well, and is what it stands on?"""

from __future__ import annotations

from opsbook.core.chapter import Chapter, Command
from opsbook.monitoring.health import Finding, Overall, Report, Result, Status
from opsbook.monitoring.monitor import HealthMonitor

__all__ = ["CHAPTER", "Finding", "HealthMonitor", "Overall", "Report", "Result", "Status"]

CHAPTER = Chapter(
    name="monitoring",
    title="Monitoring & Health Checks",
    commands={"health": Command("opsbook.monitoring.commands:health", "Show whether everything is well.")},
    api="opsbook.monitoring.routes:router",
    pages="opsbook.monitoring.pages:router",
    page="",
    running="opsbook.monitoring.service:running",
)
