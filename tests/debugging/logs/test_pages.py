"""The logs in the console, without scripts and as their stream: filtered, paged, escaped; the lever of the level."""

from __future__ import annotations

import logging
import re

import httpx
import psycopg
import pytest

from opsbook.core.log import get_logger
from tests.debugging.logs.writing import arrived
from tests.web.conftest import operator, owner, viewer
from tests.web.person import Person, text_of

__all__ = ["operator", "owner", "viewer"]


def rows(page: httpx.Response) -> list[str]:
    return re.findall(r'<tr data-row="(\d+-\d+)">', page.text)


def test_the_list_is_narrowed_and_paged_by_its_address(
    operator: Person, logger: logging.Logger, database: psycopg.Connection
) -> None:
    for number in range(150):
        get_logger(logger.name).info("could_not_reach_bank", number=number, user_id=f"u{number % 2}")
    get_logger(logger.name).error("refused", request_id="request-of-the-test")
    arrived(database, logger.name, 151)
    address = f"/ops/logs?logger={logger.name}"
    assert len(rows(operator.get(f"{address}&level=warning"))) == 1
    assert len(rows(operator.get(f"{address}&request=request-of-the-test"))) == 1
    assert len(rows(operator.get(f"{address}&user=u1"))) == 75
    assert len(rows(operator.get(f"{address}&text=BANK+reach+75"))) == 1
    assert "No line matches" in text_of(operator.get(f"{address}&text=nowhere"))
    seen: list[str] = []
    while address:
        page = operator.get(address)
        seen += rows(page)
        older = re.search(r'href="([^"]+)" rel="next"', page.text)
        address = older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 151


def test_what_a_stranger_wrote_is_text(operator: Person, logger: logging.Logger, database: psycopg.Connection) -> None:
    hostile = "<script>alert(1)</script>\x1b[2J\u202e"
    get_logger(logger.name).error(hostile, field=hostile, user_id='"><img src=x>', exception=f"{hostile}\nlast")
    arrived(database, logger.name)
    page = operator.get(f"/ops/logs?logger={logger.name}")
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


def test_new_rows_come_by_the_stream(
    operator: Person, server: str, logger: logging.Logger, database: psycopg.Connection
) -> None:
    get_logger(logger.name).info("before")
    (line,) = arrived(database, logger.name)
    page = operator.get(f"/ops/logs?logger={logger.name}")
    since = re.search(r'data-since="([^"]+)"', page.text)
    assert since is not None
    cookies = "; ".join(f"{name}={value}" for name, value in operator.cookies.items())
    parameters = {"logger": logger.name, "since": since[1]}
    stream = httpx.stream(
        "GET", f"{server}/ops/logs/stream", params=parameters, headers={"Cookie": cookies}, timeout=15
    )
    with stream as answer:
        get_logger(logger.name).info("<b>after</b>")
        text = ""
        for piece in answer.iter_text():
            text += piece
            if "after" in text:
                break
    assert f'data: <tr data-row="{line["writer"]}-{line["number"]}">' in text, "what stood at the end comes again"
    assert "&lt;b&gt;after&lt;/b&gt;" in text


def test_a_viewer_reads_no_logs(viewer: Person) -> None:
    for path in ("/ops/logs", "/ops/logs/stream", "/ops/logs/level"):
        assert viewer.get(path).status_code == 403


def test_reading_stands_in_the_audit_once_a_session(operator: Person, database: psycopg.Connection) -> None:
    for _ in range(3):
        operator.get("/ops/logs?user=u7")
    found = database.execute(
        "select count(*) from security_audit where action = 'logs.read' and actor = 'operator@example.org'"
    ).fetchone()
    assert found == (1,)


@pytest.mark.parametrize("query", ["level=loud", "trace=xyz", "before=yesterday", "before=2026-01-01T00:00:00_1_1"])
def test_a_malformed_filter_is_told(operator: Person, query: str) -> None:
    assert operator.get(f"/ops/logs?{query}").status_code == 422


@pytest.mark.parametrize("query", ["text=%00", "text=%27%3A*%26", "logger=%25", "within=forever", "user=" + "x" * 5000])
def test_an_odd_filter_finds_nothing_odd(operator: Person, query: str) -> None:
    assert operator.get(f"/ops/logs?{query}").status_code == 200


def test_the_level_is_set_shown_and_ended(operator: Person, database: psycopg.Connection) -> None:
    done = operator.submit("/ops/logs/level", level="DEBUG", minutes="20", logger="shop", reason="slow checkout")
    assert done.status_code == 303
    page = text_of(operator.get("/ops/logs/level"))
    assert "shop from DEBUG up" in page
    assert "slow checkout" in page
    assert "shop logs from DEBUG up" in text_of(operator.get("/ops/logs"))
    assert operator.submit("/ops/logs/level/end", logger="shop").status_code == 303
    assert "Nothing is set" in text_of(operator.get("/ops/logs/level"))
    audited = database.execute(
        "select action, actor, reason from security_audit where target_kind = 'logger' and target = 'shop' order by id"
    ).fetchall()
    assert audited == [
        ("log_level.set", "operator@example.org", "slow checkout"),
        ("log_level.end", "operator@example.org", None),
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"level": "LOUD"}, {"minutes": "soon"}, {"minutes": "99999"}, {"minutes": "0"}, {"logger": "two words"}],
)
def test_a_wrong_level_is_told_and_sets_nothing(operator: Person, wrong: dict[str, object]) -> None:
    fields = {"csrf_token": operator.token("/ops/search"), "level": "DEBUG", "minutes": "5"}
    refused = operator.post("/ops/logs/level", {**fields, **wrong})
    assert refused.status_code == 422
    assert "Nothing is set" in text_of(refused)


def test_a_viewer_sets_no_level(viewer: Person) -> None:
    assert viewer.submit("/ops/logs/level", level="DEBUG", minutes="5").status_code == 403
