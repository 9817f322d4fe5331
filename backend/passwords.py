"""Password hashing (argon2id), at most two at once: each takes 64 MiB and a core."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()  # its defaults are RFC 9106's second recommended option
_running = BoundedSemaphore(2)
_places = BoundedSemaphore(10)  # two running, eight waiting: the other threads stay free for everyone else


class BusyError(Exception):
    """Too many passwords are being checked already."""


def hash_password(password: str) -> str:
    """The argon2id hash to store.

    Raises:
        BusyError: Too many are waiting.
    """
    with _place():
        return _hasher.hash(password)


def verify_password(password: str, password_hash: str | None) -> bool:
    """Whether that is the password; takes as long without a hash, so that time does not tell who has an account.

    Raises:
        BusyError: Too many are waiting.
    """
    with _place():
        try:
            return _hasher.verify(password_hash or _nobodys_hash(), password) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(blocking=False):
        raise BusyError("too many sign-ins at once")
    try:
        with _running:
            yield
    finally:
        _places.release()


@cache
def _nobodys_hash() -> str:
    return _hasher.hash(secrets.token_hex())
