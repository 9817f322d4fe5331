"""What every command shares: durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from opsbook.core.console import parse_duration
from opsbook.core.errors import Invalid


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, meant: timedelta) -> None:
    assert parse_duration(text) == meant


@pytest.mark.parametrize("text", ["", "h", "2", "-2h", "2 h", "2y", "1.5h", "²d", "٣d", "2h\n", "1000000s", "999999w"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_duration(text)
