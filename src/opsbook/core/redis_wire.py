"""Connections to Redis on which one exchange is under way at a time, written and read as directly as can be.

To take a connection from redis-py's pool and go through its hooks costs as much as the exchange itself. A connection
that ended while nobody used it is made anew; so a command may be sent twice, and is to be one that this does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import hiredis
import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection as AsyncConnection
from redis.connection import ConnectionInterface
from redis.exceptions import ResponseError


class Wire:
    """For a thread. Connects when first used, in the manner of the client that is given."""

    def __init__(self) -> None:
        self._connection: ConnectionInterface | None = None

    def exchange(self, client: redis.Redis, command: Sequence[Any]) -> Any:
        """The answer to a command; raises as redis-py does."""
        held = self._connection
        try:
            return self._on(held or self._connected(client), command)
        except redis.ConnectionError:
            if held is None:
                raise
            return self._on(self._connected(client), command)

    def close(self) -> None:
        """Let the connection go; the next exchange makes a new one."""
        held, self._connection = self._connection, None
        if held is not None:
            held.disconnect()

    def _connected(self, client: redis.Redis) -> ConnectionInterface:
        connection = client.connection_pool.make_connection()
        connection.connect()
        self._connection = connection
        return connection

    def _on(self, connection: ConnectionInterface, command: Sequence[Any]) -> Any:
        try:
            connection.send_packed_command([hiredis.pack_command(tuple(command))], check_health=False)
            return connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            # An answer may still come on it, which would be taken for that to the next question.
            with suppress(redis.RedisError, OSError):
                self.close()
            raise


class Wires:
    """As many as there are threads that exchange at the same time."""

    def __init__(self) -> None:
        self._idle: list[Wire] = []

    def exchange(self, client: redis.Redis, command: Sequence[Any]) -> Any:
        """The answer to a command; raises as redis-py does."""
        idle = self._idle
        try:
            wire = idle.pop()
        except IndexError:
            wire = Wire()
        try:
            return wire.exchange(client, command)
        finally:
            idle.append(wire)

    def close(self) -> None:
        """Let the connections go that are not in use."""
        idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()


class AsyncWire:
    """For an event loop; whoever exchanges bounds how long that takes."""

    def __init__(self) -> None:
        self._connection: AsyncConnection | None = None

    async def exchange(self, client: redis.asyncio.Redis, command: Sequence[Any]) -> Any:
        """The answer to a command; raises as redis-py does."""
        held = self._connection
        try:
            return await self._on(held or await self._connected(client), command)
        except redis.ConnectionError:
            if held is None:
                raise
            return await self._on(await self._connected(client), command)

    async def aclose(self) -> None:
        """Let the connection go; the next exchange makes a new one."""
        held, self._connection = self._connection, None
        if held is not None:
            await held.disconnect(nowait=True)

    async def _connected(self, client: redis.asyncio.Redis) -> AsyncConnection:
        connection = client.connection_pool.make_connection()
        connection.socket_timeout = None
        self._connection = connection
        try:
            await connection.connect()
        except BaseException:
            await self.aclose()
            raise
        return connection

    async def _on(self, connection: AsyncConnection, command: Sequence[Any]) -> Any:
        try:
            await connection.send_packed_command(hiredis.pack_command(tuple(command)), check_health=False)
            return await connection.read_response(timeout=math.inf)
        except ResponseError:
            raise
        except BaseException:
            # As above.
            with suppress(redis.RedisError, OSError):
                await self.aclose()
            raise


class AsyncWires:
    """For one event loop: so many, and who finds none idle goes by the client's pool."""

    def __init__(self, most: int) -> None:
        self._idle = [AsyncWire() for _ in range(most)]

    async def exchange(self, client: redis.asyncio.Redis, command: Sequence[Any]) -> Any:
        """The answer to a command; raises as redis-py does."""
        idle = self._idle
        if not idle:
            return await client.execute_command(*command)
        wire = idle.pop()
        try:
            return await wire.exchange(client, command)
        finally:
            idle.append(wire)

    async def aclose(self) -> None:
        """Let the connections go that are not in use."""
        for wire in self._idle:
            await wire.aclose()
