"""Passwords: argon2id, two at a time and no more, so that a flood of sign-ins cannot take the machine's memory.

Strangers queue apart from those who have shown something (a device cookie, a session, a
link), one hash at a time in each queue; so a flood of strangers slows only strangers, and
one address takes few of their places.

Cost parameters are argon2-cffi's defaults, RFC 9106's low-memory profile (64 MiB, 3 passes).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from opsbook.core.errors import Invalid, TooManyRequests

MINIMUM_LENGTH = 12
MAXIMUM_LENGTH = 1024
_MOST_INSIDE = 17
"""One at work and sixteen who wait, about two seconds in all."""
_MOST_OF_ONE_ADDRESS = 4


class Passwords:
    """Hashes and verifies, bounded in how many run and how many wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._strangers = _Queue()
        self._known = _Queue()

    async def hash(self, password: str, address: str | None = None) -> str:
        """The hash to store, for somebody with a session or a live link.

        Raises:
            Invalid: Shorter than 12 or longer than 1,024 characters (NIST SP 800-63B asks for length, not symbols).
            TooManyRequests: Too many wait already.
        """
        if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
            raise Invalid(f"a password has {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters, yours has {len(password)}")
        async with self._known.turn(address):
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str, *, address: str | None, known: bool) -> bool:
        """Whether the password is the one stored; takes as long where none is, so that e-mails can't be probed.

        `known` is for callers who have shown a device cookie or a session.

        Raises:
            TooManyRequests: Too many wait already.
        """
        if len(password) > MAXIMUM_LENGTH:
            return False
        async with (self._known if known else self._strangers).turn(address):
            matches = await asyncio.to_thread(self._matches, stored or _hash_of_nothing(), password)
        return matches and stored is not None

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


class _Queue:
    """One at a time; few inside altogether, and fewer from one address."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._inside: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, address: str | None) -> AsyncIterator[None]:
        origin = _network(address)
        if self._inside.total() >= _MOST_INSIDE or self._inside[origin] >= _MOST_OF_ONE_ADDRESS:
            raise TooManyRequests("too many sign-ins at once; try again in a few seconds", 5)
        self._inside[origin] += 1
        try:
            async with self._turn:
                yield
        finally:
            self._inside -= Counter([origin])  # which forgets an address with nobody left


def _network(address: str | None) -> str:
    """What one caller holds: an IPv4 address, or the /64 that an IPv6 host is given (RFC 6177)."""
    if address is None or ":" not in address:
        return address or "unknown"
    return str(ipaddress.ip_network((address, 64), strict=False))


@cache
def _hash_of_nothing() -> str:
    return PasswordHasher().hash("a password that nobody has")
