"""Segments by HTTP: shown with their revision, and not overwritten when somebody was faster."""

from __future__ import annotations

import httpx

SEGMENTS = "/api/admin/flag-segments"
PRO = [{"field": "plan", "operator": "in", "values": ["pro"]}]
TEAM = [{"field": "plan", "operator": "in", "values": ["team"]}]


def test_a_segment_is_shown_with_its_revision(api: httpx.Client) -> None:
    made = api.put(f"{SEGMENTS}/shown", json={"constraints": PRO})
    shown = api.get(f"{SEGMENTS}/shown")
    assert shown.headers["etag"] == made.headers["etag"] == f'"{shown.json()["revision"]}"'
    assert (shown.json()["constraints"], shown.json()["used_by"]) == (PRO, [])
    assert api.get(f"{SEGMENTS}/never-was").status_code == 404


def test_a_lost_update_is_refused_where_a_revision_is_given(api: httpx.Client) -> None:
    url = f"{SEGMENTS}/raced"
    seen = api.put(url, json={"constraints": PRO, "revision": 0}).headers["etag"]
    assert api.put(url, json={"constraints": PRO, "revision": 0}).status_code == 409
    assert api.put(url, json={"constraints": TEAM}).status_code == 200
    late = api.put(url, json={"constraints": PRO}, headers={"If-Match": seen})
    assert (late.status_code, "somebody changed it in between" in late.json()["detail"]) == (409, True)
    assert api.put(url, json={"constraints": PRO, "revision": int(seen.strip('"'))}).status_code == 409
    assert api.delete(url, headers={"If-Match": seen}).status_code == 409
    assert api.put(url, json={"constraints": PRO}, headers={"If-Match": "new"}).status_code == 422
    newest = api.get(url)
    assert newest.json()["constraints"] == TEAM
    assert api.delete(url, headers={"If-Match": newest.headers["etag"]}).status_code == 204
