"""The weekly digest: what it sums up, and that the kill switch of the runbook turns it off while running."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import psycopg

OBEYED_WITHIN_SECONDS = 5.0


def answers(client: httpx.Client, status: int) -> httpx.Response:
    """The answer once it has that status."""
    deadline = time.monotonic() + OBEYED_WITHIN_SECONDS
    while True:
        answer = client.get("/api/digest")
        if answer.status_code == status:
            return answer
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)


def test_sql_turns_the_digest_on_and_off(sign_up: Callable[[], Any], ops_url: str) -> None:
    ada = sign_up()
    ada.record({"type": "visit"}, {"type": "visit"}, {"type": "order.paid"})
    assert ada.client.get("/api/digest").status_code == 404
    with psycopg.connect(ops_url, autocommit=True) as shell:
        shell.execute("insert into feature_flags (name, enabled) values ('weekly-digest', true)")
        counted = [(one["type"], one["count"]) for one in answers(ada.client, 200).json()["types"]]
        assert counted == [("visit", 2), ("order.paid", 1)]
        shell.execute("update feature_flags set kill_switch = true where name = 'weekly-digest'")
        assert answers(ada.client, 404).headers["content-type"] == "application/problem+json"
        shell.execute("update feature_flags set kill_switch = false where name = 'weekly-digest'")
        answers(ada.client, 200)


def test_the_digest_is_for_people_who_signed_in(service: httpx.Client) -> None:
    assert service.get("/api/digest").status_code == 401
