"""Asks the kit, SQL, OFREP and an Unleash client for the same flags and the same people: do they ever differ?

The kit and SQL answer for everybody; OFREP and Unleash's Python client, which cost a request or twenty times
the time, for the first of them. Contexts that are malformed on purpose are left to tests/flags/test_agreement.py,
for an Unleash client reads them less strictly by design.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
from psycopg.types.json import Jsonb
from UnleashClient import UnleashClient  # pyright: ignore[reportPrivateImportUsage]

from benchmarks._servers import ADMIN_TOKEN, control_plane, ops_database
from opsbook import Flags
from opsbook.flags import PostgresSource

IDENTITIES = 100_000
SAMPLE = 10_000
"""For OFREP and the Unleash client."""
BATCH = 1_000

Answer = tuple[bool, str | None]
"""Whether a flag is on, and its variant where that was asked for."""
Answers = Sequence[Mapping[str, Answer]]
"""For each of some contexts, by the flag's name."""
Context = Mapping[str, Any]


def ask(field: str, operator: str, *values: object, **rest: object) -> dict[str, object]:
    return {"field": field, "operator": operator, "values": list(values), **rest}


def only(*constraints: Mapping[str, object], **rest: object) -> dict[str, object]:
    """A flag that one rule alone opens."""
    return {"rollout_percentage": 0, "rules": [{"constraints": list(constraints), **rest}]}


EACH: LiteralString = "from jsonb_array_elements(%s) with ordinality each (c, n), unnest(%s::text[]) f"
ENABLED: LiteralString = f"select n, f, flag_enabled(f, c), null {EACH}"
WHOLE: LiteralString = (
    f"select n, f, (found ->> 'enabled')::boolean, found ->> 'variant' {EACH}, evaluate_flag(f, c) found"
)
ARMS = [{"name": "blue", "weight": 1}, {"name": "red", "weight": 3}, {"name": "green", "weight": 2}]
PAYING = [ask("plan", "in", "pro", "team")]
FLAGS: Mapping[str, Mapping[str, object]] = {
    "everybody": {},
    "nobody": {"enabled": False},
    "one": {"rollout_percentage": 1},
    "half": {"rollout_percentage": 50},
    "most": {"rollout_percentage": 99},
    "in": {"rollout_percentage": 10, "rules": [{"constraints": [ask("plan", "in", "pro")]}]},
    "not-in": only(ask("plan", "not_in", "free", "team")),
    "texts": only(ask("email", "ends_with", "@EXAMPLE.org", case_insensitive=True), ask("email", "starts_with", "a")),
    "inverted": only(ask("email", "contains", ".com", inverted=True)),
    "numbers": only(ask("age", "number_at_least", 18), ask("age", "number_below", 40.5)),
    "versions": only(ask("app", "version_at_least", "1.4.0-beta.2"), percentage=70),
    "before-version": only(ask("app", "version_below", "2.0.0")),
    "since": only(ask("currentTime", "date_after", "2026-01-01T00:00:00Z")),
    "network": only(ask("address", "in_network", "10.0.0.0/8", "2001:db8::/32")),
    "pattern": only(ask("email", "matches", r"^[a-c]+\d*@")),
    "segment": {"rollout_percentage": 0, "rules": [{"segments": ["paying"], "percentage": 60}]},
    "sticky": {"rollout_percentage": 0, "rules": [{"percentage": 40, "stickiness": "plan", "group": "shared"}]},
    "variants": {"rollout_percentage": 90, "variants": ARMS},
    "dependent": {"prerequisites": [{"flag": "half"}, {"flag": "variants", "variants": ["red", "green"]}]},
    "contrary": {"prerequisites": [{"flag": "half", "enabled": False}]},
}


def main() -> int:
    """Compare, and tell the figure; 1 where two differ."""
    people = [person(number, random.Random(number)) for number in range(IDENTITIES)]
    with ops_database() as (url, folder), psycopg.connect(url, autocommit=True) as connection:
        write_flags(connection)
        kit = Flags(PostgresSource(url))
        assert kit.wait_until_ready(10)
        differing = compared("flag_enabled", kit, people, lambda batch: by_sql(connection, ENABLED, batch))
        differing += compared("evaluate_flag", kit, people[:SAMPLE], lambda batch: by_sql(connection, WHOLE, batch))
        with control_plane(url, folder) as client:
            differing += compared("OFREP", kit, people[:SAMPLE], lambda batch: by_ofrep(client, batch))
            unleash = unleash_client(str(client.base_url), folder)
            differing += compared("Unleash", kit, people[:SAMPLE], lambda batch: by_unleash(unleash, batch))
            unleash.destroy()
        kit.close()
    print("\n".join(differing[:20]) or "no difference")
    return 1 if differing else 0


