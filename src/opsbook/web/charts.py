"""Charts over time as SVG paths, for the macro `chart` of parts.html. Pure geometry; colours are the style sheet's.

The picture is 1,000 wide and 100 high and is stretched to its place; scales and captions are text around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from opsbook.web.display import count, distance

WIDTH, HEIGHT = 1000.0, 100.0
_BAR_SHARE = 0.72
"""Of a step's width."""
_NICE = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0)
"""Ends of a scale whose halves are round, too."""
_LEAST_TOP = 2.0

Kind: TypeAlias = Literal["area", "line", "bars"]
Tone: TypeAlias = Literal["accent", "soft", "quiet", "ok", "warn", "alarm"]


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity over time: a value a step, None where there is none. Bars stand upon those before them."""

    name: str
    values: Sequence[float | None]
    kind: Kind = "area"
    tone: Tone = "accent"


@dataclass(frozen=True, slots=True)
class Mark:
    """What is drawn of a series."""

    name: str
    tone: Tone
    kind: Kind
    path: str


@dataclass(frozen=True, slots=True)
class Column:
    """A step's place, and what its tooltip says."""

    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All that the macro draws."""

    title: str
    summary: str
    """For who cannot see it: the highest and the latest value of each series."""
    scale: tuple[str, str, str]
    """What the top, the middle and the bottom stand for."""
    span: tuple[str, str, str]
    """What the left end, the middle and the right end stand for."""
    marks: Sequence[Mark]
    columns: Sequence[Column]


def steps(step: timedelta, number: int, now: datetime | None = None) -> Sequence[datetime]:
    """The beginnings of so many steps up to the one that runs now; they begin where they do since 1970, in UTC."""
    length = step.total_seconds()
    last = math.floor((now or datetime.now(UTC)).timestamp() / length) * length
    return [datetime.fromtimestamp(last - length * back, UTC) for back in reversed(range(number))]


def filled(moments: Sequence[datetime], values: Mapping[datetime, float]) -> Sequence[float]:
    """The value of each moment, zero for those that have none."""
    return [values.get(moment, 0.0) for moment in moments]


def chart(
    title: str,
    moments: Sequence[datetime],
    series: Sequence[Series],
    *,
    step: timedelta,
    form: Callable[[float], str] = count,
    top: float | None = None,
) -> Chart:
    """A chart of some quantities, all on one scale that begins at zero.

    Args:
        title: What it shows.
        moments: Where each step begins, oldest first.
        series: As many values each as there are moments.
        step: How long a step is.
        form: How a value is written.
        top: The scale's upper end; a round number above the highest value where left out.
    """
    end = top or _round_up(max(_heights(series), default=0.0))
    seconds = (step * len(moments)).total_seconds()
    return Chart(
        title=title,
        summary="; ".join(_told(each, form) for each in series),
        scale=(form(end), form(end / 2), form(0)),
        span=(distance(seconds), distance(seconds / 2), "now"),
        marks=list(_marks(series, end)),
        columns=list(_columns(moments, series, form)),
    )


def _heights(series: Sequence[Series]) -> Iterator[float]:
    for each in series:
        if each.kind != "bars":
            yield from (value for value in each.values if value is not None)
    yield from map(sum, zip(*(_plain(each) for each in series if each.kind == "bars"), strict=True))


def _round_up(highest: float) -> float:
    if highest <= _LEAST_TOP:
        return _LEAST_TOP
    unit = 10.0 ** math.floor(math.log10(highest))
    return next(nice * unit for nice in _NICE if nice * unit >= highest)


def _marks(series: Sequence[Series], top: float) -> Iterator[Mark]:
    below = [0.0] * max((len(each.values) for each in series), default=0)
    for each in series:
        if each.kind == "bars":
            path = _bars(below, _plain(each), top)
            below = [base + value for base, value in zip(below, _plain(each), strict=True)]
        else:
            path = _line(each.values, top, closed=each.kind == "area")
        yield Mark(each.name, each.tone, each.kind, path)


def _bars(below: Sequence[float], values: Sequence[float], top: float) -> str:
    step = WIDTH / max(1, len(values))
    left, width = step * (1 - _BAR_SHARE) / 2, step * _BAR_SHARE
    return " ".join(
        f"M{_at(place * step + left)} {_y(base, top)}V{_y(base + value, top)}h{_at(width)}V{_y(base, top)}z"
        for place, (base, value) in enumerate(zip(below, values, strict=True))
        if value > 0
    )


def _line(values: Sequence[float | None], top: float, *, closed: bool) -> str:
    """Level over each step, so that one lonely step is seen, too; broken where there is no value."""
    step = WIDTH / max(1, len(values))
    parts: list[str] = []
    before = None
    for place, value in enumerate(values):
        left, right = _at(place * step), _at((place + 1) * step)
        if value is not None:
            begin = f"M{left} {_y(0, top)}V{_y(value, top)}" if closed else f"M{left} {_y(value, top)}"
            parts.append(f"{begin if before is None else f'V{_y(value, top)}'}H{right}")
            last = place + 1 == len(values) or values[place + 1] is None
            parts.append(f"V{_y(0, top)}z" if closed and last else "")
        before = value
    return "".join(parts)


def _columns(moments: Sequence[datetime], series: Sequence[Series], form: Callable[[float], str]) -> Iterator[Column]:
    width = WIDTH / max(1, len(moments))
    for place, moment in enumerate(moments):
        values = ((each.name, each.values[place]) for each in series)
        told = ", ".join(f"{name} {'–' if value is None else form(value)}" for name, value in values)
        yield Column(place * width, width, f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {told}")


def _told(series: Series, form: Callable[[float], str]) -> str:
    known = [value for value in series.values if value is not None]
    return f"{series.name}: at most {form(max(known))}, now {form(known[-1])}" if known else f"{series.name}: nothing"


def _plain(series: Series) -> list[float]:
    return [value or 0.0 for value in series.values]


def _y(value: float, top: float) -> str:
    return _at(HEIGHT - HEIGHT * min(value, top) / top)


def _at(place: float) -> str:
    return f"{place:.2f}".rstrip("0").rstrip(".")
