"""Purges at the level that processes share: in Redis, and told to the memories of all processes."""

from __future__ import annotations

import secrets
from typing import Any, cast

from opsbook.core.redis_link import RedisAway, RedisLink
from opsbook.performance.cache.names import Names
from opsbook.performance.cache.purges import Purge, Told, encode
from opsbook.performance.cache.steps import Ask, Procedure

_MARK_SECONDS = 3600


def purge_shared(link: RedisLink, names: Names, purge: Purge, sender: str) -> Procedure[None]:
    """Forget in Redis first, then tell the processes: none may fetch again what it has just dropped."""
    if purge.kind == "key":
        keys = (names.entry(purge.target, purge.digest), names.lease(purge.target, purge.digest))
        yield Ask(link, lambda client: client.unlink(*keys))
    else:
        generations = yield from _generations(link, names, purge)
        if generations:
            yield Ask(link, lambda client: _change(client, generations))
    message = encode(Told(sender, purge))
    yield Ask(link, lambda client: client.publish(names.channel, message))


def purge_shared_once(link: RedisLink, names: Names, purge: Purge, revision: int, sender: str) -> Procedure[None]:
    """Forget what the ops database's purge of this revision names, unless another process has seen to it already.

    Two that come at the same moment may both do it, which does no harm.
    """
    mark = names.purged(revision)
    if (yield Ask(link, lambda client: client.exists(mark))):
        return
    yield from purge_shared(link, names, purge, sender)
    yield Ask(link, lambda client: client.set(mark, b"1", ex=_MARK_SECONDS))


def _generations(link: RedisLink, names: Names, purge: Purge) -> Procedure[list[str]]:
    """The keys that a purge changes."""
    if purge.kind == "function":
        return names.generations(purge.target, ())
    members = yield Ask(link, lambda client: client.smembers(names.functions))
    functions = sorted(member.decode("utf-8", "replace") for member in _set_of_bytes(members))
    if purge.kind == "tag":
        return [names.tag(function, purge.target) for function in functions]
    return [names.generations(function, ())[0] for function in functions]


def _set_of_bytes(answer: object) -> set[bytes]:
    if isinstance(answer, set) and all(isinstance(member, bytes) for member in cast("set[object]", answer)):
        return cast("set[bytes]", answer)
    raise RedisAway("this is no answer to the question for the cached functions")


def _change(client: Any, keys: list[str]) -> Any:
    """Where there is none, nothing hangs on it; it lasts as long as it would have."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.set(key, secrets.token_bytes(12), xx=True, keepttl=True)
    return pipeline.execute()
