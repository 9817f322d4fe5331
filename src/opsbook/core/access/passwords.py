"""Passwords: argon2id, at most two at a time, so that a flood of sign-ins cannot take the machine's memory.

Cost parameters are argon2-cffi's defaults, RFC 9106's low-memory profile (64 MiB, 3 passes).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from opsbook.core.errors import Invalid, TooManyRequests

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 1024
_AT_ONCE = 2
_MOST_WAITING = 16


class Passwords:
    """Hashes and verifies, bounded in how many run and how many wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash to store.

        Raises:
            Invalid: Shorter than 12 or longer than 1,024 characters (NIST SP 800-63B asks for length, not symbols).
            TooManyRequests: Too many wait already.
        """
        if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
            raise Invalid(f"a password has {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters, yours has {len(password)}")
        async with self._slot():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is the one stored; takes as long where none is, so that e-mails can't be probed.

        Raises:
            TooManyRequests: Too many wait already.
        """
        if len(password) > MAXIMUM_LENGTH:
            return False
        async with self._slot():
            matches = await asyncio.to_thread(self._matches, stored or _hash_of_nothing(), password)
        return matches and stored is not None

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._waiting >= _MOST_WAITING:
            raise TooManyRequests("too many sign-ins at once; try again in a few seconds", 5)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()


@cache
def _hash_of_nothing() -> str:
    return PasswordHasher().hash("a password that nobody has")
