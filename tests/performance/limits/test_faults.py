"""Whatever becomes of Redis, requests are answered as each policy has it, and limits are shared once it is back."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from opsbook.core.redis_link import RedisAway, RedisLink
from opsbook.performance.limits.decision import Claim, Window, longest_wait
from opsbook.performance.limits.limiter import RateLimits
from opsbook.performance.limits.middleware import LimitMiddleware
from opsbook.performance.limits.policy import RateLimit, WhenAway
from opsbook.performance.limits.shared import SharedLimiter
from tests.performance.limits.adversary import VirtualClock
from tests.performance.limits.asked import ask, well
from tests.redis_cluster import running_cluster
from tests.redis_server import RedisServer, running_redis

PATIENT_SECONDS = 10.0
IMPATIENT_SECONDS = 0.3
DEADLINE_SECONDS = 20.0

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@asynccontextmanager
async def limited_by(
    url: str, *policies: RateLimit, patience: float = PATIENT_SECONDS
) -> AsyncIterator[LimitMiddleware]:
    """An app on that Redis; each has limits of its own there."""
    link = RedisLink(url, patience_seconds=patience)
    limits = RateLimits(policies, link=link, namespace=os.urandom(4).hex())
    yield LimitMiddleware(well, limits)
    await limits.aclose()
    await link.aclose()
    link.close()


@pytest.mark.parametrize(("when_away", "admitted"), [("open", 20), ("closed", 0), ("local", 5)])
async def test_a_frozen_redis_is_answered_for_as_the_policy_has_it(when_away: WhenAway, admitted: int) -> None:
    policy = RateLimit("p", per_hour=10, when_away=when_away, workers=2)
    with running_redis() as server:
        async with limited_by(server.url, policy, patience=IMPATIENT_SECONDS) as app:
            await shared(app)
            server.freeze()
            answers = [await ask(app, client="198.51.100.1") for _ in range(20)]
            assert [answer.status for answer in answers].count(200) == admitted
            if when_away == "closed":
                assert {answer.status for answer in answers} == {503}
                assert answers[0].headers["retry-after"] == "2"
                assert answers[0].json["violated-policies"] == ["p"]
            server.thaw()
            await shared(app)


async def test_a_redis_that_was_killed_and_comes_back_empty_is_used_again() -> None:
    with running_redis() as server:
        async with limited_by(server.url, RateLimit("p", per_hour=10, workers=5)) as app:
            assert await admitted(app, 12) == 10
            server.kill()
            assert await admitted(app, 12, "198.51.100.2") == 2, "this worker's share"
            server.start()
            await shared(app)
            assert await admitted(app, 12) == 10


async def test_a_connection_that_ended_unnoticed_costs_nobody_an_answer() -> None:
    with running_redis() as server:
        async with limited_by(server.url, RateLimit("p", per_hour=10, when_away="closed")) as app:
            assert await admitted(app, 3) == 3
            with server.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
            assert await admitted(app, 12) == 7


async def test_a_redis_that_forgot_the_script_is_told_again(server: RedisServer) -> None:
    async with limited_by(server.url, RateLimit("p", per_hour=3)) as app:
        assert await admitted(app, 1) == 1
        with server.client() as client:
            client.script_flush()
        assert await admitted(app, 5) == 2


@pytest.mark.parametrize("trouble", ["full", "read-only"])
async def test_a_redis_that_takes_nothing_counts_as_away(trouble: str) -> None:
    with running_redis() as server, server.client() as client:
        async with limited_by(server.url, RateLimit("p", per_hour=10, workers=5)) as app:
            await shared(app)
            if trouble == "full":
                client.config_set("maxmemory", "1")
            else:
                client.replicaof("127.0.0.1", "1")
            assert await admitted(app, 12, "198.51.100.3") == 2
            client.config_set("maxmemory", "0")
            client.replicaof("NO", "ONE")
            await shared(app)


@pytest.mark.parametrize(
    "garbage", [b"*1\r\n:1\r\n", b"+OK\r\n", b"$-1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 64]
)
async def test_a_server_that_talks_nonsense_counts_as_away(garbage: bytes) -> None:
    with talking_nonsense(garbage) as url:
        async with limited_by(url, RateLimit("p", per_hour=10, workers=5), patience=IMPATIENT_SECONDS) as app:
            assert await admitted(app, 12) == 2


async def test_poisoned_values_are_taken_for_none(server: RedisServer) -> None:
    claim = Claim("p", "victim", 1, (Window(2, 60),))
    link = RedisLink(server.url, patience_seconds=PATIENT_SECONDS)
    limiter = SharedLimiter(link, "poisoned")
    key = "opsbook:limit:poisoned:p:victim"
    with server.client() as client:
        poisons = [b"", b"x", b"\xff" * 24, b"\x00" * 16, b"\x7f" * 400, os.urandom(1024), b"\xff" * 20_000]
        for poison in poisons:
            client.set(key, poison)
            assert [longest_wait(await limiter.decide([claim])) > 0 for _ in range(3)] == [False, False, True]
        client.delete(key)
        client.rpush(key, "a list")
        assert [longest_wait(await limiter.decide([claim])) > 0 for _ in range(3)] == [False, False, True]
        assert client.pttl(key) > 60_000
    await limiter.aclose()
    await link.aclose()


async def test_a_moment_of_another_age_takes_no_process_along(server: RedisServer) -> None:
    link = RedisLink(server.url, patience_seconds=PATIENT_SECONDS)
    limiter = SharedLimiter(link, "aged")
    far = float(2**53 - 2)
    with server.client() as client:
        client.set("opsbook:limit:aged:p:poisoned", struct.pack("<6d", 1.0, far, far, 0.0, 0.0, 0.0))
    for key in ("poisoned", "other"):
        claim = Claim("p", key, 1, (Window(2, 60),))
        assert [longest_wait(await limiter.decide([claim])) > 0 for _ in range(3)] == [False, False, True]
    await limiter.aclose()
    await link.aclose()


@pytest.mark.parametrize("trouble", ["full", "away"])
async def test_a_log_tells_once_that_redis_is_away(trouble: str, caplog: pytest.LogCaptureFixture) -> None:
    with running_redis() as server, server.client() as client:
        async with limited_by(server.url, RateLimit("p", per_hour=10, workers=5)) as app:
            assert await admitted(app, 11) == 10
            if trouble == "full":
                client.config_set("maxmemory", "1")
            else:
                server.kill()
            for _ in range(20):
                # A refusal needs no memory: a full Redis gives one, and fails the next.
                assert await admitted(app, 1, "198.51.100.4") + await admitted(app, 1) <= 2
    assert len([record for record in caplog.records if "rate_limits" in record.getMessage()]) == 1, caplog.text


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_a_step_of_the_clock_locks_nobody_out_and_lets_nobody_through(server: RedisServer, step: float) -> None:
    """Processes that run do not look at Redis's clock again; one that starts after the step has another time."""
    link = RedisLink(server.url, patience_seconds=PATIENT_SECONDS)
    clock, namespace = VirtualClock(), f"step {step}"
    running, late = (SharedLimiter(link, namespace, clock) for _ in range(2))
    claim = Claim("p", "k", 1, (Window(3, 60),))

    async def passes(limiter: SharedLimiter) -> bool:
        return longest_wait(await limiter.decide([claim])) == 0

    assert [await passes(running) for _ in range(4)] == [True, True, True, False]
    late._script._ahead = running._script._ahead + step  # pyright: ignore[reportOptionalOperand]
    admitted = [await passes(limiter) for limiter in [late, running] * 10]
    assert admitted.count(True) == (0 if step < 0 else 3), "once, what came before has aged by the step"
    clock.milliseconds += 59_000
    assert not await passes(running)
    clock.milliseconds += 1_100
    assert [await passes(limiter) for limiter in (late, running, late, running)] == [True, True, True, False]
    await running.aclose()
    await late.aclose()
    await link.aclose()


