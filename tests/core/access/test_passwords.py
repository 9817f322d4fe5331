"""Passwords: long enough, hashed one at a time in each queue, and no queue that strangers can fill for others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

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


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched()
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: watched)
    return watched


def allowed(answers: Sequence[object]) -> int:
    """How many were not told to come back, in five seconds."""
    refused = [answer for answer in answers if isinstance(answer, TooManyRequests)]
    assert {error.retry_after_seconds for error in refused} <= {5}
    return len(answers) - len(refused)


async def test_one_hashes_sixteen_wait_and_the_rest_are_told(watched: Watched) -> None:
    bounded = Passwords()
    hashing = (bounded.hash("long enough, this", f"192.0.2.{number}") for number in range(40))
    assert allowed(await asyncio.gather(*hashing, return_exceptions=True)) == 17
    assert watched.most == 1
    assert (await bounded.hash("and afterwards again")).startswith("$argon2id$")


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::{:x}", None])
async def test_an_address_takes_four_places_of_them(watched: Watched, address: str | None) -> None:
    bounded = Passwords()
    addresses = [address and address.format(number) for number in range(20)]
    flood = (bounded.verify(None, "a guess", address=each, known=False) for each in addresses)
    answers = await asyncio.gather(
        *flood, bounded.verify(None, "a guess", address="2001:db8:0:1::1", known=False), return_exceptions=True
    )
    assert (allowed(answers), answers[-1]) == (5, False)


async def test_strangers_do_not_keep_out_who_has_been_here(watched: Watched) -> None:
    bounded = Passwords()
    stored = await bounded.hash("correct horse")
    strangers = (bounded.verify(None, "a guess", address=f"192.0.2.{number}", known=False) for number in range(40))
    known = bounded.verify(stored, "correct horse", address="192.0.2.1", known=True)
    *_, signed_in = await asyncio.gather(*strangers, known, return_exceptions=True)
    assert signed_in is True


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 1025])
async def test_a_password_has_twelve_to_1024_characters(password: str) -> None:
    with pytest.raises(Invalid, match="12 to 1024"):
        await Passwords().hash(password)


async def test_only_the_same_password_matches() -> None:
    hasher = Passwords()
    stored = await hasher.hash("correct horse")
    assert await hasher.verify(stored, "correct horse", address=None, known=False)
    assert not await hasher.verify(stored, "correct horsf", address=None, known=False)
    assert not await hasher.verify(None, "a password that nobody has", address=None, known=False)
    assert not await hasher.verify("no hash at all", "correct horse", address=None, known=True)