def write_flags(connection: psycopg.Connection) -> None:
    connection.execute("insert into flag_segments (name, constraints) values ('paying', %s)", [Jsonb(PAYING)])
    for name, fields in FLAGS.items():
        parts = (Jsonb(fields.get(part, [])) for part in ("rules", "variants", "prerequisites"))
        connection.execute(
            "insert into feature_flags (name, enabled, rollout_percentage, rules, variants, prerequisites)"
            " values (%s, %s, %s, %s, %s, %s)",
            [name, fields.get("enabled", True), fields.get("rollout_percentage", 100), *parts],
        )


def person(number: int, chance: random.Random) -> Context:
    """Somebody whom nobody else is like, of whom now this, now that is unknown."""
    fields: Mapping[str, object] = {
        "sessionId": f"session-{chance.randrange(10**6)}",
        "plan": chance.choice(["pro", "free", "team"]),
        "email": f"{chance.choice('abcxyz')}{number}@{chance.choice(['example.org', 'Example.ORG', 'x.com'])}",
        "age": chance.choice([chance.randrange(100), chance.randrange(1000) / 10]),
        "app": f"{chance.randrange(3)}.{chance.randrange(6)}.0{chance.choice(['', '-beta.1', '-beta.10', '-rc.1'])}",
        "currentTime": f"{chance.randrange(2024, 2028)}-0{chance.randrange(1, 10)}-15T12:00:00Z",
        "address": chance.choice(
            [f"{chance.choice([10, 11])}.1.{number % 256}.7", f"2001:db{chance.choice([8, 9])}::7"]
        ),
    }
    known = {field: value for field, value in fields.items() if chance.random() < 0.9}
    return {"targetingKey": f"user-{number}", **known}


def compared(
    what: str, kit: Flags, people: Sequence[Context], answers: Callable[[Sequence[Context]], Answers]
) -> list[str]:
    """The differences, in words, between the kit and another who answers for a batch of people."""
    began, asked, spent = time.monotonic(), 0, 0.0
    differing: list[str] = []
    for start in range(0, len(people), BATCH):
        batch = people[start : start + BATCH]
        for context, theirs in zip(batch, answers(batch), strict=True):
            before = time.monotonic()
            for name, said in theirs.items():
                found = kit.evaluate(name, context)
                asked += 1
                if said[0] != found.enabled or said[1] not in (None, found.variant):
                    differing.append(f"{what}, {name}, {context}: {said}, the kit {found.enabled}, {found.variant}")
            spent += time.monotonic() - before
    told = f"{asked:,} evaluations of the kit beside {what}'s, {len(differing)} differ"
    print(f"{told}; {time.monotonic() - began:.0f} s, of which the kit's {spent:.0f} s", flush=True)
    return differing


def by_sql(connection: psycopg.Connection, query: LiteralString, batch: Sequence[Context]) -> Answers:
    rows = connection.execute(query, [Jsonb(list(batch)), list(FLAGS)])
    answers: list[dict[str, Answer]] = [{} for _ in batch]
    for number, name, enabled, variant in rows:
        answers[number - 1][name] = (enabled, variant)
    return answers


def by_ofrep(client: httpx.Client, batch: Sequence[Context]) -> Answers:
    """Where the stickiness' field is unknown OFREP answers with an error: to the application, off."""
    return [
        {each["key"]: (each.get("value", False), each.get("variant", "off")) for each in answered(client, context)}
        for context in batch
    ]


def answered(client: httpx.Client, context: Context) -> list[dict[str, Any]]:
    return client.post("/ofrep/v1/evaluate/flags", json={"context": context}).raise_for_status().json()["flags"]


def unleash_client(url: str, folder: Path) -> UnleashClient:
    headers = {"Authorization": ADMIN_TOKEN}
    client = UnleashClient(
        f"{url}/api", "agreement", custom_headers=headers, cache_directory=str(folder), disable_metrics=True
    )
    client.initialize_client()
    assert client.is_enabled("everybody"), "the Unleash client holds no flags"
    return client


def by_unleash(client: UnleashClient, batch: Sequence[Context]) -> Answers:
    return [{name: unleash_says(client, name, context) for name in FLAGS} for context in batch]


def unleash_says(client: UnleashClient, name: str, context: Context) -> Answer:
    """In our words: Unleash has no variant `on`, and calls a variant's absence `disabled`."""
    theirs = {"userId": context["targetingKey"], **context}
    enabled = client.is_enabled(name, theirs)
    if not enabled:
        return False, "off"
    variant = client.get_variant(name, theirs)["name"]
    return True, "on" if variant == "disabled" else variant
