"""Secrets that we hand out: how they are made, recognised and stored.

Only hashes are stored. A token has 32 random bytes, so a plain SHA-256 is as good as a slow
hash and costs microseconds. The six characters at the end are a CRC-32 of the rest, as
GitHub's tokens have: a typo, or a string that a secret scanner found, is told apart without
asking the database.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib

TOKEN_PREFIX = "opsb_"  # noqa: S105
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARACTERS = 43  # 43 × log2(62) = 256 bits
_CHECKSUM_CHARACTERS = 6
_LENGTH = len(TOKEN_PREFIX) + _RANDOM_CHARACTERS + _CHECKSUM_CHARACTERS


def new_token() -> str:
    """A new API token, `opsb_` + 43 random characters + 6 of checksum."""
    body = TOKEN_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARACTERS))
    return body + _checksum(body)


def is_well_formed(token: str) -> bool:
    """Whether it has a token's form and checksum; says nothing of whether it was ever issued."""
    if len(token) != _LENGTH or not token.startswith(TOKEN_PREFIX) or not token.isascii():
        return False
    return _checksum(token[:-_CHECKSUM_CHARACTERS]) == token[-_CHECKSUM_CHARACTERS:]


def new_secret() -> str:
    """A secret for a session cookie or a sign-in link: 256 bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is stored of a secret: its SHA-256."""
    return hashlib.sha256(secret.encode()).digest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    characters: list[str] = []
    for _ in range(_CHECKSUM_CHARACTERS):
        number, index = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[index])
    return "".join(reversed(characters))
