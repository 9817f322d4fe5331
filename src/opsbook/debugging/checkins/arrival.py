"""A check-in as it arrives, from an SDK, a command or a plain address; and what it says of its schedule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from opsbook.core.errors import Invalid
from opsbook.debugging.checkins.monitor import Status
from opsbook.debugging.checkins.schedule import Schedule
from opsbook.debugging.protocol import identifiers
from opsbook.debugging.protocol.errors import Malformed

USUAL_ENVIRONMENT: Final = "production"
USUAL_PROJECT: Final = 1
"""The project that is there from the beginning."""
_REPORTED: Final = frozenset({Status.IN_PROGRESS, Status.OK, Status.ERROR})
_LONGEST_MINUTES: Final = 30 * 24 * 60
_MOST_THRESHOLD: Final = 720
_LONGEST_SLUG: Final = 50
_LONGEST_TEXT: Final = 200
_LONGEST_SECONDS: Final = 10.0**9


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a monitor is expected to do; None leaves a field as it is."""

    schedule: Schedule | None = None
    margin: timedelta | None = None
    max_runtime: timedelta | None = None
    failure_threshold: int | None = None
    recovery_threshold: int | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One check-in."""

    slug: str
    status: Status
    at: datetime
    project_id: int = USUAL_PROJECT
    environment: str = USUAL_ENVIRONMENT
    id: UUID | None = None
    """None for the newest run that is still going, else a new one."""
    duration_seconds: float | None = None
    exit_code: int | None = None
    release: str | None = None
    trace_id: UUID | None = None
    expectation: Expectation | None = None
    problem: str | None = None
    """Why the expectation that came along could not be read."""

    @property
    def key(self) -> tuple[int, str, str]:
        """Which monitor it is of."""
        return self.project_id, self.slug, self.environment


def parse_slug(text: str) -> str:
    """A monitor's name as it is kept: lower-case, with `-` for what is no letter, digit, `.`, `_` or `-`.

    Raises:
        Invalid: Nothing is left of it.
    """
    slug = re.sub(r"[^a-z0-9._-]+", "-", text.strip().lower()).lstrip("._-")[:_LONGEST_SLUG]
    if not slug:
        raise Invalid(f"{text[:60]!r} is no name of a monitor; write letters, digits, . _ or -")
    return slug


def parse_environment(text: str) -> str:
    """An environment's name as it is kept, without spaces and slashes; `production` where there is none."""
    return re.sub(r"[\s/\x00-\x1f\x7f]+", "-", text.strip())[:64] or USUAL_ENVIRONMENT


def read_item(document: Mapping[str, Any], project_id: int, received_at: datetime) -> Arrival:
    """A `check_in` item of Sentry's protocol.

    Source: https://develop.sentry.dev/sdk/telemetry/check-ins/

    Raises:
        Malformed: It does not say whose it is, or how it went.
    """
    try:
        slug = parse_slug(_text(document.get("monitor_slug")) or "")
        status = Status(_text(document.get("status")) or "")
    except (Invalid, ValueError) as error:
        raise Malformed("a check-in has a monitor_slug, and a status of in_progress, ok or error") from error
    if status not in _REPORTED:
        raise Malformed(f"a check-in is in_progress, ok or error; {status} is for us to find")
    expectation, problem = _expectation(document.get("monitor_config"))
    identifier = identifiers.event_id(document.get("check_in_id"))
    trace = identifiers.trace_id(_inside(document, "contexts", "trace", "trace_id"))
    return Arrival(
        slug,
        status,
        received_at,
        project_id,
        parse_environment(_text(document.get("environment")) or ""),
        id=identifiers.as_uuid(identifier) if identifier else None,
        duration_seconds=_number(document.get("duration"), _LONGEST_SECONDS),
        release=_text(document.get("release")),
        trace_id=identifiers.as_uuid(trace) if trace else None,
        expectation=expectation,
        problem=problem,
    )


def _expectation(config: object) -> tuple[Expectation | None, str | None]:
    """What a `monitor_config` asks for; what cannot be read keeps no run from being told."""
    if not isinstance(config, Mapping):
        return None, None
    given = cast("Mapping[str, Any]", config)
    try:
        schedule = Schedule.parse(_schedule(given.get("schedule")), _text(given.get("timezone")) or "UTC")
    except Invalid as error:
        return None, str(error)[:500]
    return (
        Expectation(
            schedule,
            _minutes(given.get("checkin_margin")),
            _minutes(given.get("max_runtime")),
            _threshold(given.get("failure_issue_threshold")),
            _threshold(given.get("recovery_threshold")),
        ),
        None,
    )


def _schedule(value: object) -> str:
    if not isinstance(value, Mapping):
        raise Invalid("a monitor_config has a schedule with type and value")
    given = cast("Mapping[str, Any]", value)
    written = given.get("value")
    if given.get("type") == "interval":
        return f"every {written} {given.get('unit', 'minute')}s"
    return str(written)


def _minutes(value: object) -> timedelta | None:
    number = _number(value, _LONGEST_MINUTES)
    return timedelta(minutes=number) if number is not None and number >= 1 else None


def _threshold(value: object) -> int | None:
    number = _number(value, _MOST_THRESHOLD)
    return int(number) if number is not None and number >= 1 else None


def _number(value: object, most: float) -> float | None:
    """A number from 0 to `most`, the latter for what is larger; None for what is none (a NaN is no number)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(min(value, most))


def _text(value: object) -> str | None:
    """Text that Postgres takes; None for none."""
    if not isinstance(value, str):
        return None
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:_LONGEST_TEXT] or None


def _inside(value: object, *names: str) -> object:
    for name in names:
        value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
    return value
