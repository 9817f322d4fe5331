"""Followers: every line of every process once, in time, however they were committed and whoever does not read."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from opsbook.core.log import get_logger
from opsbook.debugging.logs.streams import MOST_FOLLOWERS
from tests.conftest import ADMIN_TOKEN
from tests.debugging.logs.processes import Program, running, speaker
from tests.debugging.logs.writing import arrived, fresh_logger_name
from tests.flags.helpers import until

STREAM = "/api/admin/logs/stream"


@contextmanager
def following(url: str, home: Path, database: psycopg.Connection, *options: str) -> Iterator[Program]:
    """`opsbook logs follow`, from when it follows."""
    asking = "application_name = 'opsbook logs follow' and query like '%with writers%'"
    with running(home, "-m", "opsbook", "logs", "follow", *options, OPSBOOK_DATABASE_URL=url) as program:
        until(lambda: database.execute(f"select pid from pg_stat_activity where {asking}".encode()).fetchone(), 15)
        yield program


def test_the_command_prints_every_line_of_every_process_once(
    ops_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    name = fresh_logger_name()
    options = ("--json", "--logger", name, "--level", "info")
    with (
        speaker(ops_url, tmp_path) as one,
        following(ops_url, tmp_path, database, *options) as follower,
        speaker(ops_url, tmp_path) as other,
    ):
        for _ in range(4):
            one.tell("say", name, 250)
            other.tell("say", name, 250)
        until(lambda: len(follower.said) >= 2000, 30)
        lines = [json.loads(line) for line in follower.said]
        assert len({(line["writer"], line["number"]) for line in lines}) == len(lines) == 2000
        assert {line["process_id"] for line in lines} == {one.process.pid, other.process.pid}
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.wait(10) == 130


def test_a_writer_that_commits_late_is_not_passed_over(
    ops_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    name = fresh_logger_name()
    insert = (
        "insert into log_lines (writer, number, logged_at, level, logger, message)"
        " values (%s, %s, now(), 'info', %s, %s)"
    )
    writers = [
        row[0]
        for row in database.execute(
            "insert into log_writers (host, process_id, program, environment)"
            " select 'host', n, 'test', 'test' from generate_series(1, 2) n returning id"
        ).fetchall()
    ]
    with following(ops_url, tmp_path, database, "--json", "--logger", name) as follower:
        with psycopg.connect(ops_url) as slow:
            slow.execute(insert, [writers[0], 1, name, "first"])
            database.execute(insert, [writers[1], 1, name, "second"])
            until(lambda: len(follower.said) == 1, 10)
        until(lambda: len(follower.said) == 2, 10)
        assert [json.loads(line)["message"] for line in follower.said] == ["second", "first"]


def test_a_line_acts_on_no_terminal(ops_url: str, server: str, logger: logging.Logger, tmp_path: Path) -> None:
    hostile = "a\x1b[2Jb\nforged line\x9b31m\u202e[bold]c"
    with psycopg.connect(ops_url, autocommit=True) as database:
        with following(ops_url, tmp_path, database, "--logger", logger.name) as follower:
            get_logger(logger.name).error(hostile, field=hostile, user_id=hostile)
            until(lambda: follower.said, 10)
            assert len(follower.said) == 1
            assert "a\\x1b[2Jb\\nforged line\\x9b31m\\u202e[bold]c" in follower.said[0]
            assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in follower.said[0])
        with following(ops_url, tmp_path, database, "--json", "--since", "1m", "--logger", logger.name) as follower:
            until(lambda: follower.said, 10)
            assert "\x9b" not in follower.said[0]
            assert json.loads(follower.said[0])["message"] == hostile


def test_a_follower_outlives_the_database(
    ops_url: str, server: str, logger: logging.Logger, database: psycopg.Connection, tmp_path: Path
) -> None:
    with following(ops_url, tmp_path, database, "--json", "--logger", logger.name) as follower:
        get_logger(logger.name).info("before")
        until(lambda: len(follower.said) == 1, 10)
        database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and application_name in ('opsbook logs follow', 'opsbook logs')"
        )
        get_logger(logger.name).info("after")
        until(lambda: len(follower.said) == 2, 15)


def test_the_stream_gives_what_the_filter_wants(
    api: httpx.Client, logger: logging.Logger, database: psycopg.Connection
) -> None:
    wanted = {"logger": logger.name, "level": "error", "text": "bank", "field": "status=500", "user": "u1"}
    with api.stream("GET", STREAM, params=wanted) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        log = get_logger(logger.name)
        log.warning("bank_away", status=500, user_id="u1")
        log.error("bank_away", status=404, user_id="u1")
        log.error("bank_away", status=500, user_id="u2")
        log.error("shop_away", status=500, user_id="u1")
        log.error("bank_gone", status=500, user_id="u1")
        data = next(line for line in answer.iter_lines() if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["message"] == "bank_gone"


@pytest.mark.parametrize("seen", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01", "yesterday"])
def test_a_stream_begins_wherever_its_reader_says_to_have_been(api: httpx.Client, seen: str) -> None:
    with api.stream("GET", STREAM, headers={"Last-Event-ID": seen}) as answer:
        assert answer.status_code == 200


def test_a_stream_that_comes_back_goes_on_where_it_was(
    api: httpx.Client, logger: logging.Logger, database: psycopg.Connection
) -> None:
    get_logger(logger.name).info("first")
    (line,) = arrived(database, logger.name)
    get_logger(logger.name).info("meanwhile")
    arrived(database, logger.name, 2)
    headers = {"Last-Event-ID": line["logged_at"].isoformat()}
    with api.stream("GET", STREAM, params={"logger": logger.name}, headers=headers) as answer:
        data = (json.loads(each[6:]) for each in answer.iter_lines() if each.startswith("data: "))
        assert [next(data)["message"], next(data)["message"]] == ["first", "meanwhile"]


def test_who_never_reads_is_let_go_and_frees_the_place(
    server: str, api: httpx.Client, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsbook.debugging.logs.streams.PATIENCE_SECONDS", 0.5)
    place = urlsplit(server)
    assert place.hostname is not None
    assert place.port is not None
    silent = [quiet_reader(place.hostname, place.port, logger.name) for _ in range(MOST_FOLLOWERS)]
    try:
        refused = api.get(STREAM)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        stop = threading.Event()
        writing = threading.Thread(target=log_until, args=(logger.name, stop))
        writing.start()
        try:
            until(lambda: stream_status(api) == 200, 30)
        finally:
            stop.set()
            writing.join(10)
    finally:
        for reader in silent:
            reader.close()


def test_however_many_come_at_once_no_more_follow_than_may(server: str, api: httpx.Client) -> None:
    async def answers() -> list[int]:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        async with httpx.AsyncClient(base_url=server, headers=headers, timeout=20) as client:
            asked = [client.build_request("GET", STREAM) for _ in range(2 * MOST_FOLLOWERS)]
            answered = await asyncio.gather(*(client.send(request, stream=True) for request in asked))
            for answer in answered:
                await answer.aclose()
            return [answer.status_code for answer in answered]

    found = asyncio.run(answers())
    assert found.count(200) <= MOST_FOLLOWERS
    assert set(found) == {200, 429}
    until(lambda: stream_status(api) == 200, 30)


def quiet_reader(host: str, port: int, logger: str) -> socket.socket:
    """A connection that asks for the stream, sees it begin, and then reads no more."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect((host, port))
    reader.sendall(
        f"GET {STREAM}?logger={logger} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n".encode()
    )
    assert b"200 OK" in reader.recv(200)
    return reader


def log_until(name: str, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        for _ in range(20):
            get_logger(name).info("much", of="x" * 8000)


def stream_status(api: httpx.Client) -> int:
    time.sleep(0.1)
    with api.stream("GET", STREAM) as answer:
        return answer.status_code


def test_it_takes_an_operator(server: str, api: httpx.Client, anonymous: httpx.Client) -> None:
    for method, path in (("GET", "/api/admin/logs"), ("GET", STREAM), ("PUT", "/api/admin/log-level")):
        assert anonymous.request(method, path).status_code == 401


def test_reading_by_command_is_audited(ops_url: str, database: psycopg.Connection, tmp_path: Path) -> None:
    with following(ops_url, tmp_path, database, "--user", "u99"):
        found = database.execute(
            "select after from security_audit where action = 'logs.read' and actor_kind = 'cli' order by id desc"
        ).fetchone()
    assert found == ({"user": "u99"},)
