"""The performance pages' levers, pulled by plain forms, and what the pages tell."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from opsbook.core.settings import Settings
from tests.serving import serving
from tests.web.person import Person, text_of

CACHE, LIMITS, BLOCKS = "/ops/performance/cache", "/ops/performance/limits", "/ops/performance/blocks"
DECLARED = {"per_minute": 60, "per_hour": 1000, "key": "client_address", "when_away": "local"}


@pytest.fixture(scope="module", autouse=True)
def _policy(server: str, database: psycopg.Connection) -> None:
    database.execute("insert into rate_limits (policy, declared) values ('default', %s)", [json.dumps(DECLARED)])


def limit(api: httpx.Client) -> dict[str, Any]:
    return api.get("/api/admin/rate-limits/default").json()


def blocked(api: httpx.Client, text: str) -> list[str]:
    return [row["network"] for row in api.get("/api/admin/address-blocks", params={"text": text}).json()]


def test_a_limit_is_set_for_a_while_and_the_change_undone(operator: Person, api: httpx.Client) -> None:
    fields = {"per_minute": "30", "per_hour": "", "mode": "enforce", "for_seconds": "3600", "reason": "scrapers"}
    done = operator.submit(f"{LIMITS}/default", **fields)
    assert done.status_code == 303, text_of(done)
    changed = limit(api)
    assert changed["in_force"] == {"per_minute": 30, "per_hour": 1000}
    assert changed["until"] is not None
    assert (changed["reason"], changed["updated_by"]) == ("scrapers", "operator@example.org")
    page = operator.get(done.headers["location"])
    assert "30 per minute, 1,000 per hour" in text_of(page)
    again = operator.submit(f"{LIMITS}/default", per_minute="5", mode="observe", for_seconds="")
    assert limit(api)["mode"] == "observe"
    operator.submit(f"{LIMITS}/default/undo", revision=again.headers["location"].rpartition("=")[2])
    back = limit(api)
    assert (back["in_force"], back["mode"], back["until"]) == (changed["in_force"], "enforce", changed["until"])
    operator.submit(f"{LIMITS}/default/reset")
    assert limit(api)["is_changed"] is False


def test_an_undo_does_not_undo_somebody_elses_change(operator: Person, api: httpx.Client) -> None:
    done = operator.submit(f"{LIMITS}/default", per_minute="20", for_seconds="")
    api.put("/api/admin/rate-limits/default", json={"per_minute": 10})
    refused = operator.submit(f"{LIMITS}/default/undo", revision=done.headers["location"].rpartition("=")[2])
    assert refused.status_code == 409
    assert "ADMIN_TOKEN changed" in text_of(refused)
    assert limit(api)["in_force"]["per_minute"] == 10
    api.delete("/api/admin/rate-limits/default")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("per_minute", number) for number in ("0", "-1", "1000001", "1.5", "NaN", "9" * 5000, "१")),
        *(("mode", mode) for mode in ("on", "ENFORCE")),
        *(("for_seconds", seconds) for seconds in ("0", "soon", "999999999999")),
        ("reason", "r" * 501),
        ("reason", "r\0"),
    ],
)
def test_a_limit_that_will_not_do_is_refused_and_comes_back(
    operator: Person, api: httpx.Client, field: str, value: str
) -> None:
    refused = operator.submit(f"{LIMITS}/default", **{"per_minute": "7", "reason": "why not", field: value})
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    if field != "reason":
        assert 'value="why not"' in refused.text
    assert limit(api)["is_changed"] is False


def test_networks_are_blocked_lifted_and_both_undone(operator: Person, api: httpx.Client) -> None:
    fields = {"networks": "198.51.100.0/25, 198.51.100.200\n2001:db8:1::/48", "for_seconds": "7200", "reason": "undone"}
    done = operator.submit(f"{BLOCKS}/new", **fields)
    assert done.status_code == 303, text_of(done)
    networks = ["198.51.100.0/25", "198.51.100.200/32", "2001:db8:1::/48"]
    assert blocked(api, "undone") == networks
    assert "198.51.100.0/25, 198.51.100.200/32, 2001:db8:1::/48 are refused" in text_of(
        operator.get(done.headers["location"])
    )
    lifted = operator.submit(f"{BLOCKS}/remove", network="198.51.100.200/32")
    assert "198.51.100.200/32 is let in again" in text_of(operator.get(lifted.headers["location"]))
    assert len(blocked(api, "undone")) == 2
    operator.submit(f"{BLOCKS}/undo", revision=revision_in(lifted))
    assert blocked(api, "undone") == networks
    operator.submit(f"{BLOCKS}/undo", revision=revision_in(done))
    assert blocked(api, "undone") == ["198.51.100.200/32"], "what was touched since stays"


def test_an_undone_change_of_a_block_brings_back_its_reason_and_end(operator: Person, api: httpx.Client) -> None:
    api.post("/api/admin/address-blocks", json={"networks": ["192.0.2.64/26"], "reason": "first", "for_seconds": 900})
    (before,) = api.get("/api/admin/address-blocks", params={"text": "192.0.2.64"}).json()
    done = operator.submit(f"{BLOCKS}/new", networks="192.0.2.64/26", for_seconds="", reason="second")
    (changed,) = api.get("/api/admin/address-blocks", params={"text": "192.0.2.64"}).json()
    assert (changed["reason"], changed["expires_at"]) == ("second", None)
    operator.submit(f"{BLOCKS}/undo", revision=revision_in(done))
    assert api.get("/api/admin/address-blocks", params={"text": "192.0.2.64"}).json() == [before]


def test_ones_own_address_is_blocked_only_when_said_twice(operator: Person, api: httpx.Client) -> None:
    fields = {"networks": "127.0.0.0/30", "reason": "locked", "for_seconds": "900"}
    asked = operator.submit(f"{BLOCKS}/new", **fields)
    assert asked.status_code == 409
    assert "127.0.0.0/30 would block 127.0.0.1" in text_of(asked)
    assert 'name="even_mine"' in asked.text and "127.0.0.0/30</textarea>" in asked.text
    assert blocked(api, "locked") == []
    assert operator.submit(f"{BLOCKS}/new", **fields, even_mine="true").status_code == 303
    assert blocked(api, "locked") == ["127.0.0.0/30"]


def test_a_block_within_another_is_asked_about_first(operator: Person, api: httpx.Client) -> None:
    api.post("/api/admin/address-blocks", json={"networks": ["203.0.113.0/24"], "reason": "around"})
    fields = {"networks": "203.0.113.7", "reason": "within", "for_seconds": "900"}
    asked = operator.submit(f"{BLOCKS}/new", **fields)
    assert "203.0.113.7/32 lies within 203.0.113.0/24" in text_of(asked)
    assert blocked(api, "within") == []
    assert operator.submit(f"{BLOCKS}/new", **fields, seen="true").status_code == 303
    assert blocked(api, "within") == ["203.0.113.7/32"]


@pytest.mark.parametrize("networks", ["", "nonsense", "0.0.0.0/0", "10.0.0.1/8", "1.2.3.4\0", "::ffff:1.2.3.4"])
def test_what_is_no_network_comes_back_with_the_reason(operator: Person, networks: str) -> None:
    refused = operator.submit(f"{BLOCKS}/new", networks=networks, reason="because", for_seconds="900")
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text and 'value="because"' in refused.text


def test_blocks_are_paged_and_found_by_an_address_within(operator: Person, database: psycopg.Connection) -> None:
    database.execute(
        "insert into address_blocks (network, reason)"
        " select set_masklen('100.64.0.0'::inet + 256 * g, 24)::cidr, 'paged' from generate_series(0, 59) g"
    )
    first = operator.get(f"{BLOCKS}?q=paged")
    assert first.text.count("<tr data-row") == 50
    second = operator.get(f"{BLOCKS}?q=paged&after=100.64.49.0/24")
    assert second.text.count("<tr data-row") == 10
    assert "100.64.50.0/24" in second.text and "100.64.49.0/24</span>" not in second.text
    found = operator.get(f"{BLOCKS}?q=100.64.7.9")
    assert found.text.count("<tr data-row") == 1 and "100.64.7.0/24" in found.text
    assert operator.get(f"{BLOCKS}?after=nonsense").status_code == 422


def test_a_purge_names_what_it_touches_first(operator: Person, database: psycopg.Connection) -> None:
    database.execute(
        "insert into cache_statistics (hour, function, misses, hits, seconds)"
        " values (date_trunc('hour', now()), 'shop.prices', 2, 6, 0.5)"
    )
    database.execute(
        "insert into cache_memory (process, function, entries, bytes, seen_at)"
        " values ('p', 'shop.prices', 3, 2400, now() + interval '1 hour')"
    )
    page = text_of(operator.get(CACHE))
    assert "shop.prices" in page and "75 %" in page and "2.4 kB" in page
    asked = text_of(operator.get(f"{CACHE}/purge?function=shop.prices"))
    assert "3 results (2.4 kB) of one function, in 1 process" in asked and "250 ms each" in asked
    done = operator.submit(f"{CACHE}/purge", function="shop.prices", reason="old prices")
    assert "forgets cached results of shop.prices" in text_of(operator.get(done.headers["location"]))
    row = database.execute("select kind, target from cache_purges order by revision desc limit 1").fetchone()
    assert row == ("function", "shop.prices")
    assert operator.get(f"{CACHE}/purge").status_code == 422
    assert operator.get(f"{CACHE}/purge?tag=a&function=b").status_code == 422


def test_pools_are_told_by_process_with_advice_and_who_holds_for_longest(
    operator: Person, database: psycopg.Connection
) -> None:
    process, stack = uuid4(), ["shop.py:12 <report>", "app.py:3 main"]
    database.execute(
        "insert into pool_processes (id, host, pid, program, database, pool_size, max_overflow, checked_out,"
        " checked_in, waiting, longest_wait_seconds, holders, reported_at)"
        " values (%s, 'here', 42, 'shop', '127.0.0.1:5432/shop', 2, 0, 2, 0, 3, 0.4, %s, now() + interval '1 hour')",
        [process, json.dumps([{"held_seconds": 7.5, "stack": stack}])],
    )
    database.execute(
        "insert into pool_samples (process, database, seconds, capacity, most_checked_out, most_wanted, arrivals,"
        " timeouts, failures, held_seconds, waits, holds, longest_hold_seconds, longest_hold_stack)"
        " values (%s, '127.0.0.1:5432/shop', 5, 2, 2, 5, 50, 4, 0, 20, '{\"80\": 50}', '{\"60\": 50}', 7.5, %s)",
        [process, json.dumps(stack)],
    )
    page = operator.get("/ops/database/pool")
    told = text_of(page)
    assert "shorten the holder: shop 42 on here" in told
    assert "Connections out on 127.0.0.1:5432/shop" in page.text
    assert "shop.py:12 <report>" in told and "<report>" not in page.text
    assert "out: at most 2" in page.text and "waiting: at most 3" in page.text
    assert "Connection pool of shop 42 on here" in text_of(operator.get("/ops"))
    assert operator.get("/ops/database/pool?hours=24").status_code == 200
    assert operator.get("/ops/database/pool?hours=2").status_code == 422


def test_pools_are_told_while_the_services_server_is_away(
    operator: Person, settings: Settings, database: psycopg.Connection
) -> None:
    away = settings.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/away")})
    with serving(away) as address:
        page = Person(address, operator.cookies).get("/ops/database/pool")
    assert page.status_code == 200
    assert "It does not answer" in text_of(page)


def test_overview_says_what_needs_a_look(operator: Person, api: httpx.Client) -> None:
    api.put("/api/admin/rate-limits/default", json={"mode": "off"})
    for page in ("/ops", "/ops/performance"):
        assert "Rate limit default refuses nobody" in text_of(operator.get(page))
    api.delete("/api/admin/rate-limits/default")
    assert "refuses nobody" not in text_of(operator.get("/ops/performance"))


def test_search_finds_policies_blocks_and_functions(operator: Person, api: httpx.Client) -> None:
    api.post("/api/admin/address-blocks", json={"networks": ["192.0.2.0/26"], "reason": "found <here>"})
    assert f'href="{LIMITS}/default"' in operator.get("/ops/search?q=defau").text
    assert f'href="{BLOCKS}?q=192.0.2.0/26"' in operator.get("/ops/search?q=192.0.2.9").text
    assert "192.0.2.0/26" in text_of(operator.get("/ops/search?q=found"))
    assert "Nothing found" in text_of(operator.get("/ops/search?q=%00%25zz"))


def test_a_viewer_sees_figures_but_no_addresses_and_pulls_no_lever(
    viewer: Person, operator: Person, database: psycopg.Connection, api: httpx.Client
) -> None:
    # As of soon, so that neither a slow machine nor the turn of an hour makes them old.
    database.execute(
        "insert into rate_limit_keys (hour, policy, key, refused, used, last_at)"
        " select date_trunc('hour', now() + interval '30 minutes'), 'default', key, 9, 1, now() + interval '30 minutes'"
        " from unnest(array['198.51.100.77', 'key <0f>']) key"
    )
    seen = operator.get(f"{LIMITS}/default")
    assert "198.51.100.77" in text_of(seen) and "key <0f>" in text_of(seen)
    assert f'href="{BLOCKS}/new?network=198.51.100.77"' in seen.text
    assert seen.text.count('data-dialog aria-label="Block ') == 2, "an API key is no address to block"
    assert "198.51.100.77" not in viewer.get(f"{LIMITS}/default").text
    for path in ("/ops/performance", CACHE, LIMITS, f"{LIMITS}/default", BLOCKS, "/ops/database/pool"):
        page = viewer.get(path)
        assert page.status_code == 200
        assert f'action="{path}' not in page.text.replace('action="/ops/performance/blocks" role="search"', "")
    for path in (f"{LIMITS}/default", f"{BLOCKS}/new", f"{CACHE}/purge"):
        assert viewer.submit(path, networks="192.0.2.1", per_minute="1", all="true").status_code == 403
    for path in (
        f"{LIMITS}/default",
        f"{LIMITS}/default/reset",
        f"{BLOCKS}/undo",
        f"{BLOCKS}/remove",
        f"{CACHE}/purge",
    ):
        assert operator.post(path, {"per_minute": "1"}).status_code == 403, "without the token against forgery"
    assert limit(api)["is_changed"] is False


def revision_in(answer: httpx.Response) -> str:
    return answer.headers["location"].rpartition("=")[2]
