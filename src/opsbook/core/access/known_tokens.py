"""API tokens as the ops database knows them, and as it knew them a moment ago for routes that are asked very often."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from psycopg.rows import DictRow

from opsbook.core.access import store
from opsbook.core.access.credentials import digest, is_well_formed
from opsbook.core.access.identity import Identity, Role
from opsbook.core.bus import SyncConnection
from opsbook.core.errors import Unauthorized
from opsbook.core.postgres.connect import Connection, Pool

if TYPE_CHECKING:
    from opsbook.core.runtime import Runtime

_OLDEST_SECONDS = 5.0
"""How long a revoked token could work on where the bus is cut off; with it, it ends within milliseconds."""
_MOST = 10_000

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token that was good when the database was asked."""

    identity: Identity
    """Whom it stands for, without where a request comes from."""
    seconds_left: float | None
    """Until it expires; None for one that does not."""


async def look_up_token(pool: Pool, secret: str) -> KnownToken:
    """The token of that text, as the database has it now; notes that it was used.

    Raises:
        Unauthorized: It is malformed, unknown, expired or revoked.
    """
    if not is_well_formed(secret):
        raise Unauthorized("this is not a token of ours, or it was mistyped")
    return await _look_up(pool, partial(store.token_by_secret, secret=secret))


class KnownTokens:
    """Tokens that were good within the last five seconds; every change of anybody's access forgets them all."""

    def __init__(self, runtime: Runtime, clock: Clock = time.monotonic) -> None:
        self._runtime = runtime
        self._clock = clock
        self._known: dict[bytes | int, tuple[float, KnownToken]] = {}
        runtime.bus.subscribe("access", self._forget)

    def remembered(self, secret: str) -> KnownToken | None:
        """The token of that text, where it was good a moment ago."""
        return self._remembered(digest(secret))

    async def find(self, secret: str) -> KnownToken:
        """The token of that text.

        Raises:
            Unauthorized: It is malformed, unknown, expired or revoked.
        """
        return await self._find(digest(secret), lambda: look_up_token(self._runtime.pool, secret))

    async def find_by_id(self, token_id: int) -> KnownToken:
        """A token that was recognised before.

        Raises:
            Unauthorized: It is unknown, expired or revoked.
        """
        question = partial(store.token_by_id, token_id=token_id)
        return await self._find(token_id, lambda: _look_up(self._runtime.pool, question))

    async def _find(self, key: bytes | int, look_up: Callable[[], Awaitable[KnownToken]]) -> KnownToken:
        # What is found out goes into the dictionary of before the question: a change that comes meanwhile
        # has replaced that one, so that an answer from before the change is never kept.
        known = self._known
        if token := self._remembered(key):
            return token
        token = await look_up()
        if len(known) >= _MOST:
            known.clear()
        left = _OLDEST_SECONDS if token.seconds_left is None else min(_OLDEST_SECONDS, token.seconds_left)
        known[key] = (self._clock() + left, token)
        return token

    def _remembered(self, key: bytes | int) -> KnownToken | None:
        until, token = self._known.get(key, (0.0, None))
        return token if self._clock() < until else None

    def _forget(self, _: SyncConnection, _revision: int) -> None:
        self._known = {}


async def _look_up(pool: Pool, ask: Callable[[Connection], Awaitable[DictRow | None]]) -> KnownToken:
    async with pool.connection() as connection:
        row = await ask(connection)
        if row is None or row["revoked"] or row["expired"]:
            why = "unknown" if row is None else "revoked" if row["revoked"] else "expired"
            raise Unauthorized(f"this token is {why}; `opsbook token create` makes a new one")
        await store.touch_token(connection, row["id"])
    scopes = frozenset(row["scopes"])
    identity = Identity(row["name"], "token", Role.parse(row["role"]), scopes, token_id=row["id"])
    return KnownToken(identity, row["seconds_left"])
