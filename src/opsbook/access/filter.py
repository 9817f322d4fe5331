"""The audit page's filter, as it stands in the address; parsed once into what the audit takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opsbook.core.audit import AuditFilter
from opsbook.core.errors import Invalid
from opsbook.core.http.fields import parse_number

WITHIN = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
"""Spans to choose from, counted back from now; `all` stands for no bound."""
_DEFAULT_WITHIN = "7d"
_FIELDS = ("actor", "action", "target_kind", "target", "q")
_OUTCOMES = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form holds, as text, and what it means."""

    values: Mapping[str, str]
    wanted: AuditFilter


def parse_filter(query: Mapping[str, str], now: datetime, limit: int) -> Asked:
    """Read the query of an audit address.

    Raises:
        Invalid: A time or a number is malformed.
    """
    values = {
        name: query.get(name, "").replace("\0", "").strip()[:200] for name in (*_FIELDS, "since", "until", "success")
    }
    values["within"] = _within(query.get("within", ""), exact=bool(values["since"] or values["until"]))
    since = _moment(values["since"]) or (now - WITHIN[values["within"]] if values["within"] in WITHIN else None)
    return Asked(
        values,
        AuditFilter(
            actor=values["actor"] or None,
            action=values["action"] or None,
            target_kind=values["target_kind"] or None,
            target=values["target"] or None,
            since=since,
            until=_moment(values["until"]),
            text=values["q"] or None,
            success=_OUTCOMES.get(values["success"]),
            before_id=parse_number(query.get("before", "")),
            limit=limit,
        ),
    )


def _within(given: str, *, exact: bool) -> str:
    if exact:
        return "all"
    return given if given in WITHIN or given == "all" else _DEFAULT_WITHIN


def _moment(text: str) -> datetime | None:
    """A time as a `datetime-local` field sends it, taken as UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not a time; write it as 2025-01-31T14:05 (UTC)") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
