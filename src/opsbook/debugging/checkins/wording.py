"""Monitors in words, the same on the command line, in health and on the page. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from opsbook.debugging.checkins.monitor import Monitor, State

STATE_WORDS: Final = {
    State.WAITING: "has not checked in yet",
    State.OK: "ok",
    State.IN_PROGRESS: "in progress",
    State.LATE: "late",
    State.MISSED: "missed",
    State.TIMED_OUT: "timed out",
    State.ERROR: "in error",
    State.UNREADABLE: "has a schedule that cannot be read",
}


def state_in_words(monitor: Monitor, now: datetime) -> str:
    """How it is doing; of one that is going well again after a failure, that it has not done so for long enough."""
    state = monitor.state(now)
    still = state in {State.OK, State.IN_PROGRESS, State.LATE} and monitor.failing_since is not None
    return f"{STATE_WORDS[state]}, still counted as failing" if still else STATE_WORDS[state]


def schedule_in_words(monitor: Monitor) -> str:
    """When it is expected."""
    if monitor.schedule is None:
        return "whenever it likes"
    zone = "" if monitor.timezone == "UTC" or monitor.schedule.startswith("every ") else f" ({monitor.timezone})"
    return f"{monitor.schedule}{zone}"


def describe(monitor: Monitor, now: datetime) -> dict[str, Any]:
    """A monitor for machines: what is known of it, and what follows from that at this moment."""
    names = (
        *("slug", "environment", "project_id", "schedule", "timezone", "failure_threshold", "recovery_threshold"),
        *("last_status", "last_at", "failures", "failing_since", "open_since", "muted_until", "problem", "has_address"),
    )
    return {
        **{name: getattr(monitor, name) for name in names},
        "margin_seconds": monitor.margin.total_seconds(),
        "max_runtime_seconds": monitor.max_runtime.total_seconds(),
        "state": monitor.state(now),
        "failing": monitor.is_failing(now),
        "due_at": monitor.due_at_or_none(),
    }
