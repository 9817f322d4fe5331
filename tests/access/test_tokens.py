"""Making tokens: one list of scopes at every door, and nobody grants what they do not have."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.command_line import opsbook

TOKENS = "/api/admin/tokens"


@pytest.mark.parametrize("scope", ["flags:reed", "everything", "flags", "access:read", "", " *"])
def test_an_unknown_scope_is_refused_at_every_door(api: httpx.Client, ops_url: str, scope: str) -> None:
    assert api.post(TOKENS, json={"name": "odd", "scopes": [scope]}).status_code == 422
    for more in ([], ["--dry-run"]):
        typed = opsbook("token", "create", "odd", "--scope", scope, *more, OPSBOOK_DATABASE_URL=ops_url)
        assert typed.code == 2


@pytest.mark.parametrize(
    "scope", ["*", "flags:*", "flags:evaluate", "flags:read", "flags:write", "audit:read", "access:write"]
)
def test_a_known_scope_is_taken_at_every_door(api: httpx.Client, ops_url: str, scope: str) -> None:
    assert api.post(TOKENS, json={"name": "even", "scopes": [scope]}).json()["scopes"] == [scope]
    typed = opsbook("token", "create", "even", "--scope", scope, "--json", OPSBOOK_DATABASE_URL=ops_url)
    assert typed.json["scopes"] == [scope]


@pytest.mark.parametrize(
    ("granted", "status"),
    [
        ({"role": "viewer"}, 403),  # left out, it would be everything
        ({"role": "admin", "scopes": ["*"]}, 403),
        ({"role": "viewer", "scopes": ["audit:read"]}, 403),
        ({"role": "viewer", "scopes": ["flags:*"]}, 403),
        ({"role": "viewer", "scopes": ["access:write", "audit:read"]}, 403),
        ({"role": "operator", "scopes": ["flags:read", "access:write"]}, 201),
        ({"role": "admin", "scopes": ["access:write"]}, 201),
    ],
)
def test_a_token_grants_no_more_than_it_has(
    api: httpx.Client, anonymous: httpx.Client, granted: dict[str, Any], status: int
) -> None:
    maker = api.post(TOKENS, json={"name": "maker", "role": "admin", "scopes": ["access:write", "flags:read"]}).json()
    before = len(api.get(TOKENS).json())
    headers = {"Authorization": f"Bearer {maker['token']}"}
    answer = anonymous.post(TOKENS, headers=headers, json={"name": "made", **granted})
    assert answer.status_code == status
    assert len(api.get(TOKENS).json()) == before + (status == 201)
