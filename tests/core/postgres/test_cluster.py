"""The embedded clusters as their users find them: what is in them, who gets in, what a restart keeps."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from opsbook.core.postgres.binaries import bundled
from opsbook.core.postgres.cluster import EmbeddedPostgres
from opsbook.core.postgres.connect import connect
from opsbook.core.postgres.errors import AlreadyRunning, ClusterFailed
from opsbook.core.postgres.home import embedded_urls
from opsbook.core.postgres.recovery import clear_leftovers


def answer(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("wal_level", "replica"),
        ("summarize_wal", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
        ("password_encryption", "scram-sha-256"),
        ("TimeZone", "UTC"),
    ],
)
def test_both_clusters_are_set_up_alike(postgres: EmbeddedPostgres, setting: str, value: str) -> None:
    assert [answer(url, f"show {setting}") for url in postgres.urls.values()] == [value, value]


def test_statements_are_counted_in_both(postgres: EmbeddedPostgres) -> None:
    for url in postgres.urls.values():
        assert answer(url, "select count(*) > 0 from pg_stat_statements where query like 'show%'")


def test_ops_role_owns_its_schema_and_is_no_superuser(postgres: EmbeddedPostgres) -> None:
    url = postgres.urls["ops"]
    assert answer(url, "select current_schemas(false)") == ["opsbook", "public"]
    assert (
        answer(
            url,
            "select current_database() || ' ' || current_user || ' ' || usesuper from pg_user"
            " where usename = current_user",
        )
        == "ops opsbook false"
    )
    assert answer(url, "select has_schema_privilege('opsbook', 'create')") is True
    assert answer(postgres.superuser_url("ops"), "show is_superuser") == "on"


def test_a_forgotten_transaction_of_the_ops_role_is_ended(postgres: EmbeddedPostgres) -> None:
    assert answer(postgres.urls["ops"], "show idle_in_transaction_session_timeout") == "30s"


@pytest.mark.anyio
async def test_our_own_connections_are_ended_so_on_any_server(postgres: EmbeddedPostgres) -> None:
    async with connect(postgres.urls["service"], "tests") as connection:
        shown = await (await connection.execute("show idle_in_transaction_session_timeout")).fetchone()
    assert shown == {"idle_in_transaction_session_timeout": "30s"}


def test_fifty_workers_find_connections(postgres: EmbeddedPostgres) -> None:
    assert answer(postgres.urls["ops"], "show max_connections") == "200"


@pytest.mark.parametrize("host", ["127.0.0.1", "socket"])
def test_nobody_gets_in_without_the_password(postgres: EmbeddedPostgres, host: str) -> None:
    place = str(postgres.servers[0].layout.sockets) if host == "socket" else host
    port = urlsplit(postgres.urls["ops"]).port
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=place, port=port, user="postgres", dbname="ops", password="guess")


def test_secrets_are_readable_by_their_owner_only(postgres: EmbeddedPostgres) -> None:
    home = postgres.home.path
    modes = {name: stat.S_IMODE((home / name).stat().st_mode) for name in ("ops.url", "service.url", "passwords")}
    assert modes == dict.fromkeys(modes, 0o600)
    assert stat.S_IMODE((home / "log").stat().st_mode) == 0o700


def test_no_password_is_logged_or_shown_in_the_process_list(postgres: EmbeddedPostgres) -> None:
    secrets = {password for url in postgres.urls.values() if (password := urlsplit(url).password)}
    assert len(secrets) == 2
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    logged = "".join(path.read_text() for path in (postgres.home.path / "log").iterdir())
    assert not [secret for secret in secrets if secret in shown + logged]


def test_data_and_addresses_survive_a_restart(postgres: EmbeddedPostgres) -> None:
    before = dict(postgres.urls)
    with psycopg.connect(before["ops"], autocommit=True) as connection:
        connection.execute("create table kept as select 41 + 1 as answer")
    postgres.stop()
    assert postgres.start() == before == embedded_urls(postgres.home.path)
    assert answer(before["ops"], "select answer from kept") == 42


def test_nothing_listens_after_stop(postgres: EmbeddedPostgres) -> None:
    pids = [server.process.pid for server in postgres.servers if server.process]
    postgres.stop()
    try:
        assert len(pids) == 2
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(postgres.urls["ops"])
    finally:
        postgres.start()


def test_a_second_start_says_who_holds_the_home(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(AlreadyRunning, match=rf"already running on .*pid {os.getpid()}"):
        EmbeddedPostgres(postgres.home.path).start()
    assert answer(postgres.urls["ops"], "select 1") == 1


def test_a_port_that_is_taken_meanwhile_is_replaced_and_said(postgres: EmbeddedPostgres) -> None:
    said: list[str] = []
    old = urlsplit(postgres.urls["ops"]).port
    assert old
    postgres.stop()
    with socket.create_server(("127.0.0.1", old)), EmbeddedPostgres(postgres.home.path, said.append) as again:
        assert urlsplit(again.urls["ops"]).port != old
        assert again.urls == embedded_urls(postgres.home.path)
        assert answer(again.urls["ops"], "select 1") == 1
    assert any(f"port {old} of the ops database is taken" in line for line in said)
    postgres.start()


def test_a_restart_waits_for_its_port_rather_than_change_the_address(postgres: EmbeddedPostgres) -> None:
    server = postgres.servers[0]
    assert server.process
    server.process.kill()
    server.process.wait()
    clear_leftovers(server.data)
    with socket.create_server(("127.0.0.1", server.port)), pytest.raises(ClusterFailed, match=f"port {server.port} "):
        server.start()
    server.start()
    server.wait_until_ready()
    assert answer(postgres.urls["ops"], "select 1") == 1


def test_a_path_too_long_for_a_socket_gets_a_short_one(folder: Path) -> None:
    with EmbeddedPostgres(folder / ("deep" * 30) / "home") as postgres:
        sockets = postgres.home.path / "run"
        port = urlsplit(postgres.urls["ops"]).port
        assert len(str(sockets.resolve())) < 90
        parts = urlsplit(postgres.urls["ops"])
        over_socket = urlunsplit(
            (*parts[:1], f"{parts.username}:{parts.password}@", parts.path, f"host={sockets.resolve()}&port={port}", "")
        )
        assert answer(over_socket, "select inet_server_addr() is null") is True
    sockets.resolve().rmdir()


def test_the_programs_are_those_of_the_wheel(postgres: EmbeddedPostgres) -> None:
    version = subprocess.run([bundled().program("psql"), "--version"], capture_output=True, text=True, check=True)
    assert bundled().major in version.stdout
    assert str(answer(postgres.urls["service"], "show server_version")).startswith(bundled().major)
