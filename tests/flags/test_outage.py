"""The ops database hangs or is gone: every question is answered as before, and what was missed is caught up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from opsbook.chapters import CHAPTERS
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.schema import apply_schema
from opsbook.flags import Flags, PostgresSource
from tests.flags.helpers import until
from tests.folders import open_folder
from tests.monitoring.stage import Databases

OUTAGE_SECONDS = 3.0
CAUGHT_UP_WITHIN_SECONDS = 4.0
"""The longest back-off is 2 s; then come a connection and a snapshot."""


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    """Clusters of their own, because these tests freeze and kill them."""
    with open_folder() as folder, EmbeddedPostgres(folder / "home") as postgres:
        apply_schema(postgres.urls["ops"], CHAPTERS)
        with psycopg.connect(postgres.urls["ops"], autocommit=True) as connection:
            connection.execute("insert into feature_flags (name, enabled) values ('steady', true), ('moving', true)")
        both = Databases(postgres)
        yield both
        both.thaw()


@pytest.fixture
def kit(databases: Databases, tmp_path: Path) -> Iterator[Flags]:
    flags = Flags(PostgresSource(databases.urls["ops"]), tmp_path)
    assert flags.wait_until_ready(10)
    yield flags
    flags.close()


def freeze(databases: Databases) -> Callable[[], None]:
    databases.freeze("ops")
    return databases.thaw


def kill(databases: Databases) -> Callable[[], None]:
    databases.kill("ops")
    return lambda: databases.start("ops")


@pytest.mark.parametrize("strike", [freeze, kill])
def test_an_outage_under_load_is_noticed_by_nobody_who_asks(
    databases: Databases,
    kit: Flags,
    strike: Callable[[Databases], Callable[[], None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = kit.enabled("moving")
    with asked_by_threads(kit) as load:
        until(lambda: load.answers > 1000, within=10)
        mend = strike(databases)
        try:
            at_strike = load.answers
            time.sleep(OUTAGE_SECONDS)
            during = load.answers - at_strike
        finally:
            mend()
        turn(databases, not before)
        until(lambda: kit.enabled("moving") is not before, within=CAUGHT_UP_WITHIN_SECONDS)
    assert load.errors == []
    assert during > 1000
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_process_that_starts_in_an_outage_serves_from_disk(databases: Databases, kit: Flags, tmp_path: Path) -> None:
    wanted = not kit.enabled("moving")
    turn(databases, wanted)
    until(lambda: kit.enabled("moving") is wanted, within=10)
    kit.close()
    databases.kill("ops")
    try:
        started = time.monotonic()
        newcomer = Flags(PostgresSource(databases.urls["ops"]), tmp_path)
        assert newcomer.enabled("steady") is True
        assert newcomer.enabled("moving") is wanted
        assert time.monotonic() - started < 0.5
        assert not newcomer.ready
        assert not newcomer.wait_until_ready(0.2)
    finally:
        databases.start("ops")
    assert newcomer.wait_until_ready(CAUGHT_UP_WITHIN_SECONDS)
    newcomer.close()


def turn(databases: Databases, enabled: bool) -> None:
    with psycopg.connect(databases.urls["ops"], autocommit=True) as connection:
        connection.execute("update feature_flags set enabled = %s where name = 'moving'", [enabled])


@dataclass
class Load:
    """What threads that ask all the time were told."""

    answers: int = 0
    errors: list[object] = field(default_factory=list)


@contextmanager
def asked_by_threads(kit: Flags) -> Iterator[Load]:
    load, stop = Load(), threading.Event()

    def ask() -> None:
        while not stop.wait(0.0005):
            try:
                if not kit.enabled("steady", "u1") or kit.evaluate("moving", {"targetingKey": "u1"}).error_code:
                    load.errors.append("a wrong answer")
            except BaseException as error:
                load.errors.append(error)
            load.answers += 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()
