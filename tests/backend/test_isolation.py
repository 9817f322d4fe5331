"""Whatever a signed-in person sends, they meet their own rows only, and the policies are what sees to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg

PROJECT = Path(__file__).resolve().parent.parent.parent


@contextmanager
def policy_denying(url: str, policy: LiteralString, table: LiteralString) -> Iterator[None]:
    """The database as it would be if that policy let nothing through."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f'alter policy "{policy}" on {table} using (false)')
        try:
            yield
        finally:
            owner.execute(f'alter policy "{policy}" on {table} using (user_id = (select auth.uid()))')


def test_nobody_reaches_anothers_events(sign_up: Callable[[], Any]) -> None:
    ada, bob = sign_up(), sign_up()
    event = {"type": "secret", "id": str(uuid4()), "timestamp": datetime.now(UTC).isoformat()}
    ada.record(event, {"type": "later"})
    cursor = ada.client.get("/api/events", params={"limit": 1}).json()["next"]
    assert cursor
    for query in [{}, {"before": cursor}, {"user_id": ada.id}, {"session_id": ada.session_id}]:
        assert bob.client.get("/api/events", params=query).json()["events"] == []
    assert bob.record(event).json() == {"accepted": 1, "duplicates": 0}
    assert bob.record({**event, "user_id": ada.id}).status_code == 422
    assert len(ada.client.get("/api/events").json()["events"]) == 2


def test_nobody_sees_or_ends_anothers_session(sign_up: Callable[[], Any]) -> None:
    ada, bob = sign_up(), sign_up()
    assert [one["id"] for one in bob.client.get("/api/sessions").json()["sessions"]] == [bob.session_id]
    bob.client.post("/api/auth/sign-out")
    assert ada.client.get("/api/auth/me").status_code == 200


def test_requests_run_as_the_person_and_not_as_the_owner(sign_up: Callable[[], Any], service_url: str) -> None:
    ada = sign_up()
    ada.record({"type": "visit"})
    with policy_denying(service_url, "People see their own events", "events"):
        assert ada.client.get("/api/events").json()["events"] == []
    with policy_denying(service_url, "People see their own sessions", "sessions"):
        assert ada.client.get("/api/sessions").json()["sessions"] == []
    assert len(ada.client.get("/api/events").json()["events"]) == 1


def test_a_connection_goes_back_without_the_person(start_service: Callable[..., Any]) -> None:
    service = start_service(DATABASE_POOL_SIZE="1", DATABASE_MAX_OVERFLOW="0")
    body = {"email": "one@example.org", "password": "correct horse battery staple"}
    token = service.post("/api/auth/sign-up", json=body).json()["access_token"]
    assert service.get("/api/auth/me", headers={"authorization": f"Bearer {token}"}).status_code == 200
    # Signing up needs the owner's rights, on the very connection that was the first person's a moment ago.
    assert service.post("/api/auth/sign-up", json={**body, "email": "two@example.org"}).status_code == 201


def test_only_accounts_act_as_the_owner() -> None:
    users = {file.name for file in (PROJECT / "backend").rglob("*.py") if "as_owner" in file.read_text()}
    assert users == {"database.py", "accounts.py"}
