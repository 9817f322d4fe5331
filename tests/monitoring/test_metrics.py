"""`/metrics` as Prometheus scrapes it: who may, in which format, and that one broken part hides no other."""

from __future__ import annotations

from collections.abc import Iterable

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from opsbook.core import metrics
from opsbook.core.runtime import Runtime


@pytest.fixture
def _two_collectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_collectors", {})

    @metrics.measures("well")
    async def well(_: Runtime) -> Iterable[Metric]:
        return [GaugeMetricFamily("opsbook_answer", "The answer.", 42)]

    @metrics.measures("broken")
    async def broken(_: Runtime) -> Iterable[Metric]:
        raise LookupError


@pytest.mark.usefixtures("_two_collectors")
def test_a_broken_collector_hides_no_other(api: httpx.Client) -> None:
    families = {family.name: family for family in text_string_to_metric_families(api.get("/metrics").text)}
    assert families["opsbook_answer"].samples[0].value == 42
    up = {sample.labels["collector"]: sample.value for sample in families["opsbook_collector_up"].samples}
    assert up == {"well": 1, "broken": 0}


@pytest.mark.parametrize(
    ("accept", "format_"),
    [("*/*", "text/plain"), ("application/openmetrics-text; version=nonsense", "application/openmetrics-text")],
)
def test_it_speaks_both_formats(api: httpx.Client, accept: str, format_: str) -> None:
    answer = api.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(format_)


def test_it_needs_a_token_of_its_scope(api: httpx.Client, anonymous: httpx.Client) -> None:
    assert anonymous.get("/metrics").status_code == 401
    for scope, status in (("metrics:read", 200), ("flags:read", 403)):
        made = api.post("/api/admin/tokens", json={"name": scope, "role": "viewer", "scopes": [scope]})
        answer = anonymous.get("/metrics", headers={"Authorization": f"Bearer {made.json()['token']}"})
        assert answer.status_code == status
