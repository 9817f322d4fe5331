"""One process's way to Redis (or Valkey, or a cluster of either), which may be gone at any moment.

Nobody waits for Redis longer than a moment, and nobody twice: the first call that finds it away
opens the breaker, and until Redis answers again every call says so at once.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import redis
import redis.asyncio
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import (
    InvalidResponse,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from opsbook.core.jitter import jitter
from opsbook.core.log import get_logger
from opsbook.core.redis_wire import AsyncWires, Wires

if TYPE_CHECKING:
    from opsbook.core.settings import Settings

T = TypeVar("T")
Client: TypeAlias = redis.Redis
AsyncClient: TypeAlias = redis.asyncio.Redis

_PATIENCE_SECONDS = 0.05
_MOST_ASYNC_CONNECTIONS = 64
_MOST_ASYNC_WIRES = 16
_FIRST_PROBE_SECONDS = 0.1
_LONGEST_PROBE_SECONDS = 1.0
"""So that no draw is taken from the service's own random numbers, which it may have seeded."""
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What redis-py raises over the answers of a server that is no Redis."""

log = get_logger(__name__)


class RedisAway(Exception):
    """Redis did not do it: it is gone, frozen, full, read-only, or talks nonsense."""


class RedisLink:
    """Make one for each URL in a process (`link_of` does), and keep it."""

    def __init__(self, url: str, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """A way to Redis; connects when first called.

        Args:
            url: redis://, rediss:// or unix://; one node of a cluster stands for the cluster.
            patience_seconds: How long a call may wait for an answer.
        """
        self._url = url
        self._patience = patience_seconds
        self.forget()
        _alive.add(self)

    @property
    def available(self) -> bool:
        """Whether calls are tried at present."""
        return self._available

    def call(self, operation: Callable[[Client], T]) -> T:
        """Do something with Redis from a thread.

        Raises:
            RedisAway: It could not be done; nothing is known of whether Redis did it.
            NoScriptError: A script is to be sent first.
        """
        with self._guarded():
            return operation(self._client())

    async def call_async(self, operation: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """Do something with Redis from an event loop; raises as `call` does."""
        with self._guarded():
            async with asyncio.timeout(self._patience):
                return await operation(await self._async_client())

    def fetch(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """What stands under keys that lie on one node, None where nothing does; raises as `call` does."""
        return self.call(lambda client: self._fetched(client, keys))

    async def fetch_async(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The same from an event loop."""
        return await self.call_async(lambda client: self._fetched_async(client, keys))

    def close(self) -> None:
        """Let the connections of the threads go."""
        self._wires.close()
        if self._plain is not None:
            self._plain.close()
            self._plain = None

    async def aclose(self) -> None:
        """Let the connections of this event loop go."""
        loop = asyncio.get_running_loop()
        if wires := self._wires_by_loop.pop(loop, None):
            await wires.aclose()
        if client := self._by_loop.pop(loop, None):
            await client.aclose()

    def _fetched(self, client: Client, keys: Sequence[str]) -> Sequence[bytes | None]:
        if self._is_cluster:
            return _values(client.mget(keys), len(keys))
        return _values(self._wires.exchange(client, ("MGET", *keys)), len(keys))

    async def _fetched_async(self, client: AsyncClient, keys: Sequence[str]) -> Sequence[bytes | None]:
        if self._is_cluster:
            return _values(await client.mget(keys), len(keys))
        loop = asyncio.get_running_loop()
        wires = self._wires_by_loop.get(loop)
        if wires is None:
            wires = self._wires_by_loop[loop] = AsyncWires(_MOST_ASYNC_WIRES)
        return _values(await wires.exchange(client, ("MGET", *keys)), len(keys))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if not self._available:
            raise RedisAway("Redis did not answer a moment ago")
        try:
            yield
        except NoScriptError:
            raise
        except ReadOnlyError as error:
            # A former primary: the address leads to the new one as soon as it is asked anew.
            self._open_breaker(error)
            raise RedisAway(str(error)) from error
        except ResponseError as error:
            raise RedisAway(str(error)) from error
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            self._open_breaker(error)
            raise RedisAway(str(error) or type(error).__name__) from error

    def _open_breaker(self, error: Exception) -> None:
        with self._lock:
            if not self._available:
                return
            self._available = False
        log.warning("redis_away", error=type(error).__name__)
        threading.Thread(target=self._probe, args=(self._life,), name="opsbook redis probe", daemon=True).start()

    def _probe(self, life: object) -> None:
        """Close the breaker as soon as Redis answers; ends with the process, or when a fork began another life."""
        pause = _FIRST_PROBE_SECONDS
        wait = threading.Event()
        while life is self._life:
            with suppress(RedisError, RedisClusterException, OSError, *UNREADABLE):
                self.close()
                self._plain = client = self._connected()
                if client.ping():
                    self._available = True
                    log.info("redis_back")
                    return
            # Jitter, so that fifty workers do not knock together.
            wait.wait(jitter(pause / 2, pause))
            pause = min(_LONGEST_PROBE_SECONDS, pause * 2)

    def _client(self) -> Client:
        client = self._plain
        if client is None:
            with self._connecting:
                if not self._available:
                    raise RedisAway("Redis did not answer those who asked before")
                client = self._plain = self._plain or self._connected()
        return client

    def _connected(self) -> Client:
        client = redis.Redis.from_url(self._url, retry=Retry(NoBackoff(), 0), **self._options())
        try:
            if self._is_cluster is None:
                self._is_cluster = _clustered(client.info("cluster"))
        except UNREADABLE as error:
            client.close()
            raise InvalidResponse("this is no answer of Redis's") from error
        if self._is_cluster:
            client.close()
            return RedisCluster.from_url(self._url, **self._options())  # pyright: ignore[reportReturnType]
        return client

    async def _async_client(self) -> AsyncClient:
        loop = asyncio.get_running_loop()
        client = self._by_loop.get(loop)
        if client is None:
            made = await self._async_connected()
            client = self._by_loop.setdefault(loop, made)
            if client is not made:  # another task was quicker
                await made.aclose()
        return client

    async def _async_connected(self) -> AsyncClient:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            self._url,
            max_connections=_MOST_ASYNC_CONNECTIONS,
            timeout=self._patience,
            retry=AsyncRetry(NoBackoff(), 0),
            **self._options(),
        )
        client = redis.asyncio.Redis.from_pool(pool)
        try:
            if self._is_cluster is None:
                self._is_cluster = _clustered(await client.info("cluster"))
        except UNREADABLE as error:
            await client.aclose()
            raise InvalidResponse("this is no answer of Redis's") from error
        if self._is_cluster:
            await client.aclose()
            return AsyncRedisCluster.from_url(self._url, **self._options())  # pyright: ignore[reportReturnType]
        return client

    def _options(self) -> dict[str, float]:
        return {"socket_timeout": self._patience, "socket_connect_timeout": self._patience}

    def forget(self) -> None:
        """In a forked child: the connections, and the thread that probes, are the parent's."""
        self._life = object()
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        """A lock of its own, so that who has found Redis away need not queue to say so."""
        self._available = True
        self._is_cluster: bool | None = None
        self._plain: Client | None = None
        self._wires = Wires()
        self._wires_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncWires] = (
            weakref.WeakKeyDictionary()
        )
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = weakref.WeakKeyDictionary()


def link_of(settings: Settings) -> RedisLink | None:
    """The process's link to the Redis that the settings name; None where they name none."""
    if settings.redis_url is None:
        return None
    url = settings.redis_url.get_secret_value()
    return _links.get(url) or _links.setdefault(url, RedisLink(url))


def _values(reply: object, count: int) -> Sequence[bytes | None]:
    if isinstance(reply, list) and len(values := cast("list[bytes | None]", reply)) == count:
        return values
    raise InvalidResponse("this is no answer of Redis's")


def _clustered(info: dict[str, Any]) -> bool:
    return bool(int(info.get("cluster_enabled", 0)))


_links: dict[str, RedisLink] = {}
_alive: weakref.WeakSet[RedisLink] = weakref.WeakSet()


def _forget_all() -> None:
    for link in tuple(_alive):
        link.forget()


os.register_at_fork(after_in_child=_forget_all)
