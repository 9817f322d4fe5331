"""What one OFREP server process answers in a second: a single flag, and all of 350, each time for somebody else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import psycopg

from benchmarks._servers import control_plane, ops_database, wait_for

FLAGS = 350
CONNECTIONS = 8
SECONDS = 6.0
PATH = "/ofrep/v1/evaluate/flags"
TARGET_SINGLE_MICROSECONDS = 500.0
TARGET_BULK_MICROSECONDS = 2000.0
TARGET_P99_MILLISECONDS = 10.0


def main() -> None:
    """Ask one process over loopback as fast as it answers, with an API token, as a client has one."""
    with ops_database() as (url, folder):
        make_flags(url)
        with control_plane(url, folder) as client:
            wait_for(lambda: client.post(f"{PATH}/flag-1", json={}).is_success)
            port, token = client.base_url.port, evaluating_token(client)
            assert port is not None
            single = asyncio.run(load(port, token, f"{PATH}/flag-3"))
            bulk = asyncio.run(load(port, token, PATH))
    report("single", "asking for one flag at 50 %", single, TARGET_SINGLE_MICROSECONDS)
    report("bulk", f"asking for all {FLAGS} flags", bulk, TARGET_BULK_MICROSECONDS)


def make_flags(url: str) -> None:
    """A third each on for all, at 50 %, and at 50 % with a rule."""
    rule = json.dumps([{"constraints": [{"field": "plan", "operator": "in", "values": ["pro", "team"]}]}])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into feature_flags (name, enabled, rollout_percentage, rules)"
            " select 'flag-' || n, true, case n %% 3 when 1 then 100 else 50 end,"
            " case n %% 3 when 2 then %s::jsonb else '[]' end from generate_series(1, %s) n",
            [rule, FLAGS],
        )


def evaluating_token(client: httpx.Client) -> str:
    wanted = {"name": "bench", "role": "viewer", "scopes": ["flags:evaluate"]}
    return client.post("/api/admin/tokens", json=wanted).json()["token"]


async def load(port: int, token: str, path: str) -> list[float]:
    """Ask on some connections, each again as soon as it is answered; the seconds that each answer took."""
    until = time.monotonic() + SECONDS
    loads = (one_connection(port, request_maker(token, path, number), until) for number in range(CONNECTIONS))
    return [taken for durations in await asyncio.gather(*loads) for taken in durations]


def request_maker(token: str, path: str, number: int) -> Callable[[int], bytes]:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )

    def request(turn: int) -> bytes:
        body = f'{{"context":{{"targetingKey":"user-{number}-{turn}","plan":"pro","country":"DE"}}}}'
        return f"{head}{len(body)}\r\n\r\n{body}".encode()

    return request


async def one_connection(port: int, request: Callable[[int], bytes], until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    durations: list[float] = []
    while (started := time.monotonic()) < until:
        writer.write(request(len(durations)))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
        durations.append(time.monotonic() - started)
    writer.close()
    return durations


def report(name: str, what: str, durations: list[float], target: float) -> None:
    per_second = len(durations) / SECONDS
    p99 = sorted(durations)[int(len(durations) * 0.99)] * 1000
    rate = f"{what}: one server process's time for an answer ({per_second:,.0f} a second)"
    late = f"{what}: 99 of 100 answers take less, with {CONNECTIONS} clients asking all the time"
    figure = {
        "name": f"ofrep_{name}",
        "what": rate,
        "value": round(1e6 / per_second, 1),
        "unit": "µs",
        "target": target,
    }
    print(json.dumps(figure))
    slowest = {"name": f"ofrep_{name}_p99", "what": late, "value": round(p99, 2), "unit": "ms"}
    print(json.dumps({**slowest, "target": TARGET_P99_MILLISECONDS if name == "single" else None}))


if __name__ == "__main__":
    main()
