"""How values are shown: ages, durations, shares, field differences. Pure; every figure carries its unit."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from markupsafe import Markup

_STEPS = ((86_400 * 365, "y"), (86_400 * 30, "mo"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
    ("curl", "curl"),
)
_SYSTEMS = (
    *(("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows")),
    *(("Mac OS", "macOS"), ("Linux", "Linux")),
)


def ago(moment: datetime | None, now: datetime | None = None) -> Markup:
    """A `<time>` telling how long ago (or until) a moment is, with the full UTC time on hover."""
    if moment is None:
        return Markup('<span class="quiet">never</span>')
    utc = moment.astimezone(UTC)
    seconds = ((now or datetime.now(UTC)) - utc).total_seconds()
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        utc.isoformat(timespec="milliseconds").replace("+00:00", "Z"), f"{utc:%Y-%m-%d %H:%M:%S} UTC", distance(seconds)
    )


def distance(seconds: float) -> str:
    """Seconds in the past (or, negative, in the future) in the largest unit that fits: `3 min ago`, `in 2 d`."""
    size = abs(seconds)
    if size < 1:
        return "just now"
    length, unit = next((length, unit) for length, unit in _STEPS if size >= length)
    amount = f"{int(size // length)} {unit}"
    return f"{amount} ago" if seconds >= 0 else f"in {amount}"


def duration(seconds: float | None) -> str:
    """A length of time in the unit that keeps it short: `20 µs`, `0.4 ms`, `12 ms`, `1.3 s`, `4 min`, `3.5 h`."""
    if seconds is None:
        return "–"
    if 0 < seconds < 0.0001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 7200:
        return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def count(value: float) -> str:
    """A number of things, short enough for an axis: `12`, `3.4 k`, `1.2 M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g} {unit}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"


def size(octets: float) -> str:
    """An amount of data: `512 B`, `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "B" or octets >= 100 else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:,.1f} TB"


def percent(value: Decimal | float | None) -> str:
    """A percentage without needless zeros: `25 %`, `0.01 %`."""
    return "–" if value is None else f"{plain(value)} %"


def plain(value: Decimal | float) -> str:
    """A number without trailing zeros or exponent, as a form field takes it."""
    text = f"{Decimal(str(value)):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def browser(user_agent: str | None) -> str:
    """A browser and its system in a few words; the first mark wins, since each pretends to be those after it."""
    text = user_agent or ""
    name = next((name for mark, name in _BROWSERS if mark in text), "Unknown program")
    system = next((name for mark, name in _SYSTEMS if mark in text), None)
    return f"{name} on {system}" if system else name


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs between two states of a thing; None stands for "was not there"."""

    field: str
    before: str | None
    after: str | None


def differences(
    before: Mapping[str, object] | None, after: Mapping[str, object] | None, ignore: Collection[str] = ()
) -> list[FieldChange]:
    """The fields that changed, in the order of the newer state."""
    old, new = before or {}, after or {}
    fields = [*new, *(field for field in old if field not in new)]
    return [
        FieldChange(field, _text(old, field), _text(new, field))
        for field in fields
        if field not in ignore and (old.get(field) != new.get(field) or (field in old) != (field in new))
    ]


def _text(state: Mapping[str, object], field: str) -> str | None:
    if field not in state:
        return None
    value = state[field]
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return plain(value) if isinstance(value, Decimal | float) else json.dumps(value, ensure_ascii=False, default=str)