async def test_who_leaves_takes_nobody_along(server: RedisServer) -> None:
    link = RedisLink(server.url, patience_seconds=PATIENT_SECONDS)
    limiter = SharedLimiter(link, "leaving")
    claim = Claim("p", "k", 1, (Window(100, 60),))
    for moment in range(30):
        asking = [asyncio.create_task(limiter.decide([claim])) for _ in range(10)]
        for _ in range(moment % 6):
            await asyncio.sleep(0)
        asking[0].cancel()
        asking[5].cancel()
        async with asyncio.timeout(DEADLINE_SECONDS):
            results = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(result, list) for number, result in enumerate(results) if number not in (0, 5))
    assert longest_wait(await limiter.decide([claim])) > 0
    await limiter.aclose()
    await link.aclose()


async def test_keys_of_a_megabyte_and_of_any_bytes(server: RedisServer) -> None:
    keys = ["k" * 2**20, "k" * 2**20 + "l", "\0\xff\ud800", "{}", "#" + "0" * 32, "", "a b\r\n"]
    for app_on in (limited_by(server.url, RateLimit("p", per_hour=2, key=lambda scope: scope["path"])),):
        async with app_on as app:
            for key in keys:
                assert [(await ask(app, key)).status for _ in range(3)] == [200, 200, 429]
    with server.client() as client:
        assert all(len(key) < 200 for key in client.scan_iter("opsbook:limit:*"))


async def test_on_a_cluster_every_key_finds_its_node() -> None:
    first, second = RateLimit("first", per_hour=3), RateLimit("second", per_hour=2, key="route")
    with running_cluster() as url:
        async with limited_by(url, first, second) as app:
            statuses = [(await ask(app, f"/{number % 5}")).status for number in range(10)]
            assert statuses == [200] * 3 + [429] * 7
        limiter = SharedLimiter(RedisLink(url, patience_seconds=PATIENT_SECONDS), "threads")
        claims = [Claim("p", f"k{number}", 1, (Window(1, 60),)) for number in range(8)]
        assert longest_wait(limiter.decide_now(claims)) == 0
        assert longest_wait(limiter.decide_now(claims)) > 0


async def test_without_a_redis_to_reach_every_question_is_answered_at_once() -> None:
    async with limited_by("redis://127.0.0.1:1", RateLimit("p", per_hour=10, workers=3)) as app:
        assert await admitted(app, 12) == 3
    limiter = SharedLimiter(RedisLink("redis://127.0.0.1:1"), "nobody")
    with pytest.raises(RedisAway):
        limiter.decide_now([Claim("p", "k", 1, (Window(1, 60),))])


async def admitted(app: LimitMiddleware, times: int, client: str = "203.0.113.9") -> int:
    return [(await ask(app, client=client)).status for _ in range(times)].count(200)


async def shared(app: LimitMiddleware) -> None:
    """Wait until limits are on Redis: only there a new caller has the whole limit."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            answer = await ask(app, client=f"2001:db8:{os.urandom(2).hex()}:{os.urandom(2).hex()}::1")
            if ";r=9;" in answer.headers.get("ratelimit", ""):
                return
            await asyncio.sleep(0.02)


@contextmanager
def talking_nonsense(garbage: bytes) -> Iterator[str]:
    """A server that answers whatever it is told with the same bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                connection.sendall(garbage)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
