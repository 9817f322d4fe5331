"""The whole HTTP API against its own description: no crash, and no answer that the description does not allow."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from opsbook.core.settings import load_settings
from opsbook.server import Opsbook
from tests.conftest import ADMIN_TOKEN

DESCRIPTION = "/api/openapi.json"
STREAMS = ["/api/flags/stream", "/api/admin/logs/stream"]
WEBHOOKS = "/api/admin/flag-webhooks"
BEYOND_SCHEMA = (
    "/api/admin/feature-flags",
    "/api/admin/flag-segments",
    WEBHOOKS,
    "/api/admin/address-blocks",
    "/api/admin/rate-limits",
    "/api/admin/cache/purge",
    "/api/admin/check-ins",
    "/api/admin/users",
)

# The operations must be known before any server is up, so that each becomes a test.
described = schemathesis.openapi.from_asgi(
    DESCRIPTION, Opsbook(load_settings(ops_database_url="postgresql://127.0.0.1:1/none")).app
)
# A test of a webhook would post to whatever address was made up for one.
schema = schemathesis.openapi.from_dict(described.raw_schema).exclude(path=[*STREAMS, f"{WEBHOOKS}/{{number}}/test"])
# A parameter that we do not know is ignored, as is usual; who gets in is another test's question.
schema.config.generation.allow_extra_parameters = False
schema.config.generation.with_security_parameters = False


@schema.parametrize()
# The server runs in this process, and its threads draw their pauses while cases are drawn here.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
def test_answers_are_as_described(case: Case[Any], server: str) -> None:
    # Which values an operator can compare, where a webhook may post, what a network is, when a crontab comes: no schema
    # can say it.
    beyond = [positive_data_acceptance] if case.path.startswith(BEYOND_SCHEMA) else []
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    case.call_and_validate(base_url=server, headers=headers, timeout=30, excluded_checks=beyond)


@pytest.mark.parametrize("stream", STREAMS)
def test_a_stream_is_described_as_one(api: httpx.Client, stream: str) -> None:
    responses = api.get(DESCRIPTION).json()["paths"][stream]["get"]["responses"]
    assert list(responses["200"]["content"]) == ["text/event-stream"]
    with api.stream("GET", stream) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
