"""The kit on the Postgres source: it follows, whatever befalls its connection or the channel."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.json import Jsonb

from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.flags import Flags, PostgresSource
from tests.flags.helpers import create, follows, until
from tests.flags.test_sql import DEEP_VALUE, HUGE_NUMBER


@pytest.fixture(scope="module")
def kit(ops_url: str, database: psycopg.Connection) -> Iterator[Flags]:
    create(database, "followed")
    flags = Flags(PostgresSource(ops_url))
    assert flags.wait_until_ready(5)
    yield flags
    flags.close()


def test_it_starts_by_itself_when_first_asked(ops_url: str, database: psycopg.Connection) -> None:
    create(database, "asked")
    flags = Flags(PostgresSource(ops_url))
    until(lambda: flags.enabled("asked"), within=5)
    assert flags.ready
    flags.close()


def test_it_follows_within_a_second(kit: Flags, database: psycopg.Connection) -> None:
    for _ in range(10):
        follows(kit, database, "followed", within=10)


def test_a_flag_that_goes_and_comes_back_is_followed_too(kit: Flags, database: psycopg.Connection) -> None:
    create(database, "coming")
    until(lambda: kit.enabled("coming"), within=10)
    database.execute("delete from feature_flags where name = 'coming'")
    until(lambda: kit.evaluate("coming").error_code == "FLAG_NOT_FOUND", within=10)
    create(database, "coming", rollout_percentage=50)
    until(lambda: kit.evaluate("coming").error_code == "TARGETING_KEY_MISSING", within=10)


def test_what_changes_together_is_seen_together(kit: Flags, database: psycopg.Connection) -> None:
    """A thousand and more changes at once are read as a whole; a reader never sees half of a transaction."""
    seen: set[int] = set()
    kit.listen(lambda snapshot: seen.add(sum(name.startswith("bulk.") for name in snapshot.flags)))
    database.execute("insert into feature_flags (name) select 'bulk.' || n from generate_series(1, 1500) n")
    until(lambda: 1500 in seen, within=10)
    database.execute("delete from feature_flags where name like 'bulk.%'")
    until(lambda: 0 in seen, within=10)
    assert seen == {0, 1500}


@pytest.mark.parametrize(
    "payload",
    [
        "flags:999999999999999999",
        "flags:0",
        "flags:" + "9" * 5000,
        "flags:²",
        "flags:-1",
        "flags",
        "",
        ":",
        "flags:1:2",
    ],
    ids=lambda payload: payload[:12],
)
def test_an_invented_notification_leads_nowhere(kit: Flags, database: psycopg.Connection, payload: str) -> None:
    database.execute("select pg_notify('opsbook', %s)", [payload])
    follows(kit, database, "followed", within=10)


def test_it_is_repaired_when_its_backend_is_killed(
    kit: Flags, database: psycopg.Connection, ops_url: str, clusters: EmbeddedPostgres
) -> None:
    with psycopg.connect(clusters.superuser_url("ops"), autocommit=True) as superuser:
        killed = superuser.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'opsbook flags'"
            " and datname = %s",
            [ops_url.rpartition("/")[2].partition("?")[0]],
        ).fetchall()
    assert killed
    follows(kit, database, "followed", within=10)


POISON = (
    "rules = jsonb_build_array(jsonb_build_object('percentage', 'x'))",
    f"rules = '{HUGE_NUMBER}'",
    f"variants = {DEEP_VALUE}",
    "expires_at = '2026-01-01', off_when_expired = true, rules = '[[]]'",
)


@pytest.mark.parametrize("whole", [False, True], ids=["changes", "whole"])
@pytest.mark.parametrize("assignment", POISON, ids=["rules", "number", "depth", "shape"])
def test_a_flag_that_nobody_can_read_is_off_and_holds_up_no_other(
    kit: Flags, database: psycopg.Connection, ops_url: str, assignment: str, whole: bool
) -> None:
    create(database, "poisoned", rollout_percentage=99.99)
    until(lambda: "poisoned" in kit.snapshot.flags, within=10)
    database.execute("alter table feature_flags disable trigger change")
    try:
        poisoned = f"update feature_flags set {assignment}, revision = next_revision('flags') where name = 'poisoned'"
        database.execute(poisoned.encode())
    finally:
        database.execute("alter table feature_flags enable trigger change")
    reader = Flags(PostgresSource(ops_url)) if whole else kit
    assert reader.wait_until_ready(5)
    follows(reader, database, "followed", within=10)
    assert not reader.enabled("poisoned", "u1")
    database.execute("delete from feature_flags where name = 'poisoned'")
    follows(reader, database, "followed", within=10)
    if whole:
        reader.close()


def test_a_segment_that_nobody_can_read_admits_nobody(kit: Flags, database: psycopg.Connection) -> None:
    database.execute("insert into flag_segments (name) values ('garbled')")
    create(database, "segmented", rollout_percentage=0, rules=Jsonb([{"segments": ["garbled"]}]))
    until(lambda: kit.enabled("segmented"), within=10)
    database.execute("alter table flag_segments disable trigger change")
    try:
        database.execute("update flag_segments set constraints = '[7]', revision = next_revision('flags')")
    finally:
        database.execute("alter table flag_segments enable trigger change")
    until(lambda: not kit.enabled("segmented"), within=10)
    follows(kit, database, "followed", within=10)


def test_two_kits_of_one_service_share_a_file_and_two_services_do_not(ops_url: str) -> None:
    other_password = ops_url.replace(ops_url.split(":")[2].split("@", maxsplit=1)[0], "rotated")
    assert PostgresSource(ops_url).identity == PostgresSource(other_password).identity
    assert PostgresSource(ops_url).identity != PostgresSource(ops_url.replace("/ops_", "/other_")).identity
