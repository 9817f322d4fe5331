"""Passwords: long enough, two hashed at a time, sixteen waiting, no more."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from opsbook.core.access import passwords
from opsbook.core.access.passwords import Passwords
from opsbook.core.errors import Invalid, TooManyRequests

pytestmark = pytest.mark.anyio


class Watched(PasswordHasher):
    """Counts how many hash at once; cheap, since how many is the question here."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8192, parallelism=1)
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            return super().hash(password, salt=salt)
        finally:
            with self._lock:
                self._now -= 1


async def test_two_hash_sixteen_wait_and_the_rest_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: watched)
    bounded = Passwords()
    answers = await asyncio.gather(*(bounded.hash("long enough, this") for _ in range(40)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooManyRequests)]
    assert (len(answers) - len(refused), watched.most) == (18, 2)
    assert refused[0].retry_after_seconds == 5
    assert (await bounded.hash("and afterwards again")).startswith("$argon2id$")


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 1025])
async def test_a_password_has_twelve_to_1024_characters(password: str) -> None:
    with pytest.raises(Invalid, match="12 to 1024"):
        await Passwords().hash(password)


async def test_only_the_same_password_matches() -> None:
    hasher = Passwords()
    stored = await hasher.hash("correct horse")
    assert await hasher.verify(stored, "correct horse")
    assert not await hasher.verify(stored, "correct horsf")
    assert not await hasher.verify(None, "a password that nobody has")
    assert not await hasher.verify("no hash at all", "correct horse")
