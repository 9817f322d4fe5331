"""How full the pools were over time, as charts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from opsbook.database.pool.store import Moment
from opsbook.web.charts import Chart, Series, chart


def pool_charts(saturation: Sequence[Moment], period_seconds: float) -> Sequence[Chart]:
    """One for each database that any pool used."""
    databases = sorted({moment.database for moment in saturation})
    by_database = ([moment for moment in saturation if moment.database == each] for each in databases)
    return [_chart(f"Connections out on {here[0].database}", here, period_seconds) for here in by_database]


def pool_chart(saturation: Sequence[Moment], period_seconds: float) -> Chart | None:
    """The pools on the database that had most connections out; None where none had any."""
    if not saturation:
        return None
    busiest = max(saturation, key=lambda moment: moment.checked_out).database
    here = [moment for moment in saturation if moment.database == busiest]
    return _chart("Connections out", here, period_seconds)


def _chart(title: str, moments: Sequence[Moment], period_seconds: float) -> Chart:
    waited = [max(0, moment.wanted - moment.checked_out) for moment in moments]
    series = [
        Series("out", [moment.checked_out for moment in moments], "bars"),
        Series("waiting", waited, "bars", "warn"),
        Series("capacity", [moment.capacity for moment in moments], "line", "quiet"),
    ]
    step = timedelta(seconds=period_seconds / max(1, len(moments)))
    return chart(title, [moment.at for moment in moments], series, step=step)
