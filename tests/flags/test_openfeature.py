"""The OpenFeature provider over the kit, driven by the OpenFeature SDK as an app would."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ProviderNotReadyError
from openfeature.provider import ProviderStatus
from psycopg.types.json import Jsonb

from opsbook.flags import Flags, PostgresSource
from opsbook.openfeature import OpsbookProvider
from tests.flags.helpers import create, until

SOMEBODY = EvaluationContext("user-1", {"plan": "pro"})


@pytest.fixture(scope="module")
def client(ops_url: str, database: psycopg.Connection) -> Iterator[OpenFeatureClient]:
    for name, kind, value in (
        ("text", "string", "blue"),
        ("whole", "number", 7),
        ("broken", "number", 7.5),
        ("object", "object", {"size": [1]}),
        ("list", "object", [1, 2]),
    ):
        create(database, name, value_type=kind, variants=Jsonb([{"name": "only", "value": value}]))
    create(database, "on")
    create(database, "off", enabled=False)
    create(database, "text-off", value_type="string", enabled=False)
    create(database, "half", rollout_percentage=50)
    after = {"field": "since", "operator": "date_after", "values": ["2030-01-01T00:00:00Z"]}
    create(database, "dated", rollout_percentage=0, rules=Jsonb([{"constraints": [after]}]))
    api.set_provider_and_wait(OpsbookProvider(Flags(PostgresSource(ops_url))))
    yield api.get_client()
    api.clear_providers()


@pytest.mark.parametrize(
    ("kind", "name", "default", "value"),
    [
        ("boolean", "on", False, True),
        ("boolean", "off", True, False),
        ("string", "text", "red", "blue"),
        ("string", "text-off", "red", "red"),
        ("integer", "whole", 1, 7),
        ("float", "whole", 1.0, 7.0),
        ("float", "broken", 1.0, 7.5),
        ("object", "object", {}, {"size": [1]}),
        ("object", "list", [], [1, 2]),
    ],
)
def test_each_type_of_value(client: OpenFeatureClient, kind: str, name: str, default: Any, value: Any) -> None:
    details = getattr(client, f"get_{kind}_details")(name, default, SOMEBODY)
    assert (details.value, details.error_code) == (value, None)
    assert type(details.value) is type(value)
    assert details.flag_metadata["revision"] > 0


@pytest.mark.parametrize(
    ("kind", "name", "default"),
    [
        ("boolean", "text", True),
        ("boolean", "whole", True),
        ("string", "on", "red"),
        ("integer", "broken", 1),
        ("integer", "on", 1),
        ("float", "on", 1.5),
        ("object", "text", {}),
    ],
)
def test_another_type_than_the_flags(client: OpenFeatureClient, kind: str, name: str, default: Any) -> None:
    details = getattr(client, f"get_{kind}_details")(name, default, SOMEBODY)
    assert (details.value, details.error_code, details.reason) == (default, "TYPE_MISMATCH", "ERROR")


def test_errors_have_their_codes(client: OpenFeatureClient) -> None:
    assert client.get_boolean_details("none", True).error_code == "FLAG_NOT_FOUND"
    assert client.get_boolean_value("none", True) is True
    assert client.get_boolean_details("half", True).error_code == "TARGETING_KEY_MISSING"


def test_a_time_of_the_context_is_compared(client: OpenFeatureClient) -> None:
    for year, expected in ((2031, True), (2029, False)):
        context = EvaluationContext("user-1", {"since": datetime(year, 1, 1, tzinfo=UTC)})
        assert client.get_boolean_value("dated", False, context) is expected


def test_a_kill_by_sql_is_obeyed_and_told(client: OpenFeatureClient, database: psycopg.Connection) -> None:
    told: list[list[str] | None] = []
    heard = threading.Event()

    def hear(details: EventDetails) -> None:
        told.append(details.flags_changed)
        heard.set()

    create(database, "told")
    until(lambda: client.get_boolean_value("told", False), 2)
    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, hear)
    database.execute("update feature_flags set kill_switch = true where name = 'told'")
    assert heard.wait(2)
    client.remove_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, hear)
    assert told == [["told"]]
    details = client.get_boolean_details("told", True)
    assert (details.value, details.reason, details.flag_metadata["killed"]) == (False, "DISABLED", True)


def test_a_source_that_is_away_is_not_ready_until_it_answers(ops_url: str) -> None:
    flags = Flags(PostgresSource("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(ProviderNotReadyError):
        api.set_provider_and_wait(OpsbookProvider(flags, ready_seconds=0.05), "away")
    client = api.get_client("away")
    assert client.get_provider_status() is ProviderStatus.ERROR
    there = Flags(PostgresSource(ops_url))
    assert there.wait_until_ready(5)
    flags.receive(there.snapshot)
    assert client.get_provider_status() is ProviderStatus.READY
    there.close()


def test_without_the_sdk_the_import_says_what_to_install() -> None:
    program = "import sys; sys.modules['openfeature'] = None; import opsbook.openfeature"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert "needs the OpenFeature SDK: pip install openfeature-sdk" in ended.stderr
